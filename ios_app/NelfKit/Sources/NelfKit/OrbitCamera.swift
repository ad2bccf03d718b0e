import Foundation

/// The camera of the viewer: gestures in, pose out, never outside the region that training covered.
///
/// docs/viewers.md specifies it; tests/vectors/poses.json holds it to the Python reference. Lengths are points, x to
/// the right and y downwards; times are seconds. There is no clock: time steps are arguments. A move counts towards
/// inertia only between `begin` and `end`. Arguments that are no finite numbers, and sizes and scales that are not
/// positive, make a call do nothing; a time below a microsecond is none.
public final class OrbitCamera {
    /// Seconds over which the speed of a gesture is averaged.
    private static let smoothing = 0.05
    /// Seconds in which the speed after a gesture falls to 1/e.
    private static let inertia = 0.35
    /// View sides (or e-foldings of scale) a second: below the first the camera stands; none is above the second.
    private static let slowest = 0.002
    private static let fastest = 8.0
    private static let longestMove = 100.0
    private static let shortestTime = 1e-6

    private let motion: any Motion
    private var unit = 1.0
    private var held = false
    private var speeds = Speeds()

    public init(_ manifest: Manifest) {
        motion = NelfKit.motion(for: manifest)
    }

    /// Camera to world, OpenGL axes.
    public var c2w: Pose { motion.pose }

    /// Whether `step` would move it.
    public var moving: Bool { !held && speeds.any }

    /// The view's size.
    public func resize(_ width: Double, _ height: Double) {
        if width.isFinite, height.isFinite, width > 0, height > 0 { unit = min(width, height) }
    }

    /// Fingers were put down, or their number changed: what moved stops.
    public func begin() {
        held = true
        speeds = Speeds()
    }

    /// One finger moved by (dx, dy) in the time dt.
    public func drag(_ dx: Double, _ dy: Double, _ dt: Double) {
        if dx.isFinite, dy.isFinite { move(.orbit, Plane(x: dx / unit, y: dy / unit), dt) }
    }

    /// Two fingers moved; (dx, dy) is the way of the point between them.
    public func pan(_ dx: Double, _ dy: Double, _ dt: Double) {
        if dx.isFinite, dy.isFinite { move(.pan, Plane(x: dx / unit, y: dy / unit), dt) }
    }

    /// The distance of two fingers became `scale` times what it was.
    public func pinch(_ scale: Double, _ dt: Double) {
        if scale.isFinite, scale > 0 { move(.dolly, Plane(x: log(scale), y: 0), dt) }
    }

    /// The last finger was lifted, the time dt after the last move: what was moving goes on by itself.
    public func end(_ dt: Double) {
        let rest = exp(-time(dt) / Self.smoothing)
        for channel in Channel.all {
            let now = speeds[channel] * rest
            // Nothing comes out of a gesture that had come to rest.
            speeds[channel] = now.length < Self.slowest ? Plane() : now * min(1, Self.fastest / now.length)
        }
        held = false
    }

    /// Let the time dt pass. Returns whether the camera is still moving.
    @discardableResult
    public func step(_ dt: Double) -> Bool {
        let time = time(dt)
        for channel in Channel.all where !held && speeds[channel].length > 0 {
            let speed = speeds[channel]
            // Exact solution of v' = -v / inertia up to the moment of standing still: the same in one step or many.
            let left = Self.inertia * log(speed.length / Self.slowest)
            apply(channel, speed * (-Self.inertia * expm1(-min(time, left) / Self.inertia)))
            speeds[channel] = time >= left ? Plane() : speed * exp(-time / Self.inertia)
        }
        return moving
    }

    /// Back to where it began, at rest.
    public func reset() {
        speeds = Speeds()
        motion.reset()
    }

    private func move(_ channel: Channel, _ way: Plane, _ dt: Double) {
        let way = Plane(
            x: clamp(way.x, -Self.longestMove, Self.longestMove), y: clamp(way.y, -Self.longestMove, Self.longestMove))
        apply(channel, way)
        let time = time(dt)
        if held, time > 0 {
            let share = -expm1(-time / Self.smoothing)
            let speed = speeds[channel]
            speeds[channel] = Plane(
                x: speed.x + share * (way.x / time - speed.x), y: speed.y + share * (way.y / time - speed.y))
        }
    }

    private func apply(_ channel: Channel, _ way: Plane) {
        switch channel {
        case .orbit: motion.orbit(way.x, way.y)
        case .pan: motion.pan(way.x, way.y)
        case .dolly: motion.dolly(way.x)
        }
    }

    private func time(_ dt: Double) -> Double { dt.isFinite && dt >= Self.shortestTime ? dt : 0 }
}

/// What moves by itself, in the order in which a step moves it.
private enum Channel {
    case orbit, pan, dolly

    static let all: [Channel] = [.orbit, .pan, .dolly]
}

private struct Plane: Equatable {
    var x = 0.0
    var y = 0.0

    var length: Double { (x * x + y * y).squareRoot() }

    static func * (a: Plane, scale: Double) -> Plane { Plane(x: a.x * scale, y: a.y * scale) }
}

private struct Speeds {
    private var orbit = Plane()
    private var pan = Plane()
    private var dolly = Plane()

    var any: Bool { orbit != Plane() || pan != Plane() || dolly != Plane() }

    subscript(channel: Channel) -> Plane {
        get {
            switch channel {
            case .orbit: orbit
            case .pan: pan
            case .dolly: dolly
            }
        }
        set {
            switch channel {
            case .orbit: orbit = newValue
            case .pan: pan = newValue
            case .dolly: dolly = newValue
            }
        }
    }
}
