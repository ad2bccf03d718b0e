package org.nelf.core

import org.junit.Test
import kotlin.test.assertEquals

class StatisticsTest {
    @Test
    fun `percentiles are those of the nearest rank`() {
        val statistics = FrameStatistics(100)
        assertEquals(0, statistics.median)
        for (value in 100L downTo 1L) statistics.add(value)
        assertEquals(listOf(50L, 95L, 1L, 100L), listOf(50.0, 95.0, 0.0, 100.0).map(statistics::percentile))
        assertEquals(statistics.p95, statistics.percentile(95.0))
    }

    @Test
    fun `only the last times count`() {
        val statistics = FrameStatistics(4)
        for (value in listOf(900L, 1L, 2L, 3L, 4L)) statistics.add(value)
        assertEquals(4, statistics.percentile(100.0))
        assertEquals(2, statistics.median)
        assertEquals(5, statistics.count)
        statistics.clear()
        assertEquals(0, statistics.p95)
    }

    @Test
    fun `the rate is that of the last second`() {
        val rate = FrameRate()
        assertEquals(0, rate.perSecond(0))
        for (frame in 0 until 1000) rate.add(frame * 10_000_000L)
        assertEquals(100, rate.perSecond(9_990_000_000L))
        assertEquals(50, rate.perSecond(10_490_000_000L))
        assertEquals(0, rate.perSecond(20_000_000_000L))
    }
}
