/// A part of a program, loaded: the memory of its inputs and outputs by name, and a call from the ones to the others.
public protocol TilePart {
    /// The memory of an input or an output, which stays where it is.
    subscript(name: String) -> UnsafeMutableBufferPointer<Float> { get }

    /// Fills the outputs from the inputs.
    func run() throws
}

/// Where a window begins, and the blocks that it is right in.
struct Window: Equatable {
    let start: Int
    let blocks: Swift.Range<Int>
}

/// Windows of `size` blocks that cover `length`. They begin at even blocks: the first part has strides of 2.
func windows(_ length: Int, size: Int, reach: Int) -> [Window] {
    var found: [Window] = []
    var begin = 0
    while begin < length {
        let start = min(max(begin - reach, 0) / 2 * 2, length - size)
        let end = start + size == length ? length : start + size - reach
        found.append(Window(start: start, blocks: begin..<end))
        begin = end
    }
    return found
}

/// Row and column of the first block of tiles that cover the needed blocks; takes what they cover out of `needed`.
func cover(_ needed: inout [Bool], columns: Int, tile: [Int]) -> [(row: Int, column: Int)] {
    var found: [(row: Int, column: Int)] = []
    let rows = needed.count / columns
    for row in 0..<rows where (0..<columns).contains(where: { needed[row * columns + $0] }) {
        let top = min(row, rows - tile[0])
        for column in 0..<columns where (top..<top + tile[0]).contains(where: { needed[$0 * columns + column] }) {
            let left = min(column, columns - tile[1])
            for line in top..<top + tile[0] {
                for place in left..<left + tile[1] { needed[line * columns + place] = false }
            }
            found.append((top, left))
        }
    }
    return found
}

/// u and v of the image plane at the corner of a pixel, and their steps to the next column and row.
func plane(_ lens: [Double], left: Int, top: Int) -> [Double] {
    [(Double(left) - lens[2]) / lens[0], -(Double(top) - lens[3]) / lens[1], 1 / lens[0], -1 / lens[1]]
}

/// Renders with the parts of a program: runs the first, chooses blocks by threshold, runs the decoder on tiles that cover
/// the rest, pastes. For one thread at a time.
public final class TileRenderer {
    /// Channels of the first part's estimates of a block.
    private static let inside = 0
    private static let detail = 1
    static let colour = 2

    private let program: TileProgram
    private let image: ImageInfo
    private let intrinsics: [Double]
    private let first, decoder: any TilePart
    private let rows, columns, top, left: Int
    private let down, across: [Window]
    /// The first part's features of all blocks, with `tileReach` blocks of zeros around.
    private var state: [Float]
    private var needed: [Bool]
    private var block: [Float]

    /// The parts have the inputs and outputs that `TileProgram.parts` lists.
    public init(
        _ program: TileProgram, _ image: ImageInfo, intrinsics: [Double], first: any TilePart, decoder: any TilePart
    ) {
        (self.program, self.image, self.intrinsics) = (program, image, intrinsics)
        (self.first, self.decoder) = (first, decoder)
        (rows, columns) = (TileProgram.blocks(image.height), TileProgram.blocks(image.width))
        top = (rows * TileProgram.block - image.height) / 2
        left = (columns * TileProgram.block - image.width) / 2
        down = windows(rows, size: program.window[0], reach: program.windowReach)
        across = windows(columns, size: program.window[1], reach: program.windowReach)
        let around = 2 * program.tileReach
        state = Array(repeating: 0, count: (rows + around) * (columns + around) * program.channels)
        needed = Array(repeating: false, count: rows * columns)
        block = Array(repeating: 0, count: TileProgram.block * TileProgram.block * image.channels)
    }

    /// Renders the image from `c2w` into `pixels`: height, width, channels.
    public func render(_ c2w: Pose, into pixels: UnsafeMutableBufferPointer<Float>) throws {
        precondition(pixels.count == image.size)
        pixels.update(repeating: 0)
        for part in [first, decoder] { c2w.write(to: part["pose"].baseAddress!) }
        for down in down {
            for across in across { try look(down, across, pixels) }
        }
        let places = cover(&needed, columns: columns, tile: program.tile)
        for start in stride(from: 0, to: places.count, by: program.batch) {
            try decode(places[start..<min(start + program.batch, places.count)], pixels)
        }
    }

