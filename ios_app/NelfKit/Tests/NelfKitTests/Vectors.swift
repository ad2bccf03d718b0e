import Foundation
import XCTest

@testable import NelfKit

/// The vectors that all languages are held to: tests/vectors of the repository, or NELF_VECTORS.
enum Vectors {
    static let folder: URL = {
        if let given = ProcessInfo.processInfo.environment["NELF_VECTORS"] { return URL(fileURLWithPath: given) }
        var root = URL(fileURLWithPath: #filePath)
        for _ in 0..<5 { root.deleteLastPathComponent() }
        return root.appendingPathComponent("tests/vectors")
    }()

    static func read<Content: Decodable>(_ name: String) throws -> Content {
        try JSONDecoder().decode(Content.self, from: Data(contentsOf: folder.appendingPathComponent(name)))
    }

    static func text(_ manifest: String) throws -> String {
        try String(contentsOf: folder.appendingPathComponent("manifests/\(manifest).json"), encoding: .utf8)
    }

    static func manifest(_ name: String) throws -> Manifest { try Manifest(Data(text(name).utf8)) }
}

/// bundles.json.
struct BundleVectors: Decodable {
    struct Case: Decodable {
        let name, manifest: String
        let code, text, base64: String?
        let codes: [String: String]?
        let replace: [[String]]?
        let keep, pad: Int?
        let files: [String: String?]?

        /// The content of manifest.json.
        func content() throws -> Data {
            if let base64 { return try XCTUnwrap(Data(base64Encoded: base64)) }
            var text = try self.text ?? Vectors.text(manifest)
            for pair in replace ?? [] {
                let found = try XCTUnwrap(text.range(of: pair[0], options: .literal), "\(name): \(pair[0])")
                text.replaceSubrange(found, with: pair[1])
            }
            if let keep { text = String(text.prefix(keep)) }
            let bytes = Data(text.utf8)
            return bytes + Data(repeating: UInt8(ascii: " "), count: (pad ?? bytes.count) - bytes.count)
        }
    }

    let files: [String: String]
    let good, bad, viewers: [Case]
}

/// poses.json.
struct PoseVectors: Decodable {
    struct Case: Decodable {
        let name, manifest: String
        let start: Pose
        let steps: [Step]
    }

    struct Step: Decodable {
        let call: Call
        let moving: Bool
        let c2w: Pose
    }

    /// A method of `OrbitCamera` and what it is given.
    struct Call: Decodable {
        let method: String
        let numbers: [Double]

        init(from decoder: any Decoder) throws {
            var items = try decoder.unkeyedContainer()
            method = try items.decode(String.self)
            var numbers: [Double] = []
            while !items.isAtEnd { numbers.append(try items.decode(Double.self)) }
            self.numbers = numbers
        }
    }

    let tolerance: Double
    let cases: [Case]
}
