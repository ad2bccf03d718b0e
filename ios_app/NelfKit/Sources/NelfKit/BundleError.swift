import Foundation

/// Why a bundle is not shown. `code` is the same in all readers (docs/viewers.md); `what` is for people.
public struct BundleError: LocalizedError, Equatable, Sendable {
    public enum Code: String, CaseIterable, Sendable {
        case notABundle = "not_a_bundle"
        case unsupportedVersion = "unsupported_version"
        case invalidManifest = "invalid_manifest"
        case unsafePath = "unsafe_path"
        case damagedFile = "damaged_file"
        case unsupportedTarget = "unsupported_target"
    }

    public let code: Code
    public let what: String

    init(_ code: Code, _ what: String) {
        self.code = code
        self.what = what
    }

    public var errorDescription: String? { "\(what). \(advice)" }

    /// What a person can do about it.
    private var advice: String {
        switch code {
        case .notABundle: "Open the folder that nelf export wrote."
        case .unsupportedVersion: "Update this app, or export the scene again with the nelf that belongs to it."
        case .invalidManifest: "Export the scene again."
        case .unsafePath: "Do not use this bundle."
        case .damagedFile: "Copy the bundle again, whole, or export the scene again."
        case .unsupportedTarget: "Make one with: nelf export RUN --target \(Manifest.appTarget)"
        }
    }
}
