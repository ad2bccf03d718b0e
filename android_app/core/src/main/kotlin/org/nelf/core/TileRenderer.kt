package org.nelf.core

import java.nio.FloatBuffer

// Channels of the first part's estimates of a block.
private const val INSIDE = 0
private const val DETAIL = 1
private const val COLOUR = 2

/** Of one input or output of a part: 256 MB. */
private const val MOST_NUMBERS = (1 shl 26).toDouble()

/** A part of a program, loaded: values in and out by name. */
fun interface TilePart {
    /** Throws [ModelException]. */
    fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray>

    companion object {
        val FIRST_INPUTS = listOf("pose", "plane")
        val FIRST_OUTPUTS = listOf("state", "estimates")
        val DECODER_INPUTS = listOf("pose", "state", "plane")
        val DECODER_OUTPUTS = listOf("image")
    }
}

/** Where a window begins, and the blocks from [begin] to before [end] that it is right in. */
internal data class Window(
    val start: Int,
    val begin: Int,
    val end: Int,
)

/** Windows of [size] blocks that cover [length]. They begin at even blocks: the first part has strides of 2. */
internal fun windows(
    length: Int,
    size: Int,
    reach: Int,
): List<Window> {
    val found = ArrayList<Window>()
    var begin = 0
    while (begin < length) {
        val start = minOf(maxOf(begin - reach, 0) / 2 * 2, length - size)
        val end = if (start + size == length) length else start + size - reach
        found.add(Window(start, begin, end))
        begin = end
    }
    return found
}

/** A block, or the first one of a tile. */
internal data class Place(
    val row: Int,
    val column: Int,
)

/** Tiles of [tile] rows and columns that cover the [needed] blocks; takes what they cover out of [needed]. */
internal fun cover(
    needed: BooleanArray,
    columns: Int,
    tile: List<Int>,
): List<Place> {
    val (tall, wide) = tile
    val rows = needed.size / columns
    val found = ArrayList<Place>()
    for (row in 0 until rows) {
        if ((0 until columns).none { needed[row * columns + it] }) continue
        val top = minOf(row, rows - tall)
        for (column in 0 until columns) {
            if ((top until top + tall).none { needed[it * columns + column] }) continue
            val left = minOf(column, columns - wide)
            for (line in top until top + tall) needed.fill(false, line * columns + left, line * columns + left + wide)
            found.add(Place(top, left))
        }
    }
    return found
}

/** u and v of the image plane at the corner of a pixel, and their steps to the next column and row. */
internal fun planeOf(
    intrinsics: List<Double>,
    left: Int,
    top: Int,
): List<Double> {
    val (fx, fy, cx, cy) = intrinsics
    return listOf((left - cx) / fx, -(top - cy) / fy, 1 / fx, -1 / fy)
}

/**
 * Renders with the parts of a program: runs the first, chooses blocks by threshold, runs the decoder on tiles that cover the
 * rest, pastes. [onClose] releases the parts. Throws [ModelException] for a program that needs too much memory.
 */
