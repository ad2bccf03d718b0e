package org.nelf.viewer

import android.content.res.Resources
import org.nelf.core.FrameRate
import org.nelf.core.FrameStatistics
import org.nelf.core.NelfModel

/** How fast a model is, as text. Times come from the threads that render and draw, the text goes to the main thread. */
class Hud(
    private val resources: Resources,
    private val device: Device,
) {
    private val latencies = FrameStatistics()
    private val rate = FrameRate()

    @Volatile var model: NelfModel? = null

    @Synchronized
    fun onFrame(nanoseconds: Long) = latencies.add(nanoseconds)

    @Synchronized
    fun onDrawn() = rate.add(System.nanoTime())

    /** Empty until there is a model. */
    fun text(): String {
        val shown = model ?: return ""
        val status = device.thermalStatus()
        val heat = resources.getStringArray(R.array.thermal_status).getOrNull(status ?: -1)
        val lines = mutableListOf(speed(), resources.getString(R.string.hud_runs_on, shown.accelerator.name))
        if (heat != null) lines += resources.getString(R.string.hud_thermal, heat)
        shown.passedOver.mapTo(lines) { resources.getString(R.string.hud_passed_over, it.accelerator.name, it.reason) }
        return lines.joinToString("\n")
    }

    @Synchronized
    private fun speed(): String {
        val (median, p95) = latencies.median / 1e6 to latencies.p95 / 1e6
        return resources.getString(R.string.hud_speed, median, p95, rate.perSecond(System.nanoTime()))
    }
}
