package org.nelf.core

import kotlin.math.hypot

/**
 * Fingers on the screen as calls of [camera]: one drags, two pan and pinch, two quick taps reset. Lengths are points.
 */
class Gestures(
    private val camera: OrbitCamera,
) {
    private var fingers = 0
    private var x = 0.0 // of the one finger, or between two
    private var y = 0.0
    private var spread = 0.0
    private var time = 0.0

    private var tapping = false
    private var downX = 0.0
    private var downY = 0.0
    private var downTime = 0.0
    private var lastTap = Double.NEGATIVE_INFINITY

    /**
     * The fingers now on the screen, at [seconds] of any clock: how many there are, and where the first two are.
     */
    fun touch(
        count: Int,
        x0: Double,
        y0: Double,
        x1: Double,
        y1: Double,
        seconds: Double,
    ) {
        val two = count > 1
        val nowX = if (two) (x0 + x1) / 2 else x0
        val nowY = if (two) (y0 + y1) / 2 else y0
        val nowSpread = if (two) hypot(x1 - x0, y1 - y0) else 0.0
        if (count == 0) {
            if (fingers > 0) lifted(seconds)
        } else {
            if (count != fingers) down(count, nowX, nowY, seconds) else moved(two, nowX, nowY, nowSpread, seconds)
            x = nowX
            y = nowY
            spread = nowSpread
            time = seconds
        }
        fingers = count
    }

    /** The system took the fingers away. */
    fun cancel(seconds: Double) {
        tapping = false
        if (fingers > 0) camera.end(seconds - time)
        fingers = 0
    }

    private fun down(
        count: Int,
        nowX: Double,
        nowY: Double,
        seconds: Double,
    ) {
        camera.begin()
        tapping = fingers == 0 && count == 1
        downX = nowX
        downY = nowY
        downTime = seconds
    }

    private fun moved(
        two: Boolean,
        nowX: Double,
        nowY: Double,
        nowSpread: Double,
        seconds: Double,
    ) {
        val dt = seconds - time
        if (two) {
            camera.pan(nowX - x, nowY - y, dt)
            if (spread > 0) camera.pinch(nowSpread / spread, dt)
        } else {
            camera.drag(nowX - x, nowY - y, dt)
        }
        if (hypot(nowX - downX, nowY - downY) > SLOP) tapping = false
    }

    private fun lifted(seconds: Double) {
        camera.end(seconds - time)
        if (!tapping || seconds - downTime > TAP_TIME) {
            lastTap = Double.NEGATIVE_INFINITY
        } else if (downTime - lastTap <= DOUBLE_TAP_TIME) {
            lastTap = Double.NEGATIVE_INFINITY
            camera.reset()
        } else {
            lastTap = seconds
        }
    }

    private companion object {
        /** Points that a finger may slip in a tap. */
        const val SLOP = 12.0

        /** Seconds that a tap lasts at most, and that are between two of a double tap at most. */
        const val TAP_TIME = 0.3
        const val DOUBLE_TAP_TIME = 0.3
    }
}