    /// Runs the first part on a window: keeps its features and notes which blocks need the decoder.
    private func look(_ down: Window, _ across: Window, _ pixels: UnsafeMutableBufferPointer<Float>) throws {
        write(planeAt: down.start, across.start, to: first["plane"], 0)
        try first.run()
        let (features, estimates) = (first["state"], first["estimates"])
        let (channels, reach) = (program.channels, program.tileReach)
        for row in down.blocks {
            for column in across.blocks {
                let from = (row - down.start) * program.window[1] + column - across.start
                let to = (row + reach) * (columns + 2 * reach) + column + reach
                for i in 0..<channels { state[to * channels + i] = features[from * channels + i] }
                needed[row * columns + column] = choose(
                    estimates, from * (Self.colour + image.channels), row, column, pixels)
            }
        }
    }

    private func write(planeAt row: Int, _ column: Int, to planes: UnsafeMutableBufferPointer<Float>, _ from: Int) {
        let corner = plane(intrinsics, left: column * TileProgram.block - left, top: row * TileProgram.block - top)
        for i in 0..<4 { planes[from + i] = Float(corner[i]) }
    }

    /// Whether a block, whose estimates begin at `from`, needs the decoder; an easy one is painted.
    private func choose(
        _ estimates: UnsafeMutableBufferPointer<Float>, _ from: Int, _ row: Int, _ column: Int,
        _ pixels: UnsafeMutableBufferPointer<Float>
    ) -> Bool {
        if !(Double(estimates[from + Self.inside]) >= program.emptyBelow) { return false }
        if !(Double(estimates[from + Self.detail]) < program.easyBelow) { return true }
        for i in block.indices {
            block[i] = min(max(estimates[from + Self.colour + i % image.channels], 0), 1)
        }
        block.withUnsafeBufferPointer { paste($0, 0, [1, 1], row, column, pixels) }
        return false
    }

    private func decode(
        _ batch: ArraySlice<(row: Int, column: Int)>, _ pixels: UnsafeMutableBufferPointer<Float>
    ) throws {
        let (tiles, planes) = (decoder["state"], decoder["plane"])
        let (channels, reach) = (program.channels, program.tileReach)
        let (tall, wide) = (program.tile[0] + 2 * reach, (program.tile[1] + 2 * reach) * channels)
        for (number, place) in batch.enumerated() {
            for i in 0..<tall {
                let from = ((place.row + i) * (columns + 2 * reach) + place.column) * channels
                let to = (number * tall + i) * wide
                for j in 0..<wide { tiles[to + j] = state[from + j] }
            }
            write(planeAt: place.row, place.column, to: planes, 4 * number)
        }
        try decoder.run()
        let images = UnsafeBufferPointer(decoder["image"])
        for (number, place) in batch.enumerated() {
            paste(images, number * (images.count / program.batch), program.tile, place.row, place.column, pixels)
        }
    }

    /// Pastes what is in the picture of a part of `size` blocks, whose values begin at `from`.
    private func paste(
        _ values: UnsafeBufferPointer<Float>, _ from: Int, _ size: [Int], _ row: Int, _ column: Int,
        _ pixels: UnsafeMutableBufferPointer<Float>
    ) {
        let (tall, wide) = (size[0] * TileProgram.block, size[1] * TileProgram.block)
        let (above, before) = (row * TileProgram.block - top, column * TileProgram.block - left)
        let (begin, end) = (max(before, 0), min(before + wide, image.width))
        if begin >= end { return }
        for y in max(above, 0)..<max(min(above + tall, image.height), 0) {
            let start = (y - above) * wide + begin - before
            let to = (y * image.width + begin) * image.channels
            for i in 0..<(end - begin) * image.channels { pixels[to + i] = values[from + start * image.channels + i] }
        }
    }
}
