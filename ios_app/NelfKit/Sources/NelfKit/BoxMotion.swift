import Foundation

/// Region `box`: the camera shifts inside the box, in the frame of its reference camera, and looks at the focus.
final class BoxMotion: Motion {
    private let box: BoxRegion
    private let aim: Vector
    private let angle, span: Double

    private var place = Vector.zero
    private var shift = Shift()

    init(_ box: BoxRegion, camera: CameraInfo, span: Double) {
        self.box = box
        self.span = span
        angle = radians(box.angle)
        let offset = camera.focus - box.reference.eye
        aim = Vector(
            offset.dot(box.reference.right), offset.dot(box.reference.up),
            min(offset.dot(box.reference.back), box.low.z - camera.near))  // before the box, wherever the focus is
        reset()
    }

    func reset() {
        shift = Shift()
        move(to: .zero)
    }

    private func move(to target: Vector) {
        place = Vector(
            clamp(target.x, box.low.x, box.high.x), clamp(target.y, box.low.y, box.high.y),
            clamp(target.z, box.low.z, box.high.z))
    }

    func orbit(_ x: Double, _ y: Double) {
        let size = box.high - box.low
        move(to: place + Vector(-x * size.x, y * size.y, 0))
    }

    func pan(_ x: Double, _ y: Double) {
        shift.move(x * span, y * span)
    }

    func dolly(_ log: Double) {
        move(to: place + Vector(0, 0, -log * (box.high.z - box.low.z)))
    }

    var pose: Pose {
        let distance = place.z - aim.z
        let target = aim + Vector(shift.x * distance, shift.y * distance, 0)
        let ahead = Vector(0, 0, 1)
        let back = (place - target).unit(otherwise: ahead).toward(ahead, within: angle)
        let right = Vector(back.z, 0, -back.x).unit(otherwise: Vector(1, 0, 0))
        return Pose(
            right: world(right), up: world(back.cross(right)), back: world(back),
            eye: box.reference.eye + world(place))
    }

    private func world(_ local: Vector) -> Vector {
        box.reference.right * local.x + box.reference.up * local.y + box.reference.back * local.z
    }
}
