import Foundation

/// Three numbers in double precision. Written out rather than taken from `simd`, which Linux lacks.
public struct Vector: Equatable, Sendable {
    public var x, y, z: Double

    public init(_ x: Double, _ y: Double, _ z: Double) {
        (self.x, self.y, self.z) = (x, y, z)
    }

    /// Three of `values`, from `start` on, `stride` apart: a column or a row of a pose.
    init(_ values: [Double], from start: Int = 0, stride: Int = 1) {
        self.init(values[start], values[start + stride], values[start + 2 * stride])
    }

    static let zero = Vector(0, 0, 0)

    static func + (a: Vector, b: Vector) -> Vector { Vector(a.x + b.x, a.y + b.y, a.z + b.z) }
    static func - (a: Vector, b: Vector) -> Vector { Vector(a.x - b.x, a.y - b.y, a.z - b.z) }
    static func * (a: Vector, scale: Double) -> Vector { Vector(a.x * scale, a.y * scale, a.z * scale) }

    func dot(_ b: Vector) -> Double { x * b.x + y * b.y + z * b.z }

    func cross(_ b: Vector) -> Vector { Vector(y * b.z - z * b.y, z * b.x - x * b.z, x * b.y - y * b.x) }

    var length: Double { dot(self).squareRoot() }

    /// Length below which the product of two unit vectors says nothing of a direction.
    static let parallel = 1e-9

    /// This at length 1; `otherwise` where it is too short to have a direction.
    func unit(otherwise: Vector) -> Vector {
        let size = length
        return size >= Vector.parallel ? self * (1 / size) : otherwise
    }

    /// Unit vector across this one (unit length): the axis farthest from it, the first of equals, made perpendicular.
    var across: Vector {
        let (a, b, c) = (abs(x), abs(y), abs(z))
        let axis = a <= b && a <= c ? Vector(1, 0, 0) : b <= c ? Vector(0, 1, 0) : Vector(0, 0, 1)
        return (axis - self * dot(axis)).unit(otherwise: axis)
    }

    /// This turned about the unit vector `axis` by `angle` radians, anticlockwise (Rodrigues).
    func turned(about axis: Vector, by angle: Double) -> Vector {
        let (c, s) = (cos(angle), sin(angle))
        return self * c + axis.cross(self) * s + axis * (axis.dot(self) * (1 - c))
    }

    /// This unit vector, brought to within `widest` radians of the unit vector `pole` by the shortest way.
    func toward(_ pole: Vector, within widest: Double) -> Vector {
        let off = self - pole * dot(pole)
        if atan2(off.length, dot(pole)) <= widest { return self }
        let side = off.unit(otherwise: .zero)
        if side == .zero { return pole }  // opposite: there is no shortest way
        return pole * cos(widest) + side * sin(widest)
    }
}

/// Camera to world, OpenGL axes (x right, y up, looks along -z): a rotation's columns and the camera's centre.
public struct Pose: Equatable, Sendable {
    public var right, up, back, eye: Vector

    public init(right: Vector, up: Vector, back: Vector, eye: Vector) {
        (self.right, self.up, self.back, self.eye) = (right, up, back, eye)
    }

    /// From 3 rows of 4.
    init(rows: [Double]) {
        right = Vector(rows, from: 0, stride: 4)
        up = Vector(rows, from: 1, stride: 4)
        back = Vector(rows, from: 2, stride: 4)
        eye = Vector(rows, from: 3, stride: 4)
    }

    /// The upright camera at `eye` with backward axis `back`; `above` is upwards in its image (unit vectors).
    init(eye: Vector, back: Vector, above: Vector) {
        let aside = above.across
        right = above.cross(back).unit(otherwise: aside.cross(back).unit(otherwise: aside))
        up = back.cross(right)
        self.back = back
        self.eye = eye
    }

    /// 3 rows of 4, as models take it.
    public var rows: [Double] {
        [
            right.x, up.x, back.x, eye.x,
            right.y, up.y, back.y, eye.y,
            right.z, up.z, back.z, eye.z,
        ]
    }

    /// Write the rows as float32 into a model's input buffer; nothing is allocated.
    public func write(to buffer: UnsafeMutablePointer<Float>) {
        write(row: right.x, up.x, back.x, eye.x, to: buffer)
        write(row: right.y, up.y, back.y, eye.y, to: buffer + 4)
        write(row: right.z, up.z, back.z, eye.z, to: buffer + 8)
    }

    private func write(
        row a: Double, _ b: Double, _ c: Double, _ d: Double, to buffer: UnsafeMutablePointer<Float>
    ) {
        buffer[0] = Float(a)
        buffer[1] = Float(b)
        buffer[2] = Float(c)
        buffer[3] = Float(d)
    }
}

func clamp(_ value: Double, _ low: Double, _ high: Double) -> Double { min(max(value, low), high) }

func radians(_ degrees: Double) -> Double { degrees * .pi / 180 }
