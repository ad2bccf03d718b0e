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

    static func read(_ name: String) throws -> Field {
        Field(try JSON(Data(contentsOf: folder.appendingPathComponent(name))), path: name)
    }

    static func text(_ manifest: String) throws -> String {
        try String(contentsOf: folder.appendingPathComponent("manifests/\(manifest).json"), encoding: .utf8)
    }

    static func manifest(_ name: String) throws -> Manifest { try Manifest(Data(text(name).utf8)) }
}

extension Field {
    var members: [String: JSON] {
        if case .object(let members) = json { return members }
        return [:]
    }
}
