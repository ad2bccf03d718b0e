package org.nelf.core

/** Pixels of a block in each direction. */
const val BLOCK = 8
private val REACHES = 0..COUNTS.last

/** The program of a bundle that renders in tiles; nelf/bundle/tiles.py says what its numbers mean. */
class TileProgram internal constructor(
    field: Field,
) {
    val first = field["first"].name()
    val decoder = field["decoder"].name()
    val window = field["window"].pair()
    val windowReach = field["window_reach"].count(REACHES)

    /** Sizes of lists, ascending. */
    val blocks = field["blocks"].items().map { it.count() }
    val reach = field["reach"].count(REACHES)
    val channels = field["channels"].count()
    val emptyBelow = field["empty_below"].number()
    val easyBelow = field["easy_below"].number()
    val requiredPsnr = field["required_psnr"].number()

    val parts get() = listOf(first, decoder)

    init {
        field["type"].oneOf("tiles")
    }

    /** Windows cover [image], and a call has room for a block with all that it depends on. */
    internal fun check(
        field: Field,
        image: ImageInfo,
    ) {
        for ((i, pixels) in listOf(image.height, image.width).withIndex()) {
            val blocks = blocksOf(pixels)
            val covers = window[i] in 2L * windowReach + 2..blocks && (blocks - window[i]) % 2 == 0
            field["window"].check(window[i] == blocks || covers) {
                "has ${window[i]} blocks, which cannot cover $blocks"
            }
        }
        val side = 2.0 * reach + 1
        field["blocks"].check(blocks.isNotEmpty() && blocks[0] >= side * side) {
            "is $blocks, too few for a reach of $reach"
        }
        val ascend = blocks.zipWithNext().all { (one, next) -> one < next }
        field["blocks"].check(ascend) { "is $blocks, which does not ascend" }
    }
}

/** Blocks that cover so many pixels. */
internal fun blocksOf(pixels: Int) = (pixels + BLOCK - 1) / BLOCK

/** A larger one than an Int holds is too large for any use. */
private fun Field.count(range: LongRange = COUNTS) = integer(range).coerceAtMost(Int.MAX_VALUE.toLong()).toInt()

/** Two counts: of rows and columns. */
private fun Field.pair(): List<Int> {
    val counts = items().map { it.count() }
    check(counts.size == 2) { "has ${counts.size} numbers, not 2" }
    return counts
}
