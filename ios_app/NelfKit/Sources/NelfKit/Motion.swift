import Foundation

/// How a gesture moves the camera in one kind of region, and what keeps it inside. docs/viewers.md has the formulas.
///
/// `orbit` and `pan` take fractions of the view's shorter side, x to the right and y downwards; `dolly` takes the
/// natural logarithm of how much larger things get. The pose is inside the region at any time.
protocol Motion: AnyObject {
    var pose: Pose { get }
    func orbit(_ x: Double, _ y: Double)
    func pan(_ x: Double, _ y: Double)
    func dolly(_ log: Double)
    func reset()
}

enum MotionScale {
    /// Radians that a drag over the view's shorter side turns by.
    static let turn = Double.pi
    /// Farthest that the point looked at moves from its place, as a share of its distance, to each side.
    static let panLimit = 0.15
    static let startElevation = radians(20)
    static let steepest = radians(85)
}

/// Where the camera looks beside the region's centre, as shares of its distance.
struct Shift {
    var x = 0.0
    var y = 0.0

    mutating func move(_ dx: Double, _ dy: Double) {
        x = clamp(x - dx, -MotionScale.panLimit, MotionScale.panLimit)
        y = clamp(y + dy, -MotionScale.panLimit, MotionScale.panLimit)
    }
}

func motion(for manifest: Manifest) -> any Motion {
    switch manifest.region {
    case .orbit(let orbit): OrbitMotion(orbit, span: manifest.span)
    case .box(let box):
        if let nearby = box.nearby {
            NearbyCamerasMotion(nearby, camera: manifest.camera, span: manifest.span)
        } else {
            BoxMotion(box, camera: manifest.camera, span: manifest.span)
        }
    }
}

extension Manifest {
    /// Width of what the image's shorter side shows at distance 1.
    var span: Double {
        min(Double(image.width) / camera.intrinsics[0], Double(image.height) / camera.intrinsics[1])
    }
}
