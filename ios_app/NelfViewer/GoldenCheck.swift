import CoreGraphics
import Foundation
import ImageIO
import NelfKit

/// The bundle's golden views, rendered here and compared.
enum GoldenCheck {
    static func run(_ bundle: SceneBundle, _ loop: FrameLoop) async throws -> [Difference] {
        var results: [Difference] = []
        for view in try bundle.goldenViews() {
            let pixels = try pixels(of: view.image, bundle.manifest.image)
            results.append(
                try await loop.run { model, image in
                    _ = try model.render(view.c2w, into: image)
                    return try image.difference(from: pixels)
                })
        }
        return results
    }

    /// The numbers in a PNG as they are stored, rows without padding: drawing it would multiply colour by alpha again.
    private static func pixels(of url: URL, _ info: ImageInfo) throws -> [UInt8] {
        guard let source = CGImageSourceCreateWithURL(url as CFURL, nil),
            let image = CGImageSourceCreateImageAtIndex(source, 0, nil), let data = image.dataProvider?.data as Data?
        else { throw ModelError("\(url.lastPathComponent) cannot be read. Copy the bundle again, whole.") }
        let row = info.width * info.channels
        guard image.width == info.width, image.height == info.height, image.bitsPerComponent == 8,
            image.bitsPerPixel == 8 * info.channels, data.count >= image.bytesPerRow * (info.height - 1) + row
        else { throw ModelError("\(url.lastPathComponent) has another size or depth than the model's image.") }
        return (0..<info.height).flatMap { data.dropFirst($0 * image.bytesPerRow).prefix(row) }
    }
}
