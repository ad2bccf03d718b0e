import Foundation

/// What a viewer must know of a bundle: its `manifest.json`. nelf/bundle/manifest.py documents the keys.
public struct Manifest: Decodable, Sendable {
    public enum SceneType: String, Decodable, Sendable {
        case object, unbounded
        case forwardFacing = "forward-facing"
    }

    public let name: String
    public let sceneType: SceneType
    public let target: String
    public let precision: String
    public let image: ImageInfo
    public let camera: CameraInfo
    public let region: Region
    public let model: ModelInfo
    public let files: [FileInfo]
    /// Path of the golden poses.
    public let golden: String
    public let program: TileProgram?
    let parity: Parity
    let student: StudentInfo
    let deployment: [String: String]
    let provenance: Provenance
    let version: String

    private enum CodingKeys: String, CodingKey {
        case sceneType = "scene_type"
        case name, target, precision, image, camera, region, model, files, golden, program, parity, student, deployment
        case provenance, version
    }
}

public struct ImageInfo: Decodable, Sendable {
    public enum Alpha: String, Decodable, Sendable {
        case premultiplied, none
    }

    public let width, height, channels: Int
    public let alpha: Alpha
    /// RGB, 0 to 1, that the image is meant to be shown over.
    public let background: [Double]

    /// Whether there is a fourth channel, by which colour is already multiplied.
    public var hasAlpha: Bool { channels == 4 }
    /// Numbers of one image.
    public var size: Int { width * height * channels }
}

public struct CameraInfo: Decodable, Sendable {
    enum Axes: String, Decodable, Sendable {
        case opengl
    }

    let axes: Axes
    /// fx, fy, cx, cy in pixels, pixel centres at +0.5.
    public let intrinsics: [Double]
    public let near, far: Double
    public let up, focus: Vector
}

public struct Range: Equatable, Sendable {
    public let low, high: Double
}

/// Poses that training covered.
public enum Region: Sendable {
    case orbit(OrbitRegion)
    case box(BoxRegion)
}

/// Cameras around an object, in spherical coordinates about `center`; angles in degrees.
public struct OrbitRegion: Decodable, Sendable {
    public let center, up: Vector
    public let radius, elevation: Range
    public let azimuthZero: Vector
    public let azimuthStart, azimuthWidth: Double

    private enum CodingKeys: String, CodingKey {
        case center, up, radius, elevation
        case azimuthZero = "azimuth_zero"
        case azimuthStart = "azimuth_start"
        case azimuthWidth = "azimuth_width"
    }
}

/// Cameras in a box whose axes are those of `reference`.
public struct BoxRegion: Decodable, Sendable {
    public let reference: Pose
    public let low, high: Vector
    /// Largest angle between a camera's axis and the reference's, in degrees.
    public let angle: Double
    let cameras: [Pose]?
    let maxDistance, maxAngle: Double?

    /// Where the box says too little: cameras to stay near.
    public var nearby: NearbyCameras? {
        guard let cameras, let maxDistance, let maxAngle else { return nil }
        return NearbyCameras(cameras: cameras, maxDistance: maxDistance, maxAngle: maxAngle)
    }

    private enum CodingKeys: String, CodingKey {
        case reference, low, high, angle, cameras
        case maxDistance = "max_distance"
        case maxAngle = "max_angle"
    }
}

/// Cameras that stand for all: how far from the nearest one may be, and look aside (degrees).
public struct NearbyCameras: Sendable {
    public let cameras: [Pose]
    public let maxDistance, maxAngle: Double
}

public struct TensorInfo: Decodable, Sendable {
    public enum DataType: String, Decodable, Sendable {
        case float32, uint8
    }

    public let name: String
    public let shape: [Int]
    public let dtype: DataType
    public let layout: String

    /// Whether it is a picture of the system's (32BGRA in a pixel buffer), not an array of floats.
    public var isPicture: Bool { dtype == .uint8 && layout == "CVPixelBuffer" }
    var isTensor: Bool { dtype == .float32 && layout == "NHWC" }
}

public struct ModelInfo: Decodable, Sendable {
    /// A file, or Core ML's package folder.
    public let path: String
    public let input, output: TensorInfo
}

public struct FileInfo: Decodable, Sendable {
    public enum Role: String, Decodable, Sendable {
        case model, golden, page
    }

    public let path: String
    public let role: Role
    public let bytes: Int
    public let sha256: String
}

/// The file against PyTorch on the golden poses, or why it was not compared.
enum Parity: Sendable {
    case passed(Measurement)
    case notRun(reason: String)

    struct Measurement: Decodable, Sendable {
        enum Reference: String, Decodable, Sendable {
            case pytorch
        }

        let comparedWith: Reference
        let runtime: String
        let views: Int
        let psnrMin, psnrMean, maxAbs, requiredPSNR, allowedMaxAbs: Double

        private enum CodingKeys: String, CodingKey {
            case runtime, views
            case comparedWith = "compared_with"
            case psnrMin = "psnr_min"
            case psnrMean = "psnr_mean"
            case maxAbs = "max_abs"
            case requiredPSNR = "required_psnr"
            case allowedMaxAbs = "allowed_max_abs"
        }
    }
}

struct StudentInfo: Decodable, Sendable {
    let name: String
    let parameters, macs: Int
}

struct Provenance: Decodable, Sendable {
    let versions: [String: String]
}
