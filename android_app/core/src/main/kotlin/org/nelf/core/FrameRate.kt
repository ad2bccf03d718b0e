package org.nelf.core

/** Frames a second, over the last second. Allocates nothing after construction; not for several threads at once. */
class FrameRate {
    private val times = LongArray(MOST)
    private var added = 0L

    /** A frame was shown at [now], in nanoseconds of any clock. */
    fun add(now: Long) {
        times[(added % MOST).toInt()] = now
        added++
    }

    /** Frames of the second that ends [now]. 0 while nothing moves: then nothing is rendered. */
    fun perSecond(now: Long): Int {
        var count = 0
        while (count < minOf(added, MOST.toLong()) &&
            now - times[((added - 1 - count) % MOST).toInt()] < SECOND
        ) {
            count++
        }
        return count
    }

    private companion object {
        const val MOST = 512
        const val SECOND = 1_000_000_000L
    }
}
