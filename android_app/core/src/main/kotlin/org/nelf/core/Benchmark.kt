package org.nelf.core

/** What the device says of itself; strings may be empty. */
class DeviceInfo(
    val manufacturer: String,
    val model: String,
    val soc: String,
    val os: String,
    val app: String,
)

/** How hot the device is, as far as it says: Android's thermal status, headroom (1: throttling begins), battery in °C. */
class Thermal(
    val status: Int?,
    val headroom: Double?,
    val batteryCelsius: Double?,
)

/**
 * Times of one model rendered over and over, and the file that `nelf bench` reads (docs/benchmark.md has its format).
 *
 * [seconds]: how long to measure; [sample] is asked once a window. Times given are nanoseconds of one clock.
 */
class Benchmark(
    private val seconds: Double,
    private val sample: () -> Thermal,
) {
    private var times = LongArray(1 shl 14)
    private var count = 0
    private var warmup = 0
    private var start = 0L
    private var end = 0L
    private var windowStart = 0
    private var windowNumber = 1
    private val windows = ArrayList<Map<String, Any?>>()
    private val thermal = ArrayList<Map<String, Any?>>()

    /** The model took [nanoseconds] for a frame, and was done at [now]. Returns whether to go on. */
    fun add(
        nanoseconds: Long,
        now: Long,
    ): Boolean {
        if (warmup < WARMUP_FRAMES) {
            warmup++
            start = now
            return true
        }
        if (count == times.size) times = times.copyOf(2 * count)
        times[count++] = nanoseconds
        end = now
        val past = secondsBetween(start, now)
        val over = past >= seconds
        if (past >= windowNumber * WINDOW_SECONDS || over) closeWindow(past)
        return !over
    }

    private fun closeWindow(past: Double) {
        if (count > windowStart) {
            val sorted = times.copyOfRange(windowStart, count).also { it.sort() }
            windows +=
                mapOf(
                    "seconds" to past,
                    "frames" to sorted.size,
                    "median_ms" to percentile(sorted, 50.0),
                    "p90_ms" to percentile(sorted, 90.0),
                )
            val now = sample()
            thermal +=
                mapOf(
                    "seconds" to past,
                    "status" to now.status,
                    "headroom" to now.headroom,
                    "battery_c" to now.batteryCelsius,
                )
        }
        windowStart = count
        while (past >= windowNumber * WINDOW_SECONDS) windowNumber++
    }

    /** The file's content. [memoryMegabytes]: proportional set size, null where the device does not say. */
    fun report(
        token: String,
        manifest: Manifest,
        device: DeviceInfo,
        model: NelfModel,
        memoryMegabytes: Double?,
    ): String {
        val sorted = times.copyOf(count).also { it.sort() }
        return Json.write(
            content(token, manifest.name, modelHashOf(manifest), device) +
                mapOf(
                    "accelerator" to codeOf(model.accelerator),
                    "fallbacks" to
                        model.passedOver.map { mapOf("accelerator" to codeOf(it.accelerator), "reason" to it.reason) },
                    "load_ms" to milliseconds(model.loadTime),
                    "first_ms" to milliseconds(model.firstTime),
                    "warmup_frames" to warmup,
                    "frames" to count,
                    "seconds" to secondsBetween(start, end),
                    "median_ms" to percentile(sorted, 50.0),
                    "p90_ms" to percentile(sorted, 90.0),
                    "p99_ms" to percentile(sorted, 99.0),
                    "mean_ms" to if (count == 0) 0.0 else milliseconds(sorted.sum()) / count,
                    "min_ms" to percentile(sorted, 0.0),
                    "max_ms" to percentile(sorted, 100.0),
                    "windows" to windows,
                    "thermal" to thermal,
                    "memory_mb" to memoryMegabytes,
                ),
        )
    }

    companion object {
        private const val WARMUP_FRAMES = 20
        private const val WINDOW_SECONDS = 10

        /** The file's content when nothing could be measured, for the one-line reason [error]. */
        fun failed(
            token: String,
            bundle: String,
            accelerator: Accelerator,
            device: DeviceInfo,
            error: String,
        ): String {
            val nothing = content(token, bundle, "", device)
            return Json.write(nothing + mapOf("accelerator" to codeOf(accelerator), "error" to error))
        }

        /** How the intent and the file name an accelerator. */
        fun codeOf(accelerator: Accelerator) = accelerator.name.lowercase()

        /** Every key, in the order of the document, with nothing measured. */
        private fun content(
            token: String,
            model: String,
            modelHash: String,
            device: DeviceInfo,
        ): Map<String, Any?> =
            mapOf(
                "format" to "nelf-app-benchmark",
                "version" to "1.0",
                "token" to token,
                "model" to model,
                "model_sha256" to modelHash,
                "accelerator" to "",
                "fallbacks" to emptyList<Any>(),
                "device" to
                    mapOf(
                        "manufacturer" to device.manufacturer,
                        "model" to device.model,
                        "soc" to device.soc,
                        "os" to device.os,
                        "app" to device.app,
                    ),
                "load_ms" to 0.0,
                "first_ms" to 0.0,
                "warmup_frames" to 0,
                "frames" to 0,
                "seconds" to 0.0,
                "median_ms" to 0.0,
                "p90_ms" to 0.0,
                "p99_ms" to 0.0,
                "mean_ms" to 0.0,
                "min_ms" to 0.0,
                "max_ms" to 0.0,
                "windows" to emptyList<Any>(),
                "thermal" to emptyList<Any>(),
                "memory_mb" to null,
                "error" to null,
            )

        private fun modelHashOf(manifest: Manifest) =
            manifest.files
                .firstOrNull { it.path == manifest.model.path }
                ?.sha256
                .orEmpty()

        private fun percentile(
            sorted: LongArray,
            percent: Double,
        ) = if (sorted.isEmpty()) 0.0 else milliseconds(sorted[rankOf(percent, sorted.size)])

        private fun milliseconds(nanoseconds: Long) = nanoseconds / 1e6

        private fun secondsBetween(
            start: Long,
            end: Long,
        ) = (end - start) / 1e9
    }
}
