import Foundation

/// An object scene put into a room: where the room's camera is in the scene, and what can be shown from there.
///
/// Room space is ARKit's: metres, y upwards; its cameras have the same axes as ours.
public struct ARPlacement {
    /// What to draw: the image of a covered pose, and how much larger it appears than there, about the focus.
    public struct View: Equatable {
        public let c2w: Pose
        public let scale: Double
        /// Where the focus is in the camera's image plane at distance 1: x to the right, y upwards.
        public let focus: (x: Double, y: Double)
        /// Degrees between the direction from which one looks and the nearest that was photographed.
        public let degreesOff: Double

        public static func == (a: View, b: View) -> Bool {
            a.c2w == b.c2w && a.scale == b.scale && a.focus == b.focus && a.degreesOff == b.degreesOff
        }
    }

    private let shell: Shell
    private let anchor: Vector
    private let metres: Double  // of one unit of the scene
    private let side, across: Vector  // room directions of the scene's azimuth zero and of its side

    /// Puts the scene so that its centre is `distance` metres before the room's camera, and is seen from the side from
    /// which `start`, a pose of the scene, sees it. nil for a scene that is no object.
    public init?(_ manifest: Manifest, start: Pose, before camera: Pose, distance: Double) {
        guard case .shell(let shell) = manifest.region, distance > 0 else { return nil }
        self.shell = shell
        anchor = camera.eye - camera.back * distance
        let offset = start.eye - shell.center
        metres = distance / max(offset.length, Vector.parallel)
        let azimuth = atan2(offset.dot(shell.up.cross(shell.azimuthZero)), offset.dot(shell.azimuthZero))
        // The horizontal direction from the scene to the camera has that azimuth.
        let level = Vector(camera.back.x, 0, camera.back.z).unit(otherwise: Vector(0, 0, 1))
        side = level.turned(about: Vector(0, 1, 0), by: -azimuth)
        across = Vector(0, 1, 0).cross(side)
    }

    /// A room's direction, in the scene.
    private func scene(_ room: Vector) -> Vector {
        let zero = shell.azimuthZero
        return zero * room.dot(side) + shell.up.cross(zero) * room.dot(across) + shell.up * room.y
    }

    /// What the room's camera sees of the scene. nil when it is inside the object, or the object is behind it.
    public func view(from camera: Pose) -> View? {
        let offset = scene(camera.eye - anchor) * (1 / metres)
        let (right, up, back) = (scene(camera.right), scene(camera.up), scene(camera.back))
        let away = offset.unit(otherwise: .zero)
        let depth = offset.dot(back)
        if away == .zero || depth <= 0 { return nil }
        let covered = nearest(to: offset)
        // Turn the camera with the way to the centre, so that the object stays where it is in the image.
        let nearestAway = covered.unit(otherwise: away)
        let axis = away.cross(nearestAway)
        let angle = atan2(axis.length, away.dot(nearestAway))
        let unitAxis = axis.unit(otherwise: shell.up)
        let turn = { (v: Vector) in v.turned(about: unitAxis, by: angle) }
        return View(
            c2w: Pose(right: turn(right), up: turn(up), back: turn(back), eye: shell.center + covered),
            scale: covered.length / offset.length, focus: (-offset.dot(right) / depth, -offset.dot(up) / depth),
            degreesOff: angle * 180 / .pi)
    }

    /// The covered place (relative to the centre) for one anywhere: each coordinate held to its range.
    private func nearest(to offset: Vector) -> Vector {
        let side = shell.up.cross(shell.azimuthZero)
        let distance = offset.length
        let elevation = asin(clamp(offset.dot(shell.up) / distance, -1, 1))
        let half = radians(shell.azimuthWidth) / 2
        let middle = radians(shell.azimuthStart) + half
        let azimuth = atan2(offset.dot(side), offset.dot(shell.azimuthZero))
        let fromMiddle = (azimuth - middle).remainder(dividingBy: 2 * .pi)
        let held = middle + clamp(fromMiddle, -half, half)
        let height = clamp(elevation, radians(shell.elevation.low), radians(shell.elevation.high))
        let level = shell.azimuthZero * cos(held) + side * sin(held)
        let away = level * cos(height) + shell.up * sin(height)
        return away * clamp(distance, shell.radius.low, shell.radius.high)
    }
}
