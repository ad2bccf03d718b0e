import Foundation
import NelfKit

/// The bundle's golden views, rendered here and compared.
enum GoldenCheck {
    static func run(_ bundle: SceneBundle, _ loop: FrameLoop) async throws -> [Difference] {
        var results: [Difference] = []
        for view in try bundle.goldenViews() {
            results.append(
                try await loop.run { model, image in
                    let golden = try view.pixels(bundle.manifest.image)
                    _ = try model.render(view.c2w, into: image)
                    return try image.difference(from: golden)
                })
        }
        return results
    }
}
