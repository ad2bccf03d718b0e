import Foundation

/// Why a bundle is refused. `code` is the same in all readers (docs/viewers.md); `what` is for people.
public struct BundleError: Error, Equatable, Sendable {
    public enum Code: String, CaseIterable, Sendable {
        case manifestMissing = "manifest_missing"
        case manifestTooLarge = "manifest_too_large"
        case manifestUnreadable = "manifest_unreadable"
        case notABundle = "not_a_bundle"
        case versionUnknown = "version_unknown"
        case manifestInvalid = "manifest_invalid"
        case shapeMismatch = "shape_mismatch"
        case directionNotUnit = "direction_not_unit"
        case rotationInvalid = "rotation_invalid"
        case rangeEmpty = "range_empty"
        case pathOutside = "path_outside"
        case fileTwice = "file_twice"
        case fileUnlisted = "file_unlisted"
        case fileMissing = "file_missing"
        case fileSize = "file_size"
        case fileChanged = "file_changed"
    }

    public let code: Code
    public let what: String

    init(_ code: Code, _ what: String) {
        self.code = code
        self.what = what
    }
}

extension BundleError: LocalizedError {
    public var errorDescription: String? { "\(what). \(advice)" }

    /// What a person can do about it.
    public var advice: String {
        switch code {
        case .manifestMissing, .notABundle: "Open the folder that nelf export wrote."
        case .versionUnknown: "Update this app, or export the scene again with the nelf that belongs to it."
        case .pathOutside: "Do not use this bundle."
        case .fileMissing, .fileSize, .fileChanged: "Copy the bundle again, whole."
        default: "Export the scene again."
        }
    }
}

/// Why an app does not show a bundle that is all right. The codes are those of docs/viewers.md.
public struct Unsupported: LocalizedError, Equatable, Sendable {
    public enum Code: String, CaseIterable, Sendable {
        case target = "target_unsupported"
        case output = "output_unsupported"
    }

    public let code: Code
    public let what: String

    init(_ code: Code, _ what: String) {
        self.code = code
        self.what = what
    }

    public var errorDescription: String? {
        "\(what). Make one with: nelf export RUN --target \(Manifest.appTarget) (\(code.rawValue))"
    }
}
