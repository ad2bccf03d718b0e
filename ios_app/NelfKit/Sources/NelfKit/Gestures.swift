import Foundation

/// Fingers on the view as calls of a camera: one drags, two pan and pinch, two quick taps reset. Lengths are points.
public struct Gestures {
    /// Points that a finger may slip in a tap.
    private static let slop = 12.0
    /// Seconds that a tap lasts at most, and that are between two of a double tap at most.
    private static let tapTime = 0.3

    /// Where the fingers are: the one, or the middle of two, and how far these are apart.
    private struct Place {
        var x = 0.0
        var y = 0.0
        var spread = 0.0
        var seconds = 0.0
    }

    private var fingers = 0
    private var last = Place()
    private var down = Place()
    private var tapping = false
    private var lastTap = -Double.infinity

    public init() {}

    /// The fingers now on the view, at `seconds` of any clock: how many, and where the first two are.
    public mutating func touch(
        _ count: Int, _ first: (x: Double, y: Double), _ second: (x: Double, y: Double), at seconds: Double,
        camera: OrbitCamera
    ) {
        defer { fingers = count }
        if count == 0 {
            if fingers > 0 { lifted(at: seconds, camera: camera) }
            return
        }
        let now = Self.place(count, first, second, seconds)
        if count != fingers {
            camera.begin()
            tapping = fingers == 0 && count == 1
            down = now
        } else {
            moved(to: now, camera: camera)
        }
        last = now
    }

    /// The system took the fingers away.
    public mutating func cancel(at seconds: Double, camera: OrbitCamera) {
        tapping = false
        if fingers > 0 { camera.end(seconds - last.seconds) }
        fingers = 0
    }

    private static func place(
        _ count: Int, _ first: (x: Double, y: Double), _ second: (x: Double, y: Double), _ seconds: Double
    ) -> Place {
        if count == 1 { return Place(x: first.x, y: first.y, seconds: seconds) }
        let (dx, dy) = (second.x - first.x, second.y - first.y)
        return Place(
            x: (first.x + second.x) / 2, y: (first.y + second.y) / 2, spread: (dx * dx + dy * dy).squareRoot(),
            seconds: seconds)
    }

    private mutating func moved(to now: Place, camera: OrbitCamera) {
        let dt = now.seconds - last.seconds
        let (dx, dy) = (now.x - last.x, now.y - last.y)
        if fingers > 1 {
            camera.pan(dx, dy, dt)
            if last.spread > 0 { camera.pinch(now.spread / last.spread, dt) }
        } else {
            camera.drag(dx, dy, dt)
        }
        let (x, y) = (now.x - down.x, now.y - down.y)
        if x * x + y * y > Self.slop * Self.slop { tapping = false }
    }

    private mutating func lifted(at seconds: Double, camera: OrbitCamera) {
        camera.end(seconds - last.seconds)
        guard tapping, seconds - down.seconds <= Self.tapTime else {
            lastTap = -.infinity
            return
        }
        if down.seconds - lastTap <= Self.tapTime {
            lastTap = -.infinity
            camera.reset()
        } else {
            lastTap = seconds
        }
    }
}
