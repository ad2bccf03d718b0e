import XCTest

@testable import NelfKit

final class SceneBundleTests: XCTestCase {
    private var scratch = URL(fileURLWithPath: "/")

    override func setUpWithError() throws {
        scratch = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
    }

    override func tearDownWithError() throws { try FileManager.default.removeItem(at: scratch) }

    /// The case's bundle on disk.
    private func write(_ item: Field, _ shared: Field, number: Int) throws -> URL {
        let folder = scratch.appendingPathComponent("\(number)")
        var files = try shared.members.keys.map { ($0, Optional(try shared[$0].text())) }
        files += try (item.optional("files")?.members ?? [:]).map { name, content in
            (name, content == .null ? nil : try Field(content).text())
        }
        var content: [String: Data?] = ["manifest.json": try manifest(of: item)]
        for (name, text) in files { content[name] = text.map { Data($0.utf8) } }
        for case (let name, let data?) in content {
            let url = folder.appendingPathComponent(name)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try data.write(to: url)
        }
        return folder
    }

    private func manifest(of item: Field) throws -> Data {
        if let base64 = try item.optional("base64")?.text() { return try XCTUnwrap(Data(base64Encoded: base64)) }
        var text = try item.optional("text")?.text() ?? Vectors.text(item["manifest"].text())
        let name = try item["name"].text()
        for pair in try item.optional("replace")?.items() ?? [] {
            let (old, new) = (try pair.items()[0].text(), try pair.items()[1].text())
            let found = try XCTUnwrap(text.range(of: old, options: .literal), "\(name): \(old)")
            text.replaceSubrange(found, with: new)
        }
        if let keep = try item.optional("keep")?.integer() { text = String(text.prefix(keep)) }
        let bytes = Data(text.utf8)
        let size = try item.optional("pad")?.integer() ?? bytes.count
        return bytes + Data(repeating: UInt8(ascii: " "), count: size - bytes.count)
    }

    func testGoodBundles() throws {
        let bundles = try Vectors.read("bundles.json")
        for (number, item) in try bundles["good"].items().enumerated() {
            let folder = try write(item, bundles["files"], number: number)
            let name = try item["name"].text()
            XCTAssertNoThrow(try SceneBundle(folder), name)
        }
    }

    func testBadBundles() throws {
        let bundles = try Vectors.read("bundles.json")
        let items = try bundles["bad"].items()
        XCTAssertGreaterThanOrEqual(items.count, 30)
        for (number, item) in items.enumerated() {
            let (name, code) = (try item["name"].text(), try item["code"].text())
            let folder = try write(item, bundles["files"], number: number)
            XCTAssertThrowsError(try SceneBundle(folder), name) { error in
                XCTAssertEqual((error as? BundleError)?.code.rawValue, code, "\(name): \(error)")
                XCTAssertFalse(error.localizedDescription.contains("\n"), name)
            }
        }
        XCTAssertEqual(Set(try items.map { try $0["code"].text() }), Set(BundleError.Code.allCases.map(\.rawValue)))
    }

    func testWhatThisAppShows() throws {
        let bundles = try Vectors.read("bundles.json")
        let items = try bundles["viewers"].items()
        for item in items {
            let (name, code) = (try item["name"].text(), try item["codes"].optional("ios")?.text())
            XCTAssertEqual(try Manifest(manifest(of: item)).unsupported?.code.rawValue, code, name)
        }
        XCTAssertEqual(
            Set(try items.compactMap { try $0["codes"].optional("ios")?.text() }),
            Set(Unsupported.Code.allCases.map(\.rawValue)))
    }

    func testALinkThatLeavesTheFolder() throws {
        let bundles = try Vectors.read("bundles.json")
        let folder = try write(bundles["good"].items()[0], bundles["files"], number: 0)
        let inside = folder.appendingPathComponent("golden/r_0.png")
        let outside = scratch.appendingPathComponent("r_0.png")
        try FileManager.default.moveItem(at: inside, to: outside)
        try FileManager.default.createSymbolicLink(at: inside, withDestinationURL: outside)
        XCTAssertThrowsError(try SceneBundle(folder)) { XCTAssertEqual(($0 as? BundleError)?.code, .pathOutside) }
    }

    func testGoldenViews() throws {
        let bundles = try Vectors.read("bundles.json")
        let bundle = try SceneBundle(write(bundles["good"].items()[0], bundles["files"], number: 0))
        let poses = bundle.folder.appendingPathComponent("golden/poses.json")
        let row = "[1, 0, 0, 5]"
        for (text, code) in [
            ("{\"views\": []}", BundleError.Code.manifestUnreadable),
            (
                "{\"views\": [{\"name\": \"a\", \"image\": \"../a.png\", \"c2w\": [\(row), \(row), \(row)]}]}",
                .pathOutside
            ),
            ("{\"views\": [{\"name\": \"a\", \"image\": \"a.png\", \"c2w\": [\(row), \(row)]}]}", .manifestUnreadable),
        ] {
            try text.write(to: poses, atomically: true, encoding: .utf8)
            XCTAssertThrowsError(try bundle.goldenViews(), text) {
                XCTAssertEqual(($0 as? BundleError)?.code, code, text)
            }
        }
        try "{\"views\": [{\"name\": \"a\", \"image\": \"golden/a.png\", \"c2w\": [\(row), \(row), \(row)]}]}"
            .write(to: poses, atomically: true, encoding: .utf8)
        let view = try XCTUnwrap(try bundle.goldenViews().first)
        XCTAssertEqual(view.c2w.rows, [1, 0, 0, 5, 1, 0, 0, 5, 1, 0, 0, 5])
        XCTAssertEqual(view.image.lastPathComponent, "a.png")
        try Data([1, 2, 3]).write(to: view.image)
        XCTAssertThrowsError(try view.picture(bundle.manifest.image)) { XCTAssert($0 is PNG.Fault) }
    }
}
