import XCTest

@testable import NelfKit

final class SceneBundleTests: XCTestCase {
    private var scratch = URL(fileURLWithPath: "/")
    private var vectors = BundleVectors(files: [:], good: [], bad: [], viewers: [])

    override func setUpWithError() throws {
        scratch = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
        vectors = try Vectors.read("bundles.json")
    }

    override func tearDownWithError() throws { try FileManager.default.removeItem(at: scratch) }

    /// The case's bundle on disk.
    private func write(_ item: BundleVectors.Case) throws -> URL {
        let folder = scratch.appendingPathComponent(UUID().uuidString)
        var content: [String: Data?] = ["manifest.json": try item.content()]
        for (name, text) in vectors.files { content[name] = Data(text.utf8) }
        for (name, text) in item.files ?? [:] { content.updateValue(text.map { Data($0.utf8) }, forKey: name) }
        for case (let name, let data?) in content {
            let url = folder.appendingPathComponent(name)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try data.write(to: url)
        }
        return folder
    }

    private func assertRefused<Value>(_ code: String?, _ name: String, _ read: () throws -> Value) {
        XCTAssertThrowsError(try read(), name) { error in
            XCTAssertEqual((error as? BundleError)?.code.rawValue, code, "\(name): \(error)")
            XCTAssertFalse(error.localizedDescription.contains("\n"), name)
        }
    }

    func testGoodBundles() throws {
        XCTAssertGreaterThanOrEqual(vectors.good.count, 10)
        for item in vectors.good { XCTAssertNoThrow(try SceneBundle(write(item)), item.name) }
    }

    func testBadBundles() throws {
        XCTAssertGreaterThanOrEqual(vectors.bad.count, 30)
        for item in vectors.bad {
            let folder = try write(item)
            assertRefused(item.code, item.name) { try SceneBundle(folder) }
        }
    }

    func testWhatThisAppShows() throws {
        for item in vectors.viewers {
            let error = try Manifest(item.content()).unsupported
            XCTAssertEqual(error?.code.rawValue, item.codes?["ios"], item.name)
        }
    }

    func testEveryCodeIsMet() {
        let met = vectors.bad.compactMap(\.code) + vectors.viewers.compactMap { $0.codes?["ios"] }
        XCTAssertEqual(Set(met), Set(BundleError.Code.allCases.map(\.rawValue)))
    }

    /// Foundation would take most of these for JSON.
    func testWhatIsNotJSON() throws {
        let text = try Vectors.text("around")
        for wrong in [
            "{\"new\": [1,],", "{\"new\": {\"a\": 1 , },", "{'new': 1,", "{new: 1,", "{\"new\" 1,",
            "{\"new\": 1 // one\n,",
            "{\"new\": 01,", "{\"new\": +1,", "{\"new\": 0x1,", "{\"new\": nul,", "{\"new\": \"\\x\",",
            "{\"new\": \"\n\",",
        ] {
            assertRefused("invalid_manifest", wrong) { try Manifest(Data((wrong + text.dropFirst()).utf8)) }
        }
        let comma = "{\"new\": \",] \\\",}\"," + text.dropFirst()
        XCTAssertNoThrow(try Manifest(Data(comma.utf8)))
        for encoding in [String.Encoding.utf16LittleEndian, .utf16, .utf32] {
            let data = try XCTUnwrap(text.data(using: encoding))
            assertRefused("invalid_manifest", "\(encoding)") { try Manifest(data) }
        }
        let deep = Data(repeating: UInt8(ascii: "["), count: Manifest.mostBytes)
        assertRefused("invalid_manifest", "4 MiB of brackets") { try Manifest(deep) }
    }

    func testALinkThatLeavesTheFolder() throws {
        let folder = try write(vectors.good[0])
        let inside = folder.appendingPathComponent("model.bin")
        let outside = scratch.appendingPathComponent("model.bin")
        try FileManager.default.moveItem(at: inside, to: outside)
        try FileManager.default.createSymbolicLink(at: inside, withDestinationURL: outside)
        assertRefused("unsafe_path", "a link") { try SceneBundle(folder) }
    }

    private func poses(_ image: String = "golden/r_0.rgba", rows: Int = 3) -> String {
        let c2w = Array(repeating: "[1, 0, 0, 5]", count: rows).joined(separator: ", ")
        return "{\"views\": [{\"name\": \"a\", \"image\": \"\(image)\", \"c2w\": [\(c2w)]}]}"
    }

    func testGoldenViews() throws {
        let bundle = try SceneBundle(write(vectors.good[0]))
        let file = bundle.folder.appendingPathComponent("golden/poses.json")
        for (text, code) in [
            ("", "damaged_file"), ("{\"views\": []}", "damaged_file"), (poses(rows: 2), "damaged_file"),
            (poses().replacingOccurrences(of: "5", with: "1e999"), "damaged_file"),
            (poses("../a.rgb"), "unsafe_path"), (poses("a.rgb"), "invalid_manifest"),
        ] {
            try Data(text.utf8).write(to: file)
            assertRefused(code, text) { try bundle.goldenViews() }
        }
        try Data(poses().utf8).write(to: file)
        let view = try XCTUnwrap(try bundle.goldenViews().first)
        XCTAssertEqual(view.c2w.rows, [1, 0, 0, 5, 1, 0, 0, 5, 1, 0, 0, 5])
        let pixels = (0..<bundle.manifest.image.size).map { UInt8(truncatingIfNeeded: $0 * $0) }
        for wrong in [Array(pixels.dropLast()), pixels + [0]] {
            try Data(wrong).write(to: view.image)
            assertRefused("damaged_file", "\(wrong.count) bytes") { try view.pixels(bundle.manifest.image) }
        }
        try Data(pixels).write(to: view.image)
        XCTAssertEqual(try view.pixels(bundle.manifest.image), pixels)
    }
}
