import Foundation

/// A box region with cameras: the camera goes anywhere, and is drawn back to the nearest of them.
final class NearbyCamerasMotion: Motion {
    private let eyes, backs: [Vector]
    private let up, focus: Vector
    private let maxDistance, maxAngle, distance, span: Double

    private var eye = Vector.zero
    private var back = Vector.zero

    init(_ nearby: NearbyCameras, camera: CameraInfo, span: Double) {
        eyes = nearby.cameras.map(\.eye)
        backs = nearby.cameras.map { $0.back.unit(otherwise: Vector(0, 0, 1)) }
        maxDistance = nearby.maxDistance
        maxAngle = radians(nearby.maxAngle)
        up = camera.up
        focus = camera.focus
        self.span = span
        distance = eyes.map { ($0 - camera.focus).length }.reduce(0, +) / Double(eyes.count)
        reset()
    }

    func reset() {
        eye = eyes[0]
        back = backs[0]
    }

    func orbit(_ x: Double, _ y: Double) {
        turn(about: up, by: -x * MotionScale.turn)
        let elevation = asin(clamp(back.dot(up), -1, 1))
        let steepest = max(MotionScale.steepest, abs(elevation))
        let rise = clamp(elevation + y * MotionScale.turn, -steepest, steepest) - elevation
        turn(about: pose.right, by: -rise)
        stay()
    }

    func pan(_ x: Double, _ y: Double) {
        let right = pose.right
        let move = span * distance
        eye = eye + right * (-x * move) + back.cross(right) * (y * move)
        stay()
    }

    func dolly(_ log: Double) {
        eye = eye - back * (log * distance)
        stay()
    }

    var pose: Pose { Pose(eye: eye, back: back, above: up) }

    /// Everything about an axis through the focus.
    private func turn(about axis: Vector, by angle: Double) {
        eye = focus + (eye - focus).turned(about: axis, by: angle)
        back = back.turned(about: axis, by: angle).unit(otherwise: back)
    }

    private func stay() {
        var nearest = 0
        var least = Double.infinity
        for index in eyes.indices {
            let (place, look) = (eye - eyes[index], back - backs[index])
            let difference = place.dot(place) + distance * distance * look.dot(look)
            if difference < least { (nearest, least) = (index, difference) }
        }
        let offset = eye - eyes[nearest]
        let size = offset.length
        if size > maxDistance { eye = eyes[nearest] + offset * (maxDistance / size) }
        back = back.toward(backs[nearest], within: maxAngle)
    }
}
