package org.nelf.core

import org.junit.Test
import java.io.InputStream
import java.nio.FloatBuffer
import kotlin.math.log10
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class GoldenTest {
    private val pixels = ByteArray(48 * 32 * 4) { (it * it * 31 + it * 7).toByte() }

    /** Of a bundle whose golden image has the size of its images; that of the vector is a text. */
    private val manifest =
        parseManifest(
            Vectors
                .manifestBytes("around")
                .decodeToString()
                .replace("\"bytes\": 21,", "\"bytes\": ${pixels.size},")
                .toByteArray(),
        )

    @Test
    fun `an image is compared as Python compares it`() {
        val view = GoldenView("r_0", poseOf(0f), byteArrayOf(0, 51, 102, -103, -52, -1))
        val exact = FloatBuffer.wrap(FloatArray(6) { it * 51 / 255f })
        assertTrue(compare(exact, view).psnr > 140)
        val off = FloatBuffer.wrap(FloatArray(6) { it * 51 / 255f + if (it == 2) 0.3f else 0f })
        val difference = compare(off, view)
        assertEquals(0.3, difference.maxError, 1e-6)
        assertEquals(-10 * log10(0.09 / 6), difference.psnr, 1e-5)
        assertFalse(difference.passed)
        val broken = FloatBuffer.wrap(FloatArray(6) { Float.NaN })
        assertEquals(Difference("r_0", 0.0, 1.0), compare(broken, view))
    }

    private fun source(
        poses: String,
        image: ByteArray? = pixels,
    ) = object : BundleSource {
        override fun open(path: String): InputStream? =
            when (path) {
                "golden/poses.json" -> poses.byteInputStream()
                "golden/r_0.rgba" -> image?.inputStream()
                else -> null
            }
    }

    private fun poses(
        image: String = "golden/r_0.rgba",
        c2w: String = "[[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]",
    ) = "{\"views\": [{\"name\": \"r_0\", \"c2w\": $c2w, \"image\": \"$image\"}]}"

    @Test
    fun `golden views are read, and a model that shows them passes`() {
        val views = readGolden(source(poses()), manifest)
        assertContentEquals(FloatArray(POSE_SIZE) { it + 1f }, views[0].c2w)
        assertContentEquals(pixels, views[0].image)
        val session =
            object : ModelSession {
                override fun run(
                    pose: FloatArray,
                    image: FloatBuffer,
                ) {
                    for (index in pixels.indices) image.put(index, (pixels[index].toInt() and 255) / 255f * pose[0])
                }

                override fun close() = Unit
            }
        val image = FloatBuffer.allocate(manifest.image.size)
        val model = NelfModel.load(FakeRuntime(Accelerator.CPU to session), poseOf(1f), image)
        val difference = checkGolden(model, views, image).single()
        assertTrue(difference.passed && difference.maxError < 1e-6)
        val other = GoldenView("dark", poseOf(0.8f), views[0].image)
        assertFalse(checkGolden(model, listOf(other), image).single().passed)
    }

    @Test
    fun `golden views that cannot be read are refused in one line`() {
        val damaged =
            listOf("", "[]", "{\"views\": []}", "{\"views\": [1]}", poses(c2w = "[1, 2]")) +
                listOf(poses(c2w = "[[1, 2, 3], [4, 5, 6]]"), poses().replace("12", "1e999")) +
                listOf(poses().replace("12]", "12, null]"), poses().replace("12", "\"12\""))
        for (text in damaged) assertRefused(BundleErrorCode.DAMAGED_FILE, source(text))
        assertRefused(BundleErrorCode.UNSAFE_PATH, source(poses("../r_0.rgba")))
        assertRefused(BundleErrorCode.INVALID_MANIFEST, source(poses("golden/none.rgb")))
        for (image in listOf(null, pixels.copyOf(pixels.size - 1), pixels + 0)) {
            assertRefused(BundleErrorCode.DAMAGED_FILE, source(poses(), image))
        }
        assertRefused(BundleErrorCode.DAMAGED_FILE, source(poses()), Vectors.manifest("around"))
    }

    private fun assertRefused(
        code: BundleErrorCode,
        source: BundleSource,
        manifest: Manifest = this.manifest,
    ) {
        val error = assertFailsWith<BundleError> { readGolden(source, manifest) }
        assertEquals(code, error.code, error.message)
        assertFalse('\n' in error.message.orEmpty(), error.message)
    }
}
