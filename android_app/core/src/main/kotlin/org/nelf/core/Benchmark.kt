package org.nelf.core

/** What the device says of itself; strings may be empty. */
class DeviceInfo(
    val manufacturer: String,
    val model: String,
    val soc: String,
    val os: String,
    val app: String,
)

/** How warm the device is, and its battery. Null where the system does not say. docs/devices.md has the units. */
class Condition(
    val thermalStatus: Int? = null,
    val headroom: Double? = null,
    val batteryCelsius: Double? = null,
    val batteryPercent: Double? = null,
    val batteryMilliamperes: Double? = null,
    val batteryVolts: Double? = null,
    val charging: Boolean? = null,
)

/** How long to measure; [minutes]: of the sustained run, or null for none. */
class Plan(
    val warmUpSeconds: Double,
    val seconds: Double,
    val minutes: Double?,
)

/**
 * Times of one model rendered over and over: a warm-up, a measured time, a sustained one. Its report is what `nelf bench`
 * reads of every device (docs/devices.md); tests/vectors/benchmark.json holds it to the other languages.
 *
 * [sample] is asked when the measured time begins, and then every 10 seconds. Times given are nanoseconds of one clock.
 */
class Benchmark(
    private val plan: Plan,
    private val sample: () -> Condition,
) {
    private val measured = Course()
    private val sustained = Course()
    private val lengths = doubleArrayOf(plan.warmUpSeconds, plan.seconds, SECONDS_A_MINUTE * (plan.minutes ?: 0.0))
    private val conditions = ArrayList<Map<String, Any?>>()
    private var phase = WARM_UP
    private var phaseStart = 0L
    private var measuredStart = 0L
    private var nextSample = 0.0

    /** Samples so far: after a new one the report has more to tell. */
    val samples: Int get() = conditions.size

    /** The warm-up begins [now]. */
    fun begin(now: Long) = enter(WARM_UP, now)

    /** The model took [nanoseconds] for a frame, and was done at [now]. Returns whether to go on. */
    fun add(
        nanoseconds: Long,
        now: Long,
    ): Boolean {
        if (phase > SUSTAINED) return false
        val past = secondsBetween(phaseStart, now)
        when (phase) {
            MEASURED -> measured.add(nanoseconds, past)
            SUSTAINED -> sustained.add(nanoseconds, past)
        }
        if (phase >= MEASURED) sampleAt(secondsBetween(measuredStart, now))
        if (past >= lengths[phase]) enter(phase + 1, now)
        return phase <= SUSTAINED
    }

    /** Phases of no length are passed over. */
    private fun enter(
        next: Int,
        now: Long,
    ) {
        phase = next
        while (phase <= SUSTAINED && lengths[phase] <= 0) phase++
        phaseStart = now
        if (phase == MEASURED) {
            measuredStart = now
            sampleAt(0.0)
        }
    }

    private fun sampleAt(second: Double) {
        if (second < nextSample) return
        val now = sample()
        conditions +=
            mapOf(
                "second" to second,
                "thermal_status" to now.thermalStatus,
                "headroom" to now.headroom,
                "battery_celsius" to now.batteryCelsius,
                "battery_percent" to now.batteryPercent,
                "battery_milliamperes" to now.batteryMilliamperes,
                "battery_volts" to now.batteryVolts,
                "charging" to now.charging,
            )
        while (nextSample <= second) nextSample += SAMPLE_SECONDS
    }

    /**
     * The file's content so far. [memoryMegabytes]: proportional set size, null where the device does not say.
     * [stopped]: why it was cut short. [visible]: whether the app was in front all the time.
     */
    fun report(
        token: String,
        manifest: Manifest,
        device: DeviceInfo,
        model: NelfModel,
        memoryMegabytes: Double?,
        stopped: String? = null,
        visible: Boolean = true,
    ): String {
        val about =
            mapOf(
                "bundle" to manifest.name,
                "model_sha256" to modelHashOf(manifest),
                "backend" to codeOf(model.accelerator),
                "passed_over" to
                    model.passedOver.map { mapOf("backend" to codeOf(it.accelerator), "reason" to it.reason) },
                "threads" to 0,
                "load_milliseconds" to milliseconds(model.loadTime),
                "first_frame_milliseconds" to milliseconds(model.loadTime + model.firstTime),
                "memory_mb" to memoryMegabytes,
                "golden_psnr" to null,
            )
        val results = if (measured.count > 0) listOf(about + figures()) else emptyList()
        return Json.write(
            content(token, plan, device) +
                mapOf(
                    "finished" to (stopped == null && phase > SUSTAINED),
                    "stopped" to stopped,
                    "results" to results,
                    "visible" to visible,
                ),
        )
    }

    private fun figures(): Map<String, Any?> =
        mapOf(
            "frames" to measured.count,
            "rate" to if (measured.past > 0) measured.count / measured.past else 0.0,
            "latency" to measured.latency(),
            "sustained" to (if (sustained.count > 0) sustained else measured).windows,
            "conditions" to conditions,
        )

    companion object {
        private const val WARM_UP = 0
        private const val MEASURED = 1
        private const val SUSTAINED = 2
        private const val SECONDS_A_MINUTE = 60
        private const val SAMPLE_SECONDS = 10.0

        /** The file's content when nothing can be measured, for the one-line reason [error]. */
        fun failed(
            token: String,
            plan: Plan,
            device: DeviceInfo,
            error: String,
        ): String = Json.write(content(token, plan, device) + mapOf("stopped" to error))

        /** How the intent and the file name an accelerator. */
        fun codeOf(accelerator: Accelerator) = accelerator.name.lowercase()

        /** Every key, with nothing measured. */
        private fun content(
            token: String,
            plan: Plan,
            device: DeviceInfo,
        ): Map<String, Any?> =
            mapOf(
                "protocol" to 2,
                "token" to token,
                "plan" to
                    mapOf(
                        "warm_up_seconds" to plan.warmUpSeconds,
                        "seconds" to plan.seconds,
                        "minutes" to plan.minutes,
                    ),
                "finished" to false,
                "stopped" to null,
                "device" to
                    mapOf(
                        "type" to "app",
                        "manufacturer" to device.manufacturer,
                        "model" to device.model,
                        "soc" to device.soc,
                        "os" to device.os,
                        "app" to device.app,
                    ),
                "results" to emptyList<Any>(),
                "visible" to true,
            )

        private fun modelHashOf(manifest: Manifest) =
            manifest.files
                .firstOrNull { it.role == "model" }
                ?.sha256
                .orEmpty()

        private fun secondsBetween(
            start: Long,
            end: Long,
        ) = (end - start) / 1e9
    }
}

