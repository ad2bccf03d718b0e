import XCTest

@testable import NelfKit

final class TilesTests: XCTestCase {
    private var vectors = TileVectors(calls: [], windows: [], planes: .init(intrinsics: [], cases: []), programs: [])

    override func setUpWithError() throws { vectors = try Vectors.read("tiles.json") }

    func testCallsDrawTheBlocksThatNeedIt() {
        for item in vectors.calls {
            let blocks = item.needed.joined().map { $0 == "#" }
            let needed = Needed(rows: item.needed.count, columns: item.needed[0].count, blocks: blocks)
            let calls = needed.calls(size: item.size, reach: item.reach)
            XCTAssertEqual(calls.count, item.calls.count)
            for (call, expected) in zip(calls, item.calls) {
                XCTAssertEqual(call.map { [$0.row, $0.column, $0.drawn ? 1 : 0] }, expected.blocks)
                var places = [Float](repeating: 0, count: 9 * call.count)
                places.withUnsafeMutableBufferPointer { needed.writeNeighbours(call, size: item.size, to: $0) }
                XCTAssertEqual(places.map { Int($0) }, expected.neighbours.flatMap { $0 })
            }
        }
    }

    func testWindowsCoverThePicture() {
        for item in vectors.windows {
            let found = windows(item.length, size: item.size, reach: item.reach)
            XCTAssertEqual(found.map { [$0.start, $0.blocks.lowerBound, $0.blocks.upperBound] }, item.windows)
        }
    }

    func testThePlaneOfAPixel() {
        for item in vectors.planes.cases {
            let found = plane(vectors.planes.intrinsics, left: item.left, top: item.top)
            for (value, expected) in zip(found, item.plane) { XCTAssertEqual(value, expected, accuracy: 1e-12) }
        }
    }

    func testProgramsRenderWhatPythonRenders() throws {
        XCTAssertFalse(vectors.programs.isEmpty)
        for item in vectors.programs {
            let parts = try item.program.parts(item.image)
            let (first, decoder) = (Formula(parts.first, item), Formula(parts.decoder, item))
            let renderer = TileRenderer(
                item.program, item.image, intrinsics: item.intrinsics, first: first, decoder: decoder)
            let pixels = UnsafeMutableBufferPointer<Float>.allocate(capacity: item.image.size)
            defer { pixels.deallocate() }
            pixels.initialize(repeating: .nan)
            for time in 1...2 {
                try renderer.render(Pose(rows: item.pose), into: pixels)
                XCTAssertEqual(Array(pixels), item.rows.flatMap { $0 }, item.name)
                XCTAssertEqual(decoder.calls, time * item.calls, item.name)
            }
        }
    }

    func testAPartThatFails() throws {
        let item = try XCTUnwrap(vectors.programs.first)
        let parts = try item.program.parts(item.image)
        let (first, decoder) = (Formula(parts.first, item), Formula(parts.decoder, item))
        decoder.failure = BundleError(.damagedFile, "It broke")
        let renderer = TileRenderer(
            item.program, item.image, intrinsics: item.intrinsics, first: first, decoder: decoder)
        var pixels = [Float](repeating: 0, count: item.image.size)
        XCTAssertThrowsError(
            try pixels.withUnsafeMutableBufferPointer { try renderer.render(Pose(rows: item.pose), into: $0) })
    }

    func testNumbersThatNoMemoryHolds() throws {
        for (old, new) in [
            ("\"blocks\": [30]", "\"blocks\": [4294967297]"),
            ("\"channels\": 9", "\"channels\": 9007199254740991"),
        ] {
            let text = try Vectors.text("tiles")
            XCTAssertTrue(text.contains(old))
            let manifest = try Manifest(Data(text.replacingOccurrences(of: old, with: new).utf8))
            XCTAssertThrowsError(try XCTUnwrap(manifest.program).parts(manifest.image), new)
        }
    }
}

/// tiles.json.
struct TileVectors: Decodable {
    struct Calls: Decodable {
        struct Call: Decodable {
            let blocks, neighbours: [[Int]]
        }

        let needed: [String]
        let size, reach: Int
        let calls: [Call]
    }

    struct Line: Decodable {
        let length, size, reach: Int
        let windows: [[Int]]
    }

    struct Planes: Decodable {
        struct Case: Decodable {
            let left, top: Int
            let plane: [Double]
        }

        let intrinsics: [Double]
        let cases: [Case]
    }

    struct Program: Decodable {
        let name: String
        let program: TileProgram
        let image: ImageInfo
        let intrinsics, pose: [Double]
        let calls: Int
        let rows: [[Float]]
    }

    let calls: [Calls]
    let windows: [Line]
    let planes: Planes
    let programs: [Program]
}

/// A part of a case of tiles.json, as tests/vectors/tiles.py describes it.
private final class Formula: TilePart {
    var calls = 0
    var failure: BundleError?

    private let item: TileVectors.Program
    private let memory: [String: UnsafeMutableBufferPointer<Float>]

    init(_ info: TilePartInfo, _ item: TileVectors.Program) {
        self.item = item
        memory = info.inputs.merging(info.outputs) { first, _ in first }.mapValues {
            let made = UnsafeMutableBufferPointer<Float>.allocate(capacity: $0.reduce(1, *))
            made.initialize(repeating: 0)
            return made
        }
    }

    deinit { for one in memory.values { one.deallocate() } }

    subscript(name: String) -> UnsafeMutableBufferPointer<Float> { memory[name]! }

    func run() throws {
        calls += 1
        if let failure { throw failure }
        if memory["image"] == nil { look() } else { decode() }
    }

    private func look() {
        let (pose, state, estimates) = (self["pose"], self["state"], self["estimates"])
        let (channels, columns) = (item.program.channels, item.program.window[1])
        let (left, top) = pixel(0)
        for place in 0..<item.program.window[0] * columns {
            let (x, y) = (left + Float(8 * (place % columns)), top + Float(8 * (place / columns)))
            for (i, value) in [x, y, Float(place)].enumerated() { state[place * channels + i] = value }
            let known = [x + y + pose[3], x - 2 * y + pose[7], x / 64, y / 64, 2, 0.5].prefix(2 + item.image.channels)
            for (i, value) in known.enumerated() { estimates[place * known.count + i] = value }
        }
    }

    private func decode() {
        let (state, image, around) = (self["state"], self["image"], self["neighbours"])
        let channels = item.program.channels
        let known = (0..<item.program.blocks).map { state[$0 * channels] } + [-1, -2]
        var to = 0
        for number in 0..<item.program.blocks {
            let (left, top) = pixel(4 * number)
            let third = state[number * channels + 2] + 100 * known[Int(around[9 * number])]
            for place in 0..<64 {
                let values = [left + Float(place % 8), top + Float(place / 8), third, self["pose"][11]]
                for value in values.prefix(item.image.channels) {
                    image[to] = value
                    to += 1
                }
            }
        }
    }

    /// The corner of a plane, which is of zeros in a batch that is not full.
    private func pixel(_ from: Int) -> (left: Float, top: Float) {
        let plane = self["plane"]
        if plane[from + 2] == 0 { return (0, 0) }
        return (
            (plane[from] / plane[from + 2] + Float(item.intrinsics[2])).rounded(),
            (plane[from + 1] / plane[from + 3] + Float(item.intrinsics[3])).rounded()
        )
    }
}
