package org.nelf.core

import java.nio.FloatBuffer

// Channels of the first part's estimates of a block.
private const val INSIDE = 0
private const val DETAIL = 1
private const val COLOUR = 2

/** Above so many calls, a rectangle is cut in halves. */
private const val MANY_CALLS = 3L

/** Blocks of 3 x 3, row by row; the fifth is the block itself. */
private const val AROUND = 9

/** Of one input or output of a part: 256 MB. */
private const val MOST_NUMBERS = (1 shl 26).toDouble()

/** A part of a program, loaded: values in and out by name. */
fun interface TilePart {
    /** Calls the signature of that number. Throws [ModelException]. */
    fun run(
        inputs: Map<String, FloatArray>,
        signature: Int,
    ): Map<String, FloatArray>

    companion object {
        val FIRST_INPUTS = listOf("pose", "plane")
        val FIRST_OUTPUTS = listOf("state", "estimates")
        val DECODER_INPUTS = listOf("pose", "state", "plane", "neighbours")
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

/** A block that a call of the decoder takes. It is [drawn], or lies around those that are. */
internal data class Block(
    val row: Int,
    val column: Int,
    val drawn: Boolean,
)

/** Which blocks of the grid need the decoder. */
internal class Needed(
    val rows: Int,
    val columns: Int,
) {
    val blocks = BooleanArray(rows * columns)

    /** Calls of at most [size] needed blocks that draw each needed block once; see calls_for in nelf/bundle/tiles.py. */
    fun calls(
        size: Int,
        reach: Int,
    ): List<List<Block>> = ArrayList<List<Block>>().also { draw(0 until rows, 0 until columns, size, reach, it) }

    private fun draw(
        lines: IntRange,
        places: IntRange,
        size: Int,
        reach: Int,
        calls: MutableList<List<Block>>,
    ) {
        val found = within(lines, places)
        if (found.isEmpty()) return
        val down = found.first().first..found.last().first
        val across = found.minOf { it.second }..found.maxOf { it.second }
        val taken = within(down.grown(reach, rows), across.grown(reach, columns))
        if (taken.size <= size) {
            calls.add(taken.map { (row, column) -> Block(row, column, row in down && column in across) })
            return
        }
        val tall = down.count() >= across.count()
        val (first, last) = (if (tall) down else across).let { it.first to it.last }
        var cut = taken.map { (row, column) -> if (tall) row else column }.sorted()[size] - reach
        if (cut <= first || taken.size > MANY_CALLS * size) cut = (first + last + 1) / 2
        for (piece in listOf(first until cut, cut..last)) {
            if (tall) draw(piece, across, size, reach, calls) else draw(down, piece, size, reach, calls)
        }
    }

    private fun within(
        lines: IntRange,
        places: IntRange,
    ) = lines.flatMap { row -> places.filter { blocks[row * columns + it] }.map { row to it } }

    private fun IntRange.grown(
        by: Int,
        length: Int,
    ) = maxOf(first - by, 0)..(last.toLong() + by).coerceAtMost(length - 1L).toInt()
}

/**
 * For each block of a [call], where in it the 3 x 3 blocks around are: [size] if one is not in it, [size] + 1 outside the
 * grid. Written into [places].
 */
internal fun neighbours(
    call: List<Block>,
    rows: Int,
    columns: Int,
    size: Int,
    places: FloatArray,
) {
    val numbers = HashMap<Int, Int>()
    for ((number, block) in call.withIndex()) numbers[block.row * columns + block.column] = number
    for ((number, block) in call.withIndex()) {
        for (i in 0 until AROUND) {
            val row = block.row + i / 3 - 1
            val column = block.column + i % 3 - 1
            val inside = row in 0 until rows && column in 0 until columns
            val place = if (inside) numbers[row * columns + column] ?: size else size + 1
            places[number * AROUND + i] = place.toFloat()
        }
    }
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
 * Renders with the parts of a program: runs the first, chooses blocks by threshold, runs the decoder on lists of the others,
 * pastes. [onClose] releases the parts. Throws [ModelException] for a program that needs too much memory.
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
    private val needed = Needed(rows, columns)

    /** The first part's features of all blocks. */
    private val state: FloatArray
    private val lists: List<BlockList>
    private val picture = FloatArray(image.size)

    init {
        val largest = maxOf(rows.toDouble() * columns, program.blocks.sumOf { it.toDouble() })
        if (largest * maxOf(program.channels, BLOCK * BLOCK * image.channels) > MOST_NUMBERS) {
            throw ModelException("the program of this bundle needs too much memory")
        }
        state = FloatArray(rows * columns * program.channels)
        lists = program.blocks.map { BlockList(it, program.channels) }
    }

    override fun run(
        pose: FloatArray,
        image: FloatBuffer,
    ) {
        picture.fill(0f)
        look(pose)
        for (call in needed.calls(program.blocks.last(), program.reach)) decode(pose, call)
        image.clear()
        image.put(picture)
        image.clear()
    }

    override fun close() = onClose()

    /** Runs the first part on all windows, and notes which blocks need the decoder. */
    private fun look(pose: FloatArray) {
        val (high, broad) = program.window
        val count = COLOUR + image.channels
        val length = program.channels
        for (down in windows(rows, high, program.windowReach)) {
            for (across in windows(columns, broad, program.windowReach)) {
                val plane = planeAt(down.start, across.start)
                val found = first.run(mapOf("pose" to pose, "plane" to plane), 0)
                val features = found.take("state", high * broad * length)
                val estimates = found.take("estimates", high * broad * count)
                for (row in down.begin until down.end) {
                    for (column in across.begin until across.end) {
                        val from = (row - down.start) * broad + column - across.start
                        val place = row * columns + column
                        features.copyInto(state, place * length, from * length, (from + 1) * length)
                        needed.blocks[place] = choose(estimates, from * count, row, column)
                    }
                }
            }
        }
    }

    private fun planeAt(
        row: Int,
        column: Int,
    ): FloatArray {
        val plane = planeOf(intrinsics, column * BLOCK - left, row * BLOCK - top)
        return FloatArray(plane.size) { plane[it].toFloat() }
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
        paste(block, 0, row, column)
        return false
    }

    private fun decode(
        pose: FloatArray,
        call: List<Block>,
    ) {
        val channels = program.channels
        val signature = lists.indexOfFirst { it.size >= call.size }
        val list = lists[signature]
        for ((number, block) in call.withIndex()) {
            val from = (block.row * columns + block.column) * channels
            state.copyInto(list.state, number * channels, from, from + channels)
            planeAt(block.row, block.column).copyInto(list.planes, 4 * number)
        }
        neighbours(call, rows, columns, list.size, list.places)
        val inputs = mapOf("pose" to pose, "state" to list.state, "plane" to list.planes, "neighbours" to list.places)
        val size = BLOCK * BLOCK * image.channels
        val images = decoder.run(inputs, signature).take("image", list.size * size)
        for ((number, block) in call.withIndex()) if (block.drawn) paste(images, number * size, block.row, block.column)
    }

    /** Pastes what is in the picture of a block's pixels, whose values begin at [from] of [values]. */
    private fun paste(
        values: FloatArray,
        from: Int,
        row: Int,
        column: Int,
    ) {
        val above = row * BLOCK - top
        val before = column * BLOCK - left
        val begin = maxOf(before, 0)
        val end = minOf(before + BLOCK, image.width)
        for (y in maxOf(above, 0) until minOf(above + BLOCK, image.height)) {
            val start = (y - above) * BLOCK - before
            val channels = image.channels
            val to = (y * image.width + begin) * channels
            values.copyInto(picture, to, from + (start + begin) * channels, from + (start + end) * channels)
        }
    }
}

/** What the decoder takes of [size] blocks. */
private class BlockList(
    val size: Int,
    channels: Int,
) {
    val state = FloatArray(size * channels)
    val planes = FloatArray(size * 4)
    val places = FloatArray(size * AROUND)
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
