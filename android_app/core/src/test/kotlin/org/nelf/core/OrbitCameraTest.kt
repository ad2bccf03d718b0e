package org.nelf.core

import org.junit.Test
import kotlin.math.abs
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class OrbitCameraTest {
    private val vectors = Vectors.read("poses.json")
    private val tolerance = vectors["tolerance"] as Double

    @Test
    fun `gestures give the poses of the reference`() {
        var steps = 0
        for (case in vectors.list("cases").map { it as Map<*, *> }) {
            val camera = OrbitCamera(Vectors.manifest(case.text("manifest")))
            assertClose(case.list("start").numbers(), camera.c2w, "${case["name"]}: start")
            case.list("steps").forEachIndexed { index, step ->
                step as Map<*, *>
                val where = "${case["name"]}: ${index + 1}, ${step["call"]}"
                call(camera, step.list("call"))
                assertClose(step.list("c2w").numbers(), camera.c2w, where)
                assertEquals(step["moving"], camera.moving, where)
                steps++
            }
        }
        assertTrue(steps >= 200, "only $steps steps")
    }

    @Test
    fun `every manifest of the vectors is used`() {
        val used = vectors.list("cases").map { (it as Map<*, *>).text("manifest") }.toSet()
        assertEquals(
            checkNotNull(Vectors.folder.resolve("manifests").list()).map { it.removeSuffix(".json") }.toSet(),
            used,
        )
    }

    @Test
    fun `the pose for the model is the camera's, rounded`() {
        val camera = OrbitCamera(Vectors.manifest("around"))
        camera.drag(0.3, 0.2, 0.0)
        val pose = FloatArray(POSE_SIZE)
        camera.copyPose(pose)
        assertContentEquals(FloatArray(POSE_SIZE) { camera.c2w[it].toFloat() }, pose)
    }

    private fun call(
        camera: OrbitCamera,
        words: List<*>,
    ) {
        val numbers = words.drop(1).numbers()
        when (val name = words[0]) {
            "resize" -> camera.resize(numbers[0], numbers[1])
            "begin" -> camera.begin()
            "drag" -> camera.drag(numbers[0], numbers[1], numbers[2])
            "pan" -> camera.pan(numbers[0], numbers[1], numbers[2])
            "pinch" -> camera.pinch(numbers[0], numbers[1])
            "end" -> camera.end(numbers[0])
            "step" -> assertEquals(camera.step(numbers[0]), camera.moving)
            "reset" -> camera.reset()
            else -> error("$name is no call")
        }
    }

    private fun assertClose(
        expected: List<Double>,
        actual: DoubleArray,
        where: String,
    ) {
        assertEquals(expected.size, actual.size, where)
        for (index in actual.indices) {
            assertTrue(abs(expected[index] - actual[index]) <= tolerance, "$where: ${actual.toList()}, not $expected")
        }
    }
}
