package org.nelf.core

import kotlin.math.ceil
import kotlin.math.max

/**
 * Times of the last [capacity] frames, in nanoseconds. Adding and reading allocate nothing: both happen while rendering.
 *
 * Not for several threads at once; who shares one locks it.
 */
class FrameStatistics(
    private val capacity: Int = 120,
) {
    private val times = LongArray(capacity)
    private val sorted = LongArray(capacity)
    private var added = 0L

    /** Frames seen since the start or [clear]. */
    val count: Long get() = added

    fun add(nanoseconds: Long) {
        times[(added % capacity).toInt()] = nanoseconds
        added++
    }

    fun clear() {
        added = 0
    }

    /** Middle of the last times; 0 before the first. */
    val median: Long get() = percentile(50.0)

    val p95: Long get() = percentile(95.0)

    /** Smallest of the last times that [percent] of them do not exceed; 0 before the first. */
    fun percentile(percent: Double): Long {
        val held = minOf(added, capacity.toLong()).toInt()
        if (held == 0) return 0
        sort(held)
        return sorted[rankOf(percent, held)]
    }

    /** By insertion: the library's sort makes arrays of its own. */
    private fun sort(held: Int) {
        for (index in 0 until held) {
            var at = index
            while (at > 0 && sorted[at - 1] > times[index]) {
                sorted[at] = sorted[at - 1]
                at--
            }
            sorted[at] = times[index]
        }
    }
}

/** Place, among [count] values in order, of the nearest rank: the first that [percent] of them do not exceed. */
internal fun rankOf(
    percent: Double,
    count: Int,
) = max(ceil(percent / 100 * count).toInt(), 1) - 1
