package org.nelf.core

import kotlin.math.PI
import kotlin.math.hypot

/**
 * Turns of the phone as moves of [camera]: it circles what it looks at by the angle by which the phone was turned.
 *
 * The turn is taken from one sample to the next, so that the camera's bounds, and fingers, move where it is relative to the
 * phone, and there is no start to return to.
 */
class Tilt(
    private val camera: OrbitCamera,
) {
    private val before = FloatArray(9)
    private var started = false

    /** The next sample is where turning starts from. */
    fun restart() {
        started = false
    }

    /**
     * [rotation]: from the phone's axes (x right, y up on the screen, z out of it) to the world's, 3 rows of 3. [unit]: the
     * view's shorter side in points. Returns whether the camera was moved: not by the sensor's noise.
     */
    fun turn(
        rotation: FloatArray,
        unit: Double,
    ): Boolean {
        if (!started) {
            rotation.copyInto(before)
            started = true
            return false
        }
        val aboutX = (change(rotation, 2, 1) - change(rotation, 1, 2)) / 2
        val aboutY = (change(rotation, 0, 2) - change(rotation, 2, 0)) / 2
        if (hypot(aboutX, aboutY) < NOISE) return false
        rotation.copyInto(before)
        camera.drag(-aboutY / PI * unit, -aboutX / PI * unit, 0.0)
        return true
    }

    /** An entry of the turn from before to [rotation], in the phone's axes: row [i], column [j]. */
    private fun change(
        rotation: FloatArray,
        i: Int,
        j: Int,
    ): Double {
        var sum = 0.0
        for (k in 0..2) sum += before[3 * k + i].toDouble() * rotation[3 * k + j]
        return sum
    }

    private companion object {
        /** Radians: less is a hand or a table at rest, and renders nothing. */
        const val NOISE = 0.004
    }
}
