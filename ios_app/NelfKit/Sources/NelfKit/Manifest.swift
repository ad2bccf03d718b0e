import Foundation

/// What a viewer must know of a bundle: its `manifest.json`, read and checked.
public struct Manifest: Sendable {
    public let name: String
    public let kind: String
    public let target: String
    public let precision: String
    public let image: ImageInfo
    public let camera: CameraInfo
    public let region: Region
    public let model: ModelInfo
    public let files: [FileInfo]
    /// Path of the golden poses.
    public let golden: String
    public let parity: Parity
    public let student: StudentInfo
}

public struct ImageInfo: Sendable {
    public let width, height, channels: Int
    /// `premultiplied` or `none`.
    public let alpha: String
    /// RGB, 0 to 1, that the image is meant to be shown over.
    public let background: [Double]

    /// Whether there is a fourth channel, by which colour is already multiplied.
    public var hasAlpha: Bool { channels == 4 }
}

public struct CameraInfo: Sendable {
    /// fx, fy, cx, cy in pixels, pixel centres at +0.5.
    public let intrinsics: [Double]
    public let near, far: Double
    public let up, focus: Vector
}

/// Poses that training covered.
public enum Region: Sendable {
    case orbit(OrbitRegion)
    case box(BoxRegion)
}

public struct Range: Equatable, Sendable {
    public let low, high: Double
}

/// Cameras around an object, in spherical coordinates about `center`; angles in degrees.
public struct OrbitRegion: Sendable {
    public let center, up: Vector
    public let radius, elevation: Range
    public let azimuthZero: Vector
    public let azimuthStart, azimuthWidth: Double
}

/// Cameras in a box whose axes are those of `reference`; `angle`: widest between an axis and the reference's, degrees.
public struct BoxRegion: Sendable {
    public let reference: Pose
    public let low, high: Vector
    public let angle: Double
    public let covered: CoveredCameras?
}

/// Cameras that stand for all: how far from the nearest one may be, and look aside (degrees).
public struct CoveredCameras: Sendable {
    public let cameras: [Pose]
    public let reach, turn: Double
}

public struct TensorInfo: Sendable {
    public let name: String
    public let shape: [Int]
    public let dtype, layout: String

    /// Whether it is a picture of the system's (32BGRA in a pixel buffer), not an array of floats.
    public var isPicture: Bool { dtype == "uint8" && layout == "CVPixelBuffer" }
    var isTensor: Bool { dtype == "float32" && layout == "NHWC" }
}

public struct ModelInfo: Sendable {
    /// A file, or Core ML's package folder.
    public let path: String
    public let input, output: TensorInfo
}

public struct FileInfo: Sendable {
    public let path, role: String
    public let bytes: Int
    public let sha256: String
}

public struct Parity: Sendable {
    /// `passed` or `not_run`.
    public let status: String
    public let psnrMin: Double?
    public let requiredPSNR: Double?
}

public struct StudentInfo: Sendable {
    public let name: String
    public let parameters, macs: Int
}

extension Manifest {
    /// The target of `nelf export` whose bundles this app shows.
    static let appTarget = "ios"

    /// Why this app does not show the bundle, which is all right; nil: it does.
    public var unsupported: Unsupported? {
        if target != Self.appTarget { return Unsupported(.target, "The bundle is for \(target)") }
        if model.output.isTensor || model.output.isPicture { return nil }
        return Unsupported(.output, "The model gives \(model.output.dtype) in the layout \(model.output.layout)")
    }

    static let format = "nelf-bundle"
    static let major = "1"
    static let file = "manifest.json"
    static let mostBytes = 4 << 20

    /// Reads and checks the content of a `manifest.json`; the files are another matter (`SceneBundle`).
    public init(_ data: Data) throws {
        if data.count > Self.mostBytes {
            throw BundleError(.manifestTooLarge, "The manifest has more than \(Self.mostBytes) bytes")
        }
        let json: JSON
        do {
            json = try JSON(data)
        } catch let fault as JSON.Fault {
            throw BundleError(
                .manifestUnreadable, "The manifest cannot be read: \(fault.what) at byte \(fault.position)")
        }
        guard case .object(let members) = json, members["format"] == .string(Self.format) else {
            throw BundleError(.notABundle, "This is not the manifest of a nelf bundle")
        }
        // Before anything else, which another major version would have its own of.
        if case .string(let version) = members["version"], version.prefix(while: { $0 != "." }) != Self.major {
            throw BundleError(
                .versionUnknown, "The bundle has format version \(version); this app reads \(Self.major).x")
        }
        do {
            try self.init(Field(json))
        } catch let fault as Field.Fault {
            throw BundleError(.manifestInvalid, "The manifest is wrong at \(fault.path): \(fault.what)")
        }
        try checkCoherence()
    }
}
