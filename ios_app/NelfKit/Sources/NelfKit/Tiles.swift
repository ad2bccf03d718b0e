/// A part of a program: its file, and the shapes of its inputs and outputs by name.
public struct TilePartInfo: Sendable {
    public let path: String
    public let inputs, outputs: [String: [Int]]
}

/// The program of a bundle that renders in tiles; nelf/bundle/tiles.py says what its numbers mean.
public struct TileProgram: Decodable, Sendable {
    enum Kind: String, Decodable, Sendable {
        case tiles
    }

    /// Pixels of a block in each direction.
    static let block = 8

    let type: Kind
    let first, decoder: String
    let window: [Int]
    let windowReach, reach, channels: Int
    /// Sizes of the decoder's lists, ascending. Core ML's parts have one.
    let sizes: [Int]
    let emptyBelow, easyBelow, requiredPSNR: Double

    /// Of one input or output of a part: 256 MB.
    private static let mostNumbers = Double(1 << 26)

    private enum CodingKeys: String, CodingKey {
        case type, first, decoder, window, reach, channels
        case sizes = "blocks"
        case windowReach = "window_reach"
        case emptyBelow = "empty_below"
        case easyBelow = "easy_below"
        case requiredPSNR = "required_psnr"
    }

    /// Blocks in a call of the decoder.
    var blocks: Int { sizes.last ?? 0 }

    /// Blocks that cover so many pixels.
    static func blocks(_ pixels: Int) -> Int { (pixels + block - 1) / block }

    /// The first part and the decoder. Throws a `BundleError` for a program that needs too much memory.
    public func parts(_ image: ImageInfo) throws -> (first: TilePartInfo, decoder: TilePartInfo) {
        let grid = Double(Self.blocks(image.height)) * Double(Self.blocks(image.width))
        let pixels = Self.block * Self.block * image.channels
        if max(grid, Double(blocks)) * Double(max(channels, pixels)) > Self.mostNumbers {
            throw BundleError(.unsupportedTarget, "The program of this bundle needs too much memory")
        }
        let pose = [1, 3, 4]
        return (
            TilePartInfo(
                path: first, inputs: ["pose": pose, "plane": [1, 4]],
                outputs: [
                    "state": [1] + window + [channels],
                    "estimates": [1] + window + [TileRenderer.colour + image.channels],
                ]),
            TilePartInfo(
                path: decoder,
                inputs: [
                    "pose": pose, "state": [blocks, channels], "plane": [blocks, 4],
                    "neighbours": [blocks, TileRenderer.around],
                ],
                outputs: ["image": [blocks, Self.block, Self.block, image.channels]])
        )
    }

    /// Throws where the numbers contradict each other, or do not cover the picture.
    func check(_ image: ImageInfo, _ version: String) throws {
        try require(!version.hasPrefix("2."), "the version is \(version), and a program needs 3.0")
        try require(!first.isEmpty && !decoder.isEmpty, "a part of the program has no path")
        try require(blocks > 0 && channels > 0, "the program takes \(blocks) blocks of \(channels) channels")
        try require(windowReach >= 0 && reach >= 0, "a reach of the program is negative")
        let side = 2 * Double(reach) + 1
        try require(
            Double(sizes.first ?? 0) >= side * side, "\(sizes) blocks are too few for a reach of \(reach)")
        try require(zip(sizes, sizes.dropFirst()).allSatisfy(<), "\(sizes) blocks do not ascend")
        try require(window.count == 2, "a window of the program is not of two numbers")
        for (i, pixels) in [image.height, image.width].enumerated() {
            let blocks = Self.blocks(pixels)
            let covers =
                window[i] <= blocks && (blocks - window[i]) % 2 == 0 && (window[i] - 2) / 2 >= windowReach
            try require(
                window[i] == blocks || (window[i] > 1 && covers), "a window of \(window[i]) cannot cover \(blocks)")
        }
    }
}

extension Manifest {
    /// Files that must be listed: the model, or a program's folder and its parts, and the golden poses.
    var needed: [String] {
        [model.path] + (program.map { [$0.first, $0.decoder] } ?? []) + [golden]
    }
}
