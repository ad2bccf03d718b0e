import Foundation

/// A held-out pose, and the file of the image that PyTorch gives for it.
public struct GoldenView: Sendable {
    public let name: String
    public let c2w: Pose
    public let image: URL

    /// Its image, of the size that the manifest says. Throws a `PNG.Fault`.
    public func picture(_ info: ImageInfo) throws -> Picture {
        let picture = try PNG.decode(Data(contentsOf: image))
        guard picture.width == info.width, picture.height == info.height, picture.channels == info.channels else {
            let size = "\(info.width) x \(info.height) with \(info.channels) channels"
            throw PNG.Fault(what: "\(image.lastPathComponent) is not \(size)")
        }
        return picture
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

extension SceneBundle {
    /// The golden views that the bundle carries; their images are read by `GoldenView.picture`. Throws a `BundleError`.
    public func goldenViews() throws -> [GoldenView] {
        do {
            let views = try Field(JSON(Data(contentsOf: url(of: manifest.golden))), path: manifest.golden)["views"]
                .items()
            if views.isEmpty { throw Field.Fault(path: manifest.golden, what: "no views") }
            return try views.map { view in
                let rows = try view["c2w"].items().map { try $0.numbers(4) }
                if rows.count != 3 { throw Field.Fault(path: view.path, what: "no pose of 3 rows of 4") }
                return GoldenView(
                    name: try view["name"].text(), c2w: Pose(rows: rows.flatMap { $0 }),
                    image: try url(of: view["image"].text()))
            }
        } catch let error as BundleError {
            throw error
        } catch {
            throw BundleError(.manifestUnreadable, "The golden poses cannot be read: \(error)")
        }
    }
}
