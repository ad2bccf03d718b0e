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

/// A block that a call of the decoder takes. It is drawn, or lies around those that are.
struct Block: Equatable {
    let row, column: Int
    var drawn = false
}

/// Which blocks of the grid need the decoder.
struct Needed {
    /// Above so many calls, a rectangle is cut in halves.
    private static let manyCalls = 3

    let rows, columns: Int
    var blocks: [Bool]

    /// Calls of at most `size` needed blocks that draw each needed block once; see calls_for in nelf/bundle/tiles.py.
    func calls(size: Int, reach: Int) -> [[Block]] {
        var found: [[Block]] = []
        draw(0..<rows, 0..<columns, size, reach, &found)
        return found
    }

    private func draw(
        _ lines: Swift.Range<Int>, _ places: Swift.Range<Int>, _ size: Int, _ reach: Int, _ calls: inout [[Block]]
    ) {
        let found = within(lines, places)
        guard let first = found.first, let last = found.last else { return }
        let (left, right) = found.reduce((columns, 0)) { (min($0.0, $1.column), max($0.1, $1.column + 1)) }
        let (down, across) = (first.row..<last.row + 1, left..<right)
        var taken = within(grown(down, reach, rows), grown(across, reach, columns))
        if taken.count <= size {
            for i in taken.indices { taken[i].drawn = down ~= taken[i].row && across ~= taken[i].column }
            calls.append(taken)
            return
        }
        let tall = down.count >= across.count
        let side = tall ? down : across
        var cut = taken.map { tall ? $0.row : $0.column }.sorted()[size] - reach
        if cut <= side.lowerBound || taken.count > Self.manyCalls * size {
            cut = (side.lowerBound + side.upperBound) / 2
        }
        for piece in [side.lowerBound..<cut, cut..<side.upperBound] {
            if tall { draw(piece, across, size, reach, &calls) } else { draw(down, piece, size, reach, &calls) }
        }
    }

    private func grown(_ range: Swift.Range<Int>, _ reach: Int, _ length: Int) -> Swift.Range<Int> {
        max(range.lowerBound - reach, 0)..<min(range.upperBound + reach, length)
    }

    private func within(_ lines: Swift.Range<Int>, _ places: Swift.Range<Int>) -> [Block] {
        lines.flatMap { row in
            places.filter { blocks[row * columns + $0] }.map { Block(row: row, column: $0) }
        }
    }

    /// For each block of a call, where in it the 3 x 3 blocks around are: `size` if one is not in it, `size + 1` outside
    /// the grid. Written into `places`.
    func writeNeighbours(_ call: [Block], size: Int, to places: UnsafeMutableBufferPointer<Float>) {
        var numbers: [Int: Int] = [:]
        for (number, block) in call.enumerated() { numbers[block.row * columns + block.column] = number }
        for (number, block) in call.enumerated() {
            for i in 0..<TileRenderer.around {
                let (row, column) = (block.row + i / 3 - 1, block.column + i % 3 - 1)
                let inside = 0..<rows ~= row && 0..<columns ~= column
                let place = inside ? numbers[row * columns + column] ?? size : size + 1
                places[number * TileRenderer.around + i] = Float(place)
            }
        }
    }
}

/// u and v of the image plane at the corner of a pixel, and their steps to the next column and row.
func plane(_ lens: [Double], left: Int, top: Int) -> [Double] {
    [(Double(left) - lens[2]) / lens[0], -(Double(top) - lens[3]) / lens[1], 1 / lens[0], -1 / lens[1]]
}

/// Renders with the parts of a program: runs the first, chooses blocks by threshold, runs the decoder on lists of the
/// others, pastes. For one thread at a time.
public final class TileRenderer {
    /// Channels of the first part's estimates of a block.
    private static let inside = 0
    private static let detail = 1
    static let colour = 2
    /// Blocks of 3 x 3, row by row; the fifth is the block itself.
    static let around = 9

    private let program: TileProgram
    private let image: ImageInfo
    private let intrinsics: [Double]
    private let first, decoder: any TilePart
    private let rows, columns, top, left: Int
    private let down, across: [Window]
    /// The first part's features of all blocks.
    private var state: [Float]
    private var needed: Needed
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
        state = Array(repeating: 0, count: rows * columns * program.channels)
        needed = Needed(rows: rows, columns: columns, blocks: Array(repeating: false, count: rows * columns))
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
        for call in needed.calls(size: program.blocks, reach: program.reach) { try decode(call, pixels) }
    }

    /// Runs the first part on a window: keeps its features and notes which blocks need the decoder.
    private func look(_ down: Window, _ across: Window, _ pixels: UnsafeMutableBufferPointer<Float>) throws {
        write(planeAt: down.start, across.start, to: first["plane"], 0)
        try first.run()
        let (features, estimates) = (first["state"], first["estimates"])
        let channels = program.channels
        for row in down.blocks {
            for column in across.blocks {
                let from = (row - down.start) * program.window[1] + column - across.start
                let to = row * columns + column
                for i in 0..<channels { state[to * channels + i] = features[from * channels + i] }
                needed.blocks[to] = choose(
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
        block.withUnsafeBufferPointer { paste($0, 0, row, column, pixels) }
        return false
    }

    private func decode(_ call: [Block], _ pixels: UnsafeMutableBufferPointer<Float>) throws {
        let (taken, planes, channels) = (decoder["state"], decoder["plane"], program.channels)
        for (number, block) in call.enumerated() {
            let from = (block.row * columns + block.column) * channels
            for i in 0..<channels { taken[number * channels + i] = state[from + i] }
            write(planeAt: block.row, block.column, to: planes, 4 * number)
        }
        needed.writeNeighbours(call, size: program.blocks, to: decoder["neighbours"])
        try decoder.run()
        let images = UnsafeBufferPointer(decoder["image"])
        for (number, block) in call.enumerated() where block.drawn {
            paste(images, number * (images.count / program.blocks), block.row, block.column, pixels)
        }
    }

    /// Pastes what is in the picture of a block's pixels, whose values begin at `from`.
    private func paste(
        _ values: UnsafeBufferPointer<Float>, _ from: Int, _ row: Int, _ column: Int,
        _ pixels: UnsafeMutableBufferPointer<Float>
    ) {
        let side = TileProgram.block
        let (above, before) = (row * side - top, column * side - left)
        let (begin, end) = (max(before, 0), min(before + side, image.width))
        if begin >= end { return }
        for y in max(above, 0)..<max(min(above + side, image.height), 0) {
            let start = (y - above) * side + begin - before
            let to = (y * image.width + begin) * image.channels
            for i in 0..<(end - begin) * image.channels { pixels[to + i] = values[from + start * image.channels + i] }
        }
    }
}
