/// The program of a bundle that renders in tiles; nelf/bundle/tiles.py says what its numbers mean.
struct TileProgram: Decodable, Sendable {
    enum Kind: String, Decodable, Sendable {
        case tiles
    }

    /// Pixels of a block in each direction.
    static let block = 8

    let type: Kind
    let first, decoder: String
    let window, tile: [Int]
    let windowReach, tileReach, batch, channels: Int
    let emptyBelow, easyBelow, requiredPSNR: Double

    private enum CodingKeys: String, CodingKey {
        case type, first, decoder, window, tile, batch, channels
        case windowReach = "window_reach"
        case tileReach = "tile_reach"
        case emptyBelow = "empty_below"
        case easyBelow = "easy_below"
        case requiredPSNR = "required_psnr"
    }

    /// Throws where the numbers contradict each other, or do not cover the picture.
    func check(_ image: ImageInfo, _ version: String) throws {
        try require(!version.hasPrefix("2."), "the version is \(version), and a program needs 3.0")
        try require(!first.isEmpty && !decoder.isEmpty, "a part of the program has no path")
        try require(batch > 0 && channels > 0, "the program takes \(batch) tiles of \(channels) channels")
        try require(windowReach >= 0 && tileReach >= 0, "a reach of the program is negative")
        try require(window.count == 2 && tile.count == 2, "a size of the program is not of two numbers")
        for (i, pixels) in [image.height, image.width].enumerated() {
            let blocks = (pixels + Self.block - 1) / Self.block
            try require(1...blocks ~= tile[i], "a tile has \(tile[i]) of \(blocks) blocks")
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
