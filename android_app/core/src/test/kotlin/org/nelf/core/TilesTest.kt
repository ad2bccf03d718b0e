package org.nelf.core

import org.junit.Test
import java.nio.FloatBuffer
import kotlin.math.roundToInt
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class TilesTest {
    private val vectors = Vectors.read("tiles.json")

    @Test
    fun `calls draw the blocks that need it`() {
        for (case in vectors.list("calls").map { it as Map<*, *> }) {
            val lines = case.list("needed").map { it as String }
            val (size, reach) = listOf("size", "reach").map { (case[it] as Double).toInt() }
            val needed = Needed(lines.size, lines[0].length)
            for ((i, one) in lines.joinToString("").withIndex()) needed.blocks[i] = one == '#'
            val calls = needed.calls(size, reach)
            val expected = case.list("calls").map { it as Map<*, *> }
            assertEquals(expected.size, calls.size)
            for ((one, call) in expected zip calls) {
                val blocks = call.map { listOf(it.row, it.column, if (it.drawn) 1 else 0) }
                assertEquals(one.list("blocks").map { it.integers() }, blocks)
                val places = FloatArray(9 * call.size)
                neighbours(call, needed.rows, needed.columns, size, places)
                assertEquals(one.list("neighbours").flatMap { it.integers() }, places.map { it.toInt() })
            }
        }
    }

    @Test
    fun `windows cover the picture`() {
        for (case in vectors.list("windows").map { it as Map<*, *> }) {
            val (length, size, reach) = listOf("length", "size", "reach").map { (case[it] as Double).toInt() }
            val found = windows(length, size, reach).map { (start, begin, end) -> listOf(start, begin, end) }
            assertEquals(case.list("windows").map { it.integers() }, found)
        }
    }

    @Test
    fun `the plane of a pixel is Python's`() {
        val planes = vectors["planes"] as Map<*, *>
        for (case in planes.list("cases").map { it as Map<*, *> }) {
            val (left, top) = listOf("left", "top").map { (case[it] as Double).toInt() }
            val found = planeOf(planes["intrinsics"].numbers(), left, top)
            for ((value, expected) in found zip case["plane"].numbers()) assertEquals(expected, value, 1e-12)
        }
    }

    @Test
    fun `programs render what Python renders`() {
        for (case in vectors.list("programs").map { it as Map<*, *> }) {
            val formulas = Formulas(case)
            val image = FloatBuffer.allocate(formulas.image.size)
            repeat(2) {
                image.put(0, Float.NaN)
                formulas.renderer().run(formulas.pose, image)
                val expected = case.list("rows").flatMap { it.numbers() }.map { it.toFloat() }
                assertContentEquals(expected.toFloatArray(), image.array(), case.text("name"))
            }
            assertEquals(case["calls"], formulas.calls / 2.0)
        }
    }

    @Test
    fun `a part that gives something else is refused`() {
        val formulas = Formulas(vectors.list("programs")[0] as Map<*, *>)
        val image = FloatBuffer.allocate(formulas.image.size)
        val nothing = TilePart { _, _ -> emptyMap() }
        val silent = TileRenderer(formulas.program, formulas.image, formulas.lens, nothing, nothing)
        val error = assertFailsWith<ModelException> { silent.run(formulas.pose, image) }
        assertEquals("a part of the program gives no state", error.message)
        val short = TilePart { _, _ -> mapOf("image" to FloatArray(7)) }
        val wrong = TileRenderer(formulas.program, formulas.image, formulas.lens, formulas::first, short)
        assertFailsWith<ModelException> { wrong.run(formulas.pose, image) }
    }

    @Test
    fun `numbers that no memory holds are refused`() {
        val case = vectors.list("programs")[0] as Map<*, *>
        for ((key, value) in listOf("blocks" to listOf(4294967297.0), "channels" to 9e15)) {
            val large = Formulas(case + ("program" to (case["program"] as Map<*, *>) + (key to value)))
            assertFailsWith<ModelException>(key) { large.renderer() }
        }
    }

    private fun Any?.integers() = numbers().map { it.toInt() }

    /** The parts of a case of tiles.json, as tests/vectors/tiles.py describes them. */
    private class Formulas(
        case: Map<*, *>,
    ) {
        val program = TileProgram(Field(case["program"]))
        val image = ImageInfo(Field(case["image"]))
        val lens = case["intrinsics"].numbers()
        val pose = case["pose"].numbers().map { it.toFloat() }.toFloatArray()
        var calls = 0

        fun renderer() = TileRenderer(program, image, lens, ::first, ::decoder)

        fun first(
            inputs: Map<String, FloatArray>,
            signature: Int,
        ): Map<String, FloatArray> {
            assertEquals(0, signature)
            val (rows, columns) = program.window
            val (left, top) = pixelOf(inputs.getValue("plane"), 0)
            val pose = inputs.getValue("pose")
            val state = ArrayList<Float>()
            val estimates = ArrayList<Float>()
            for (place in 0 until rows * columns) {
                val x = left + 8f * (place % columns)
                val y = top + 8f * (place / columns)
                state += listOf(x, y, place.toFloat()) + List(program.channels - 3) { 0f }
                estimates += listOf(x + y + pose[3], x - 2 * y + pose[7])
                estimates += listOf(x / 64, y / 64, 2f, 0.5f).take(image.channels)
            }
            return mapOf("state" to state.toFloatArray(), "estimates" to estimates.toFloatArray())
        }

        fun decoder(
            inputs: Map<String, FloatArray>,
            signature: Int,
        ): Map<String, FloatArray> {
            calls++
            val blocks = program.blocks[signature]
            val state = inputs.getValue("state")
            val around = inputs.getValue("neighbours")
            val known = List(blocks) { state[it * program.channels] } + listOf(-1f, -2f)
            val values = ArrayList<Float>()
            for (number in 0 until blocks) {
                val (left, top) = pixelOf(inputs.getValue("plane"), 4 * number)
                val third = state[number * program.channels + 2] + 100 * known[around[9 * number].toInt()]
                for (place in 0 until 64) {
                    val (x, y) = left + place % 8f to top + (place / 8).toFloat()
                    values += listOf(x, y, third, inputs.getValue("pose")[11]).take(image.channels)
                }
            }
            return mapOf("image" to values.toFloatArray())
        }

        /** Of a call that is not full, a plane may be zeros. */
        private fun pixelOf(
            plane: FloatArray,
            from: Int,
        ): List<Int> {
            val (u, v, across, down) = plane.slice(from until from + 4)
            if (across == 0f) return listOf(0, 0)
            return listOf((u / across + lens[2]).roundToInt(), (v / down + lens[3]).roundToInt())
        }
    }
}
