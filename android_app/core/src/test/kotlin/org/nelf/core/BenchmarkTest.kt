package org.nelf.core

import org.junit.Test
import java.nio.FloatBuffer
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue

class BenchmarkTest {
    private val manifest = Vectors.manifest("around")
    private val device = DeviceInfo("Example", "Phone \"1\"", "", "Example 15", "0.1.0")
    private val model =
        NelfModel.load(FakeRuntime(Accelerator.CPU to FakeSession()), poseOf(0f), FloatBuffer.allocate(3))

    private fun parse(text: String) = Json.parse(text.toByteArray()) as Map<*, *>

    @Test
    fun `reports are those of the shared vectors`() {
        val vectors = Vectors.read("benchmark.json")
        for (case in vectors.list("cases")) check(case as Map<*, *>, vectors["begin"] as Double)
    }

    private fun check(
        case: Map<*, *>,
        begin: Double,
    ) {
        val name = case.text("name")
        val given = case.list("conditions").map { conditionOf(it as Map<*, *>) }.iterator()
        val plan = Plan(case["warm_up_seconds"] as Double, case["seconds"] as Double, case["minutes"] as Double?)
        val benchmark = Benchmark(plan, given::next)
        benchmark.begin(nanoseconds(begin))
        var goesOn = true
        for (frame in case.list("frames").map(Any?::numbers)) {
            assertTrue(goesOn, name)
            goesOn = benchmark.add(nanoseconds(frame[0] / 1000), nanoseconds(frame[1]))
        }
        assertFalse(given.hasNext(), "$name: all samples were asked for")
        val expected = case["report"] as Map<*, *>
        val stopped = case["stopped"] as String?
        val report = parse(benchmark.report("6f1c", manifest, device, model, 182.5, stopped, stopped == null))
        assertEquals(expected["finished"], !goesOn, name)
        assertEquals(expected.keys, report.keys, name)
        for (key in expected.keys - "results") assertEquals(expected[key], report[key], "$name: $key")
        val results = report.list("results").map { it as Map<*, *> }
        assertEquals(expected.list("results").size, results.size, name)
        for ((one, result) in expected.list("results").map { it as Map<*, *> }.zip(results)) {
            assertEquals(one.keys, result.keys, name)
            for (key in MEASURED) assertNear(one[key], result[key], "$name: $key")
            assertEquals(one["bundle"], result["bundle"])
            assertEquals(manifest.files.first { it.path == "model.bin" }.sha256, result["model_sha256"])
            assertEquals("cpu", result["backend"])
            val passedOver = result.list("passed_over").map { it as Map<*, *> }
            assertEquals(listOf("npu", "gpu"), passedOver.map { it["backend"] })
            assertEquals("no driver for gpu", passedOver[1]["reason"])
        }
    }

    private fun conditionOf(given: Map<*, *>) =
        Condition(
            (given["thermal_status"] as Double?)?.toInt(),
            given["headroom"] as Double?,
            given["battery_celsius"] as Double?,
            given["battery_percent"] as Double?,
            given["battery_milliamperes"] as Double?,
            given["battery_volts"] as Double?,
            given["charging"] as Boolean?,
        )

    private fun assertNear(
        expected: Any?,
        found: Any?,
        what: String,
    ) {
        when (expected) {
            is Double -> {
                assertEquals(expected, found as Double, 1e-9 * maxOf(1.0, expected), what)
            }

            is List<*> -> {
                assertEquals(expected.size, (found as List<*>).size, what)
                for ((a, b) in expected.zip(found)) assertNear(a, b, what)
            }

            is Map<*, *> -> {
                assertEquals(expected.keys, (found as Map<*, *>).keys, what)
                for (key in expected.keys) assertNear(expected[key], found[key], "$what, $key")
            }

            else -> {
                assertEquals(expected, found, what)
            }
        }
    }

    @Test
    fun `a failure has the same keys, and no figures`() {
        val plan = Plan(3.0, 30.0, null)
        val whole = parse(Benchmark(plan) { Condition() }.report("t", manifest, device, model, null))
        val failed = parse(Benchmark.failed("t", plan, device, "no \"GPU\"\nhere"))
        assertEquals(whole.keys, failed.keys)
        assertEquals("no \"GPU\"\nhere", failed["stopped"])
        assertEquals(listOf("t", false, emptyList<Any>()), listOf("token", "finished", "results").map(failed::get))
        assertNull(whole["stopped"])
    }

    private fun nanoseconds(seconds: Double) = Math.round(seconds * 1e9)

    private companion object {
        /** What the times decide, and what was passed through. */
        val MEASURED =
            listOf("frames", "rate", "latency", "sustained", "conditions", "threads", "memory_mb", "golden_psnr")
    }
}
