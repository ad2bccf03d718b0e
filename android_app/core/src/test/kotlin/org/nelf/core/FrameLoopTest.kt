package org.nelf.core

import com.sun.management.ThreadMXBean
import org.junit.After
import org.junit.Test
import java.lang.management.ManagementFactory
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Semaphore
import java.util.concurrent.TimeUnit
import kotlin.test.assertEquals
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertSame
import kotlin.test.assertTrue

class FrameLoopTest {
    private val frames = Semaphore(0)
    private val failures = ArrayList<String>()
    private val failed = CountDownLatch(1)
    private var loopThread = 0L
    private var loop: FrameLoop? = null

    @After
    fun close() {
        loop?.close()
    }

    private fun start(session: ModelSession): FrameLoop {
        val runtime = FakeRuntime(Accelerator.CPU to session)
        val listener =
            object : FrameListener {
                override fun onModel(model: NelfModel) {
                    loopThread = Thread.currentThread().id
                    frames.release()
                }

                override fun onFrame(nanoseconds: Long) = frames.release()

                override fun onFailure(reason: String) {
                    failures.add(reason)
                    failed.countDown()
                }
            }
        val started = FrameLoop(SIZE, { NelfModel.load(runtime, poseOf(0.25f), it) }, listener)
        loop = started
        started.start()
        return started
    }

    private fun await(what: Semaphore = frames) = assertTrue(what.tryAcquire(10, TimeUnit.SECONDS), "no frame came")

    @Test
    fun `the first image is there before a pose is asked for`() {
        val started = start(FakeSession())
        await()
        assertEquals(0.25f, assertNotNull(started.fetch()).get(0))
        assertNull(started.fetch(), "an image is fetched once")
    }

    @Test
    fun `the newest pose wins and none is queued`() {
        val entered = Semaphore(0)
        val go = Semaphore(0)
        val session =
            FakeSession { run ->
                if (run == 1) {
                    entered.release()
                    go.acquire()
                }
            }
        val started = start(session)
        await()
        started.request(poseOf(1f))
        await(entered)
        for (value in 2..50) started.request(poseOf(value.toFloat())) // while the model is busy
        go.release()
        await()
        await()
        assertEquals(50f, assertNotNull(started.fetch()).get(0))
        assertEquals(3, session.runs, "one to load, the first pose, the last pose")
    }

    @Test
    fun `nothing runs without a new pose`() {
        val session = FakeSession()
        start(session)
        await()
        Thread.sleep(100)
        assertEquals(1, session.runs)
    }

    @Test
    fun `a failure ends the loop, is told, and releases the model`() {
        val session = FakeSession { run -> if (run == 1) throw ModelException("out of memory") }
        val started = start(session)
        await()
        started.request(poseOf(1f))
        assertTrue(failed.await(10, TimeUnit.SECONDS))
        started.close()
        assertEquals(listOf("out of memory"), failures)
        assertTrue(session.closed)
    }

    @Test
    fun `a task runs between frames, on the thread of the model`() {
        val started = start(FakeSession())
        await()
        var thread = 0L
        started.submit {
            thread = Thread.currentThread().id
            frames.release()
        }
        await()
        assertEquals(loopThread, thread)
    }

    @Test
    fun `three buffers serve all frames`() {
        val session = FakeSession()
        val started = start(session)
        await()
        for (value in 1..100) {
            started.request(poseOf(value.toFloat()))
            await()
            val image = assertNotNull(started.fetch())
            assertEquals(value.toFloat(), image.get(SIZE - 1))
            assertTrue(image.isDirect, "OpenGL reads it where it is")
        }
        assertTrue(session.images.size in 2..3, "${session.images.size} buffers")
    }

    /** From the finger's move to the fetched image: what runs on every frame, on both threads. */
    @Test
    fun `a frame allocates nothing`() {
        val meter = ManagementFactory.getThreadMXBean() as ThreadMXBean
        val started = start(FakeSession())
        await()
        val camera = OrbitCamera(Vectors.manifest("ring"))
        camera.resize(390.0, 844.0)
        val gestures = Gestures(camera)
        val statistics = FrameStatistics()
        val rate = FrameRate()
        val pose = FloatArray(POSE_SIZE)
        val own = Thread.currentThread().id

        fun frames(count: Int) {
            for (index in 0 until count) {
                gestures.touch(1 + index / 50 % 2, 100.0 + index % 50, 200.0, 300.0, 400.0 + index % 50, index / 60.0)
                camera.step(1 / 60.0)
                camera.copyPose(pose)
                started.request(pose)
                while (started.fetch() == null) Thread.onSpinWait()
                statistics.add(index.toLong())
                rate.add(index.toLong())
                check(statistics.p95 >= statistics.median && rate.perSecond(index.toLong()) > 0)
            }
        }

        frames(20_000) // the compiler replaces the code while it warms up, and allocates for itself
        val before = longArrayOf(meter.getThreadAllocatedBytes(own), meter.getThreadAllocatedBytes(loopThread))
        frames(2_000)
        val after = longArrayOf(meter.getThreadAllocatedBytes(own), meter.getThreadAllocatedBytes(loopThread))
        // The measuring itself makes an array or two. One object of the smallest size a frame would be 32,000 bytes.
        assertTrue(after[0] - before[0] < 2_000, "${after[0] - before[0]} bytes on the main thread")
        assertTrue(after[1] - before[1] < 2_000, "${after[1] - before[1]} bytes on the loop's thread")
    }

    @Test
    fun `the camera's pose is always the same array`() {
        val camera = OrbitCamera(Vectors.manifest("around"))
        assertSame(camera.c2w, camera.c2w)
    }

    private companion object {
        const val SIZE = 48
    }
}
