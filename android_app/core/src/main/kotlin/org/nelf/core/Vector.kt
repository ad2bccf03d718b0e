package org.nelf.core

import kotlin.math.abs
import kotlin.math.atan2
import kotlin.math.cos
import kotlin.math.sin
import kotlin.math.sqrt

/**
 * Three numbers in double precision, changed in place: a pose is computed for every frame, and no frame allocates.
 *
 * Methods that change a vector return it. Any argument may be the vector itself.
 */
class Vector(
    var x: Double = 0.0,
    var y: Double = 0.0,
    var z: Double = 0.0,
) {
    constructor(values: List<Double>) : this(values[0], values[1], values[2])

    val length: Double get() = sqrt(dot(this))

    fun set(
        x: Double,
        y: Double,
        z: Double,
    ): Vector {
        this.x = x
        this.y = y
        this.z = z
        return this
    }

    fun set(other: Vector) = set(other.x, other.y, other.z)

    fun dot(other: Vector) = x * other.x + y * other.y + z * other.z

    /** This + [scale] x [other]. */
    fun add(
        other: Vector,
        scale: Double = 1.0,
    ) = set(x + scale * other.x, y + scale * other.y, z + scale * other.z)

    fun times(scale: Double) = set(x * scale, y * scale, z * scale)

    /** [a] x [b]. */
    fun setCross(
        a: Vector,
        b: Vector,
    ) = set(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x)

    /** At length 1; [otherwise] where it is too short to have a direction. */
    fun unit(otherwise: Vector): Vector {
        val size = length
        return if (size >= PARALLEL) times(1 / size) else set(otherwise)
    }

    /** The unit vector across [up] (unit length): the axis farthest from it (the first of equals), made perpendicular. */
    fun setAcross(up: Vector): Vector {
        val least = minOf(abs(up.x), abs(up.y), abs(up.z))
        when (least) {
            abs(up.x) -> set(1.0, 0.0, 0.0)
            abs(up.y) -> set(0.0, 1.0, 0.0)
            else -> set(0.0, 0.0, 1.0)
        }
        add(up, -dot(up))
        return times(1 / length) // at least sqrt(2/3) long
    }

    /** Turned about the unit vector [axis] by [angle] radians, anticlockwise (Rodrigues). */
    fun turn(
        axis: Vector,
        angle: Double,
    ): Vector {
        val c = cos(angle)
        val s = sin(angle)
        val along = axis.dot(this) * (1 - c)
        return set(
            c * x + s * (axis.y * z - axis.z * y) + along * axis.x,
            c * y + s * (axis.z * x - axis.x * z) + along * axis.y,
            c * z + s * (axis.x * y - axis.y * x) + along * axis.z,
        )
    }

    /** This unit vector brought to within [widest] radians of the unit vector [pole] by the shortest way. */
    fun approach(
        pole: Vector,
        widest: Double,
    ): Vector {
        val along = dot(pole)
        val offX = x - along * pole.x
        val offY = y - along * pole.y
        val offZ = z - along * pole.z
        val off = sqrt(offX * offX + offY * offY + offZ * offZ)
        if (atan2(off, along) <= widest) return this
        if (off < PARALLEL) return set(pole) // opposite: there is no shortest way
        val side = sin(widest) / off
        set(pole).times(cos(widest))
        return set(x + side * offX, y + side * offY, z + side * offZ)
    }

    private companion object {
        /** Length below which the product of two unit vectors says nothing of a direction. */
        const val PARALLEL = 1e-9
    }
}
