package org.nelf.core

import org.junit.Test
import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.sin
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNotEquals
import kotlin.test.assertTrue

class GesturesTest {
    private val camera = camera()
    private val expected = camera()
    private val gestures = Gestures(camera)

    private fun camera() = OrbitCamera(Vectors.manifest("around")).also { it.resize(390.0, 844.0) }

    private fun one(
        x: Double,
        y: Double,
        seconds: Double,
    ) = gestures.touch(1, x, y, 0.0, 0.0, seconds)

    private fun lift(seconds: Double) = gestures.touch(0, 0.0, 0.0, 0.0, 0.0, seconds)

    private fun assertAsExpected() = assertContentEquals(expected.c2w, camera.c2w)

    @Test
    fun `one finger drags, and goes on when it is lifted`() {
        one(100.0, 200.0, 1.0)
        one(130.0, 210.0, 1.015625)
        lift(1.03125)
        expected.begin()
        expected.drag(30.0, 10.0, 0.015625)
        expected.end(0.015625)
        assertAsExpected()
        assertTrue(camera.moving)
        assertEquals(expected.step(0.1), camera.step(0.1))
        assertAsExpected()
    }

    @Test
    fun `two fingers pan and pinch`() {
        one(100.0, 200.0, 1.0)
        gestures.touch(2, 100.0, 200.0, 200.0, 200.0, 1.015625) // the second finger moves nothing
        gestures.touch(2, 90.0, 220.0, 240.0, 220.0, 1.03125)
        expected.begin()
        expected.pan(15.0, 20.0, 0.015625)
        expected.pinch(1.5, 0.015625)
        assertAsExpected()
        one(240.0, 220.0, 1.046875) // the first was lifted, which moves nothing either
        assertAsExpected()
        assertFalse(camera.moving)
    }

    @Test
    fun `a double tap resets, and two taps far apart do not`() {
        camera.drag(50.0, 20.0, 0.0)
        val moved = camera.c2w.copyOf()
        tap(1.0)
        tap(2.0)
        assertContentEquals(moved, camera.c2w)
        tap(2.2)
        assertAsExpected()
    }

    @Test
    fun `a drag between taps is no double tap`() {
        tap(1.0)
        one(100.0, 100.0, 1.1)
        one(160.0, 100.0, 1.2)
        one(100.0, 100.0, 1.25)
        lift(1.28)
        camera.drag(5.0, 0.0, 0.0)
        val moved = camera.c2w.copyOf()
        tap(1.4)
        assertContentEquals(moved, camera.c2w)
    }

    @Test
    fun `fingers that the system takes away end the gesture`() {
        one(100.0, 200.0, 1.0)
        one(130.0, 210.0, 1.015625)
        gestures.cancel(1.015625)
        assertTrue(camera.moving)
        one(10.0, 10.0, 3.0)
        assertFalse(camera.moving, "a new finger stops it")
    }

    private fun tap(seconds: Double) {
        one(100.0, 100.0, seconds)
        one(102.0, 101.0, seconds + 0.02)
        one(100.0, 100.0, seconds + 0.04)
        lift(seconds + 0.06)
    }

    @Test
    fun `turning the phone circles by the same angle`() {
        val tilt = Tilt(camera)
        assertFalse(tilt.turn(aboutY(0.7), 390.0), "where it starts does not matter")
        assertFalse(tilt.turn(aboutY(0.703), 390.0), "noise moves nothing")
        assertTrue(tilt.turn(aboutY(0.8), 390.0))
        // Anticlockwise seen from above: the camera looks to the left, so it has gone to the right around the object.
        expected.drag(-sin(0.1) / PI * 390, 0.0, 0.0)
        for (index in 0 until POSE_SIZE) assertEquals(expected.c2w[index], camera.c2w[index], 1e-6)
        tilt.restart()
        val before = camera.c2w.copyOf()
        assertFalse(tilt.turn(aboutY(2.0), 390.0))
        assertContentEquals(before, camera.c2w)
    }

    @Test
    fun `tilting the phone back lowers the camera, inside its region`() {
        val tilt = Tilt(camera)
        val start = camera.c2w[11]
        tilt.turn(aboutX(0.0), 390.0)
        assertTrue(tilt.turn(aboutX(0.1), 390.0)) // its upper edge comes towards the user: it looks up
        assertTrue(camera.c2w[11] < start)
        for (step in 2..20) tilt.turn(aboutX(0.1 * step), 390.0)
        val (x, y, z) = listOf(camera.c2w[3] - 0.1, camera.c2w[7] + 0.2, camera.c2w[11] - 0.3)
        assertEquals(4.0, kotlin.math.sqrt(x * x + y * y + z * z), 1e-9)
        assertEquals(sin(Math.toRadians(-5.0)), z / 4, 1e-9)
        assertNotEquals(start, camera.c2w[11])
    }

    private fun aboutY(angle: Double) = matrix(cos(angle), 0.0, sin(angle), 0.0, 1.0, 0.0, -sin(angle), 0.0, cos(angle))

    private fun aboutX(angle: Double) = matrix(1.0, 0.0, 0.0, 0.0, cos(angle), -sin(angle), 0.0, sin(angle), cos(angle))

    private fun matrix(vararg values: Double) = FloatArray(9) { values[it].toFloat() }
}