/** The times of one phase, and those of each of its seconds. */
private class Course {
    private var times = LongArray(1 shl 14)
    private var windowStart = 0
    val windows = ArrayList<Map<String, Any?>>()
    var count = 0
        private set

    /** From the start of the phase to its last frame, in seconds. */
    var past = 0.0
        private set

    fun add(
        nanoseconds: Long,
        past: Double,
    ) {
        while (windows.size < past.toInt()) closeWindow()
        if (count == times.size) times = times.copyOf(2 * count)
        times[count++] = nanoseconds
        this.past = past
    }

    /** In a second without a frame one takes at least that second. */
    private fun closeWindow() {
        val sorted = times.copyOfRange(windowStart, count).also { it.sort() }
        val median = if (sorted.isEmpty()) 1000.0 else percentile(sorted, 50.0)
        windows += mapOf("second" to windows.size, "frames" to sorted.size, "median" to median)
        windowStart = count
    }

    fun latency(): Map<String, Any?> {
        val sorted = times.copyOf(count).also { it.sort() }
        return mapOf(
            "median" to percentile(sorted, 50.0),
            "p90" to percentile(sorted, 90.0),
            "p95" to percentile(sorted, 95.0),
            "mean" to milliseconds(sorted.sum()) / count,
        )
    }

    private fun percentile(
        sorted: LongArray,
        percent: Double,
    ) = milliseconds(sorted[rankOf(percent, sorted.size)])
}

private fun milliseconds(nanoseconds: Long) = nanoseconds / 1e6
