import Foundation

/// A held-out pose, and the file of the image that PyTorch gives for it.
public struct GoldenView: Sendable {
    public let name: String
    public let c2w: Pose
    public let image: URL

    /// Its image: rows from the top, channels together, 8 bits each. Throws a `BundleError`.
    public func pixels(_ info: ImageInfo) throws -> [UInt8] {
        guard let data = try? FileHandle(forReadingFrom: image).read(upToCount: info.size + 1), data.count == info.size
        else {
            let size = "\(info.width) x \(info.height) with \(info.channels) channels"
            throw BundleError(.damagedFile, "\(image.lastPathComponent) is not \(size)")
        }
        return [UInt8](data)
    }
}

/// How far an image is from its golden one: PSNR in dB with peak 1, and the largest error of any value.
public struct Difference: Equatable, Sendable {
    /// What a golden view must reach. Less than the export's own limit, which our interpreter met: the Neural Engine
    /// computes in half precision. A wrong pose, layout or colour stays far below it.
    public static let required = 40.0
    /// PSNR of images that agree exactly, or nearly.
    static let exact = 150.0

    public let psnr, largest: Double

    public var passed: Bool { psnr >= Self.required }

    /// `image` (height, width, channels; 0 to 1) against `golden` (the same in 8 bits). NaN counts as the worst.
    public init(_ image: UnsafeBufferPointer<Float>, _ golden: [UInt8]) {
        precondition(image.count == golden.count)
        self.init(golden) { Double(image[$0]) }
    }

    /// A picture of the system's (blue, green, red, and alpha that says nothing; rows may be padded) against `golden`
    /// (red, green, blue; rows are not).
    public init(bgra: UnsafeRawBufferPointer, bytesPerRow: Int, width: Int, _ golden: [UInt8]) {
        self.init(golden) { index in
            let (pixel, channel) = index.quotientAndRemainder(dividingBy: 3)
            let (y, x) = pixel.quotientAndRemainder(dividingBy: width)
            return Double(bgra[y * bytesPerRow + 4 * x + 2 - channel]) / 255
        }
    }

    @inline(__always)
    private init(_ golden: [UInt8], _ value: (Int) -> Double) {
        var squares = 0.0
        var largest = 0.0
        for (index, reference) in golden.enumerated() {
            let value = value(index)
            let error = value.isFinite ? abs(value - Double(reference) / 255) : 1
            squares += error * error
            largest = max(largest, error)
        }
        let mean = squares / Double(max(golden.count, 1))
        psnr = mean == 0 ? Self.exact : min(Self.exact, -10 * log10(mean))
        self.largest = largest
    }
}

/// The file of the golden poses.
private struct GoldenFile: Decodable {
    struct View: Decodable {
        let name, image: String
        let c2w: [[Double]]
    }

    let views: [View]
}

extension SceneBundle {
    /// The golden views that the bundle carries; `GoldenView.pixels` reads their images. Throws a `BundleError`.
    public func goldenViews() throws -> [GoldenView] {
        let file = try url(of: manifest.golden)
        guard let data = try? Data(contentsOf: file),
            let views = try? JSONDecoder().decode(GoldenFile.self, from: data).views,
            !views.isEmpty, views.allSatisfy({ $0.c2w.map(\.count) == [4, 4, 4] })
        else { throw BundleError(.damagedFile, "\(manifest.golden) cannot be read, or has no views") }
        return try views.map { view in
            let image = try url(of: view.image)
            guard manifest.files.contains(where: { $0.path == view.image }) else {
                throw BundleError(.invalidManifest, "The manifest does not list \(view.image)")
            }
            return GoldenView(name: view.name, c2w: Pose(rows: view.c2w.flatMap { $0 }), image: image)
        }
    }
}