class TileRenderer(
    private val program: TileProgram,
    private val image: ImageInfo,
    private val intrinsics: List<Double>,
    private val first: TilePart,
    private val decoder: TilePart,
    private val onClose: () -> Unit = {},
) : ModelSession {
    private val rows = blocksOf(image.height)
    private val columns = blocksOf(image.width)
    private val top = (rows * BLOCK - image.height) / 2
    private val left = (columns * BLOCK - image.width) / 2
    private val reach = program.tileReach
    private val line = columns + 2 * reach // blocks of the state
    private val tall = program.tile[0] + 2 * reach
    private val wide = program.tile[1] + 2 * reach

    /** The first part's features of all blocks, with [reach] blocks of zeros around. */
    private val state: FloatArray
    private val tiles: FloatArray
    private val planes: FloatArray
    private val picture = FloatArray(image.size)

    init {
        val around = 2.0 * reach
        val lines = (rows + around) * (columns + around)
        val taken = program.batch * (program.tile[0] + around) * (program.tile[1] + around)
        if (maxOf(lines, taken) * program.channels > MOST_NUMBERS) {
            throw ModelException("the program of this bundle needs too much memory")
        }
        state = FloatArray(lines.toInt() * program.channels)
        tiles = FloatArray(taken.toInt() * program.channels)
        planes = FloatArray(4 * program.batch)
    }

    override fun run(
        pose: FloatArray,
        image: FloatBuffer,
    ) {
        picture.fill(0f)
        val needed = look(pose)
        for (batch in cover(needed, columns, program.tile).chunked(program.batch)) decode(pose, batch)
        image.clear()
        image.put(picture)
        image.clear()
    }

    override fun close() = onClose()

    /** Runs the first part on all windows; returns which blocks need the decoder. */
    private fun look(pose: FloatArray): BooleanArray {
        val needed = BooleanArray(rows * columns)
        val (high, broad) = program.window
        val count = COLOUR + image.channels
        for (down in windows(rows, high, program.windowReach)) {
            for (across in windows(columns, broad, program.windowReach)) {
                val plane = planeAt(down.start, across.start)
                val found = first.run(mapOf("pose" to pose, "plane" to plane))
                val features = found.take("state", high * broad * program.channels)
                val estimates = found.take("estimates", high * broad * count)
                for (row in down.begin until down.end) {
                    for (column in across.begin until across.end) {
                        val from = (row - down.start) * broad + column - across.start
                        keep(features, from, row, column)
                        needed[row * columns + column] = choose(estimates, from * count, row, column)
                    }
                }
            }
        }
        return needed
    }

    private fun planeAt(
        row: Int,
        column: Int,
    ): FloatArray {
        val plane = planeOf(intrinsics, column * BLOCK - left, row * BLOCK - top)
        return FloatArray(plane.size) { plane[it].toFloat() }
    }

    private fun keep(
        features: FloatArray,
        from: Int,
        row: Int,
        column: Int,
    ) {
        val to = (row + reach) * line + column + reach
        features.copyInto(state, to * program.channels, from * program.channels, (from + 1) * program.channels)
    }

    /** Whether a block, whose estimates begin at [from], needs the decoder; an easy one is painted. */
    private fun choose(
        estimates: FloatArray,
        from: Int,
        row: Int,
        column: Int,
    ): Boolean {
        if (!(estimates[from + INSIDE] >= program.emptyBelow)) return false
        if (!(estimates[from + DETAIL] < program.easyBelow)) return true
        val channels = image.channels
        val block = FloatArray(BLOCK * BLOCK * channels) { estimates[from + COLOUR + it % channels].coerceIn(0f, 1f) }
        paste(block, 0, BLOCK, BLOCK, Place(row, column))
        return false
    }

    private fun decode(
        pose: FloatArray,
        batch: List<Place>,
    ) {
        val channels = program.channels
        for ((number, place) in batch.withIndex()) {
            for (i in 0 until tall) {
                val from = ((place.row + i) * line + place.column) * channels
                state.copyInto(tiles, (number * tall + i) * wide * channels, from, from + wide * channels)
            }
            planeAt(place.row, place.column).copyInto(planes, 4 * number)
        }
        val (high, broad) = program.tile.map { it * BLOCK }
        val size = high * broad * image.channels
        val found = decoder.run(mapOf("pose" to pose, "state" to tiles, "plane" to planes))
        val images = found.take("image", program.batch * size)
        for ((number, place) in batch.withIndex()) paste(images, number * size, high, broad, place)
    }

    /** Pastes what is in the picture of a part of [high] x [broad] pixels, whose values begin at [from] of [values]. */
    private fun paste(
        values: FloatArray,
        from: Int,
        high: Int,
        broad: Int,
        place: Place,
    ) {
        val above = place.row * BLOCK - top
        val before = place.column * BLOCK - left
        val begin = maxOf(before, 0)
        val end = minOf(before + broad, image.width)
        for (y in maxOf(above, 0) until minOf(above + high, image.height)) {
            val start = (y - above) * broad - before
            val channels = image.channels
            val to = (y * image.width + begin) * channels
            values.copyInto(picture, to, from + (start + begin) * channels, from + (start + end) * channels)
        }
    }
}

/** The output [name] of a part, which must have [size] numbers. */
private fun Map<String, FloatArray>.take(
    name: String,
    size: Int,
): FloatArray {
    val values = this[name] ?: throw ModelException("a part of the program gives no $name")
    if (values.size != size) {
        throw ModelException("a part of the program gives ${values.size} numbers of $name, the manifest says $size")
    }
    return values
}
