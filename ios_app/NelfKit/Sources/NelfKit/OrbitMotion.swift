import Foundation

/// An orbit region: the camera circles the centre in spherical coordinates, each held to its range.
final class OrbitMotion: Motion {
    private let region: OrbitRegion
    private let side: Vector
    private let lowest, highest, halfArc, middle, span: Double

    private var turn = 0.0  // from the middle of the arc
    private var elevation = 0.0
    private var radius = 0.0
    private var shift = Shift()

    init(_ region: OrbitRegion, span: Double) {
        self.region = region
        self.span = span
        side = region.up.cross(region.azimuthZero)
        lowest = radians(region.elevation.low)
        highest = radians(region.elevation.high)
        halfArc = radians(region.azimuthWidth) / 2
        middle = radians(region.azimuthStart) + halfArc
        reset()
    }

    func reset() {
        turn = 0
        elevation = clamp(MotionScale.startElevation, lowest, highest)
        radius = (region.radius.low + region.radius.high) / 2
        shift = Shift()
    }

    func orbit(_ x: Double, _ y: Double) {
        let moved = turn - x * MotionScale.turn
        if region.azimuthWidth >= 360 {
            turn = moved - 2 * .pi * ((moved + .pi) / (2 * .pi)).rounded(.down)
        } else {
            turn = clamp(moved, -halfArc, halfArc)
        }
        elevation = clamp(elevation + y * MotionScale.turn, lowest, highest)
    }

    func pan(_ x: Double, _ y: Double) {
        shift.move(x * span, y * span)
    }

    func dolly(_ log: Double) {
        radius = clamp(radius * exp(-log), region.radius.low, region.radius.high)
    }

    var pose: Pose {
        let azimuth = middle + turn
        let outwards = region.azimuthZero * cos(azimuth) + side * sin(azimuth)
        let away = outwards * cos(elevation) + region.up * sin(elevation)
        let level = side * cos(azimuth) - region.azimuthZero * sin(azimuth)  // defined at the poles too
        let above = away.cross(level)
        let back = (away - level * shift.x - above * shift.y).unit(otherwise: away)
        let right = above.cross(back).unit(otherwise: level)
        return Pose(right: right, up: back.cross(right), back: back, eye: region.center + away * radius)
    }
}
