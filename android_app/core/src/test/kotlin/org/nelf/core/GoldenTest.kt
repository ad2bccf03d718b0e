package org.nelf.core

import org.junit.Test
import java.awt.image.BufferedImage
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.FloatBuffer
import java.util.zip.CRC32
import java.util.zip.DeflaterOutputStream
import javax.imageio.ImageIO
import kotlin.math.log10
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class GoldenTest {
    private val manifest = Vectors.manifest("around")
    private val width = manifest.image.width
    private val height = manifest.image.height

    /** Noise, so that no filter stores it by chance; alpha 0 where colour is not, which must stay. */
    private val pixels = ByteArray(width * height * 4) { (it * it * 31 + it * 7).toByte() }

    private fun argb(index: Int): Int {
        val (red, green, blue, alpha) = List(4) { pixels[4 * index + it].toInt() and 255 }
        return (alpha shl 24) or (red shl 16) or (green shl 8) or blue
    }

    private fun javaPng(): ByteArray {
        val image = BufferedImage(width, height, BufferedImage.TYPE_INT_ARGB)
        for (index in 0 until width * height) image.setRGB(index % width, index / width, argb(index))
        return ByteArrayOutputStream().also { ImageIO.write(image, "png", it) }.toByteArray()
    }

    /** Row y has the filter y mod 5, and the pixels come in two chunks. */
    private fun filteredPng(): ByteArray {
        val stride = width * 4
        val rows = ByteArrayOutputStream()
        for (y in 0 until height) {
            rows.write(y % 5)
            for (x in 0 until stride) rows.write(pixels[y * stride + x] - foretold(y % 5, x, y, stride))
        }
        val data = ByteArrayOutputStream().also { out -> DeflaterOutputStream(out).use(rows::writeTo) }.toByteArray()
        val header =
            ByteBuffer
                .allocate(13)
                .putInt(width)
                .putInt(height)
                .put(byteArrayOf(8, 6, 0, 0, 0))
                .array()
        return byteArrayOf(-119, 80, 78, 71, 13, 10, 26, 10) + chunk("IHDR", header) +
            chunk("IDAT", data.copyOf(100)) + chunk("IDAT", data.copyOfRange(100, data.size)) +
            chunk("IEND", ByteArray(0))
    }

    /** The PNG standard's filters, from the original pixels. */
    private fun foretold(
        filter: Int,
        x: Int,
        y: Int,
        stride: Int,
    ): Int {
        fun at(
            x: Int,
            y: Int,
        ) = if (x < 0 || y < 0) 0 else pixels[y * stride + x].toInt() and 255
        val (a, b, c) = Triple(at(x - 4, y), at(x, y - 1), at(x - 4, y - 1))
        return when (filter) {
            0 -> 0
            1 -> a
            2 -> b
            3 -> (a + b) / 2
            else -> listOf(a, b, c).minBy { kotlin.math.abs(a + b - c - it) }
        }
    }

    private fun chunk(
        name: String,
        data: ByteArray,
    ): ByteArray {
        val body = name.toByteArray() + data
        val sum = CRC32().also { it.update(body) }.value.toInt()
        return ByteBuffer
            .allocate(body.size + 8)
            .putInt(data.size)
            .put(body)
            .putInt(sum)
            .array()
    }

    @Test
    fun `PNG files give the bytes that are in them`() {
        for ((name, file) in listOf("Java's" to javaPng(), "all filters" to filteredPng())) {
            val picture = Png.decode(file)
            assertEquals(listOf(width, height, 4), listOf(picture.width, picture.height, picture.channels), name)
            assertContentEquals(pixels, picture.pixels, name)
        }
    }

    @Test
    fun `other files are refused`() {
        val good = filteredPng()
        val grey = ByteArrayOutputStream()
        ImageIO.write(BufferedImage(4, 4, BufferedImage.TYPE_BYTE_GRAY), "png", grey)
        val cases =
            listOf(ByteArray(0), "GIF89a..".toByteArray(), good.copyOf(20), good.copyOf(200), grey.toByteArray())
        for (file in cases) assertFailsWith<PngException>("${file.size} bytes") { Png.decode(file) }
        val huge = good.copyOf().also { ByteBuffer.wrap(it).putInt(16, Int.MAX_VALUE) }
        assertFailsWith<PngException> { Png.decode(huge) }
    }

    @Test
    fun `an image is compared as Python compares it`() {
        val view = GoldenView("r_0", poseOf(0f), Picture(2, 1, 3, byteArrayOf(0, 51, 102, -103, -52, -1)))
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

    private fun source(poses: String) =
        object : BundleSource {
            override fun open(path: String): InputStream? =
                when (path) {
                    "golden/poses.json" -> ByteArrayInputStream(poses.toByteArray())
                    "golden/r_0.png" -> ByteArrayInputStream(filteredPng())
                    "golden/small.png" -> ByteArrayInputStream(javaPng().copyOf(60))
                    else -> null
                }
        }

    private fun poses(
        image: String = "golden/r_0.png",
        c2w: String = "[[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]",
    ) = "{\"views\": [{\"name\": \"r_0\", \"c2w\": $c2w, \"image\": \"$image\"}]}"

    @Test
    fun `golden views are read, and a model that shows them passes`() {
        val views = readGolden(source(poses()), manifest)
        assertContentEquals(FloatArray(POSE_SIZE) { it + 1f }, views[0].c2w)
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
        val cases =
            listOf("", "[]", "{\"views\": []}", "{\"views\": [1]}", poses("golden/none.png"), poses("../r_0.png")) +
                listOf(poses("golden/small.png"), poses(c2w = "[1, 2]"), poses(c2w = "[[1, 2, 3], [4, 5, 6]]"))
        for (text in cases) {
            val error = assertFailsWith<IOException>(text) { readGolden(source(text), manifest) }
            assertFalse('\n' in error.message.orEmpty(), text)
        }
    }
}
