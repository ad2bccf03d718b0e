package org.nelf.core

import org.junit.Test
import java.nio.FloatBuffer
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class BenchmarkTest {
    private val manifest = Vectors.manifest("around")
    private val device = DeviceInfo("Example", "Phone \"1\"", "", "Android 15", "0.1.0")
    private var samples = 0
    private val benchmark = Benchmark(25.0) { Thermal(samples++, null, 31.5) }

    private fun model() =
        NelfModel.load(FakeRuntime(Accelerator.CPU to FakeSession()), poseOf(0f), FloatBuffer.allocate(3))

    private fun parse(text: String) = Json.parse(text.toByteArray()) as Map<*, *>

    @Test
    fun `frames are counted after the warm-up, in windows of ten seconds`() {
        for (frame in 0 until 20) assertTrue(benchmark.add(900 * MILLISECOND, frame * MILLISECOND))
        var now = 19 * MILLISECOND
        var frames = 0
        do {
            now += 50 * MILLISECOND
            frames++
        } while (benchmark.add((frames % 10 + 1) * MILLISECOND, now))
        assertEquals(500, frames)

        val report = parse(benchmark.report("6f1c", manifest, device, model(), 182.4))
        assertEquals(500.0, report["frames"])
        assertEquals(20.0, report["warmup_frames"])
        assertEquals(25.0, report["seconds"])
        assertEquals(listOf(5.0, 9.0, 10.0, 5.5, 1.0, 10.0), KEYS.map(report::get))
        val windows = report.list("windows").map { it as Map<*, *> }
        assertEquals(listOf(10.0, 20.0, 25.0), windows.map { it["seconds"] })
        assertEquals(500.0, windows.sumOf { it["frames"] as Double })
        assertEquals(listOf(0.0, 1.0, 2.0), report.list("thermal").map { (it as Map<*, *>)["status"] })
        assertEquals(182.4, report["memory_mb"])
        assertEquals(manifest.files.first { it.path == "model.bin" }.sha256, report["model_sha256"])
    }

    @Test
    fun `what ran, and why nothing better, is in the file`() {
        val report = parse(benchmark.report("", manifest, device, model(), null))
        assertEquals("cpu", report["accelerator"])
        val fallbacks = report.list("fallbacks").map { it as Map<*, *> }
        assertEquals(listOf("npu", "gpu"), fallbacks.map { it["accelerator"] })
        assertEquals(listOf("no driver for npu", "no driver for gpu"), fallbacks.map { it["reason"] })
        assertEquals("Phone \"1\"", (report["device"] as Map<*, *>)["model"])
    }

    @Test
    fun `a failure has the same keys, and no figures`() {
        val whole = parse(benchmark.report("t", manifest, device, model(), null))
        assertEquals(EVERY_KEY, whole.keys)
        val failed = parse(Benchmark.failed("t", "stilllife", Accelerator.GPU, device, "no \"GPU\"\nhere"))
        assertEquals(whole.keys, failed.keys)
        assertEquals("no \"GPU\"\nhere", failed["error"])
        assertEquals(listOf("t", "stilllife", "gpu"), listOf("token", "model", "accelerator").map(failed::get))
        assertTrue(KEYS.all { failed[it] == 0.0 })
        assertFalse("error" in whole.filterValues { it != null })
    }

    private companion object {
        const val MILLISECOND = 1_000_000L

        /** docs/benchmark.md: all keys must be there. */
        val EVERY_KEY =
            (
                "format version token model model_sha256 accelerator fallbacks device load_ms first_ms warmup_frames " +
                    "frames seconds median_ms p90_ms p99_ms mean_ms min_ms max_ms windows thermal memory_mb error"
            ).split(" ").toSet()
        val KEYS = listOf("median_ms", "p90_ms", "p99_ms", "mean_ms", "min_ms", "max_ms")
    }
}
