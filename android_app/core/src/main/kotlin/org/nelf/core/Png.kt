package org.nelf.core

import java.io.ByteArrayOutputStream
import java.nio.ByteBuffer
import java.util.zip.DataFormatException
import java.util.zip.Inflater
import kotlin.math.abs

/** A file that is not a PNG of the kind that nelf writes. */
class PngException(
    message: String,
) : Exception(message)

/**
 * An 8-bit image, [pixels] row by row from the top, channels together.
 *
 * Golden images are read here and not by the platform's decoder, which multiplies colour by alpha when it loads RGBA: they
 * are premultiplied already.
 */
class Picture(
    val width: Int,
    val height: Int,
    val channels: Int,
    val pixels: ByteArray,
)

/** Decoder of PNG files (ISO/IEC 15948): 8-bit RGB and RGBA, not interlaced. */
object Png {
    private val SIGNATURE = byteArrayOf(-119, 80, 78, 71, 13, 10, 26, 10)
    private const val LARGEST_SIDE = 1 shl 14
    private val CHANNELS = mapOf(2 to 3, 6 to 4)

    /** The image in [file]. Throws [PngException]. */
    fun decode(file: ByteArray): Picture {
        if (file.size < 8 || !file.copyOf(8).contentEquals(SIGNATURE)) throw PngException("not a PNG file")
        val chunks = chunks(ByteBuffer.wrap(file, 8, file.size - 8))
        val header = chunks.firstOrNull()?.takeIf { it.first == "IHDR" && it.second.size == 13 }?.second
        val fields = ByteBuffer.wrap(header ?: throw PngException("no header"))
        val (width, height) = fields.getInt() to fields.getInt()
        val kind = ByteArray(5).also { fields.get(it) }
        val channels = CHANNELS[kind[1].toInt()]
        if (width !in 1..LARGEST_SIDE || height !in 1..LARGEST_SIDE) throw PngException("$width x $height pixels")
        if (channels == null || kind[0].toInt() != 8 || kind[4].toInt() != 0) {
            throw PngException("not 8-bit RGB or RGBA without interlacing")
        }
        val data = ByteArrayOutputStream()
        chunks.filter { it.first == "IDAT" }.forEach { data.write(it.second, 0, it.second.size) }
        val rows = inflate(data.toByteArray(), height * (1 + width * channels))
        return Picture(width, height, channels, unfiltered(rows, width * channels, height, channels))
    }

    private fun chunks(file: ByteBuffer): List<Pair<String, ByteArray>> {
        val found = ArrayList<Pair<String, ByteArray>>()
        while (file.remaining() >= 12) {
            val length = file.getInt()
            if (length < 0 || length > file.remaining() - 8) throw PngException("cut short")
            val name = ByteArray(4).also { file.get(it) }.toString(Charsets.US_ASCII)
            found.add(name to ByteArray(length).also { file.get(it) })
            file.getInt() // the checksum; the manifest's SHA-256 covers the whole file
        }
        return found
    }

    private fun inflate(
        data: ByteArray,
        size: Int,
    ): ByteArray {
        val rows = ByteArray(size)
        val inflater = Inflater()
        try {
            inflater.setInput(data)
            var filled = 0
            while (filled < size) {
                val count = inflater.inflate(rows, filled, size - filled)
                if (count == 0) throw PngException("pixels are missing")
                filled += count
            }
        } catch (error: DataFormatException) {
            throw PngException("the pixels cannot be unpacked (${error.message})")
        } finally {
            inflater.end()
        }
        return rows
    }

    /** Undoes the filter of each row: a byte was stored as its difference from what its neighbours foretell. */
    private fun unfiltered(
        rows: ByteArray,
        stride: Int,
        height: Int,
        channels: Int,
    ): ByteArray {
        val pixels = ByteArray(stride * height)
        for (y in 0 until height) {
            val filter = rows[y * (stride + 1)].toInt()
            if (filter !in 0..4) throw PngException("unknown filter $filter")
            for (x in 0 until stride) {
                val at = y * stride + x
                val left = if (x < channels) 0 else pixels[at - channels].toInt() and 255
                val up = if (y == 0) 0 else pixels[at - stride].toInt() and 255
                val corner = if (x < channels || y == 0) 0 else pixels[at - stride - channels].toInt() and 255
                val foretold =
                    when (filter) {
                        0 -> 0
                        1 -> left
                        2 -> up
                        3 -> (left + up) / 2
                        else -> paeth(left, up, corner)
                    }
                pixels[at] = (rows[y * (stride + 1) + 1 + x] + foretold).toByte()
            }
        }
        return pixels
    }

    private fun paeth(
        left: Int,
        up: Int,
        corner: Int,
    ): Int {
        val guess = left + up - corner
        val (toLeft, toUp, toCorner) = Triple(abs(guess - left), abs(guess - up), abs(guess - corner))
        return if (toLeft <= toUp && toLeft <= toCorner) {
            left
        } else if (toUp <= toCorner) {
            up
        } else {
            corner
        }
    }
}
