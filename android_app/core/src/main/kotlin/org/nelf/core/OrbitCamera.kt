package org.nelf.core

import kotlin.math.exp
import kotlin.math.expm1
import kotlin.math.hypot
import kotlin.math.ln
import kotlin.math.max
import kotlin.math.min

/**
 * The camera of a viewer: gestures in, pose out, never outside the region that training covered. docs/viewers.md
 * specifies it, tests/vectors holds it to the classes of the same name in Python, Swift and TypeScript.
 *
 * Lengths are points, x to the right and y downwards; times are seconds. A move counts towards inertia only between
 * [begin] and [end]. Arguments that are no finite numbers, sizes and scales that are not positive, make a call do
 * nothing; a time below a microsecond is none. No clock inside: time steps are arguments. Not for several threads.
 */
class OrbitCamera(
    manifest: Manifest,
) {
    private val motion = motionOf(manifest)
    private val orbit = Glide(motion::orbit)
    private val pan = Glide(motion::pan)
    private val dolly = Glide { x, _ -> motion.dolly(x) }
    private val glides = arrayOf(orbit, pan, dolly)
    private val pose = DoubleArray(POSE_SIZE)
    private var unit = 1.0
    private var held = false

    /** The pose, camera to world, OpenGL axes: 3 rows of 4. The camera's own array, which the next call fills anew. */
    val c2w: DoubleArray get() = pose.also(motion::setPose)

    /** Whether [step] would move it. */
    val moving: Boolean get() = !held && (orbit.moving || pan.moving || dolly.moving)

    /** [c2w] in the precision of the model's input. */
    fun copyPose(into: FloatArray) {
        motion.setPose(pose)
        for (index in pose.indices) into[index] = pose[index].toFloat()
    }

    /** The view's size. */
    fun resize(
        width: Double,
        height: Double,
    ) {
        if (width.isFinite() && height.isFinite() && width > 0 && height > 0) unit = min(width, height)
    }

    /** Fingers were put down, or their number changed: what moved stops. */
    fun begin() {
        held = true
        stop()
    }

    /** One finger moved by ([dx], [dy]) in the time [dt]. */
    fun drag(
        dx: Double,
        dy: Double,
        dt: Double,
    ) {
        if (dx.isFinite() && dy.isFinite()) move(orbit, dx / unit, dy / unit, dt)
    }

    /** Two fingers moved; ([dx], [dy]) is the way of the point between them. */
    fun pan(
        dx: Double,
        dy: Double,
        dt: Double,
    ) {
        if (dx.isFinite() && dy.isFinite()) move(pan, dx / unit, dy / unit, dt)
    }

    /** The distance of two fingers became [scale] times what it was. */
    fun pinch(
        scale: Double,
        dt: Double,
    ) {
        if (scale.isFinite() && scale > 0) move(dolly, ln(scale), 0.0, dt)
    }

    /** The last finger was lifted, the time [dt] after the last move: what was moving goes on by itself. */
    fun end(dt: Double) {
        for (glide in glides) glide.release(timeOf(dt))
        held = false
    }

    /** Lets the time [dt] pass. Returns whether the camera is still moving. */
    fun step(dt: Double): Boolean {
        if (!held) for (glide in glides) glide.step(timeOf(dt))
        return moving
    }

    /** Back to where it began, at rest. */
    fun reset() {
        stop()
        motion.reset()
    }

    private fun stop() {
        for (glide in glides) glide.stop()
    }

    private fun move(
        glide: Glide,
        x: Double,
        y: Double,
        dt: Double,
    ) = glide.push(clamp(x, -LONGEST, LONGEST), clamp(y, -LONGEST, LONGEST), if (held) timeOf(dt) else 0.0)

    private fun timeOf(dt: Double) = if (dt.isFinite() && dt >= SHORTEST_TIME) dt else 0.0

    private companion object {
        /** View sides, or e-foldings, that one move goes at most: nothing overflows, whatever a device reports. */
        const val LONGEST = 100.0

        /** Seconds that are none: no speed comes of them. */
        const val SHORTEST_TIME = 1e-6
    }
}

/** One kind of movement: view sides, or e-foldings of scale. */
private fun interface Mover {
    fun move(
        x: Double,
        y: Double,
    )
}

/** A [mover] and the speed that it goes on with when the fingers have left. */
private class Glide(
    private val mover: Mover,
) {
    private var x = 0.0
    private var y = 0.0

    val moving: Boolean get() = x != 0.0 || y != 0.0

    fun stop() = scale(0.0)

    /** Moves, and averages the speed of it where it took a [time]. */
    fun push(
        dx: Double,
        dy: Double,
        time: Double,
    ) {
        mover.move(dx, dy)
        if (time > 0) {
            val share = -expm1(-time / SMOOTHING)
            x += share * (dx / time - x)
            y += share * (dy / time - y)
        }
    }

    /** The fingers left [time] after the last move. Nothing comes out of a gesture that had come to rest. */
    fun release(time: Double) {
        scale(exp(-time / SMOOTHING))
        val size = hypot(x, y)
        scale(if (size < SLOWEST) 0.0 else min(1.0, FASTEST / size))
    }

    /** Exact solution of v' = -v / INERTIA up to the moment of standing still: the same in one step or many. */
    fun step(time: Double) {
        val size = hypot(x, y)
        if (size == 0.0) return
        val left = INERTIA * ln(size / SLOWEST)
        val way = -INERTIA * expm1(-min(time, left) / INERTIA)
        mover.move(x * way, y * way)
        scale(if (time >= left) 0.0 else exp(-time / INERTIA))
    }

    private fun scale(by: Double) {
        x *= by
        y *= by
    }

    private companion object {
        /** Seconds over which the speed of a gesture is averaged. */
        const val SMOOTHING = 0.05

        /** Seconds in which the speed after a gesture falls to 1/e. */
        const val INERTIA = 0.35

        /** Speeds a second: below the first the camera stands; none is above the second. */
        const val SLOWEST = 0.002
        const val FASTEST = 8.0
    }
}

internal fun clamp(
    value: Double,
    low: Double,
    high: Double,
) = min(max(value, low), high)
