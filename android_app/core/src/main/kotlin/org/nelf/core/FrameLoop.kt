package org.nelf.core

import java.nio.FloatBuffer
import java.util.concurrent.locks.LockSupport

/** What a [FrameLoop] tells of its work; called on the loop's thread. */
interface FrameListener {
    /** A new image can be fetched. */
    fun onFrame()

    /** The model failed and the loop has ended. */
    fun onFailure(reason: String)
}

/**
 * Renders requested poses on a thread of its own. Only the newest pose counts: while the model is busy, older ones are
 * overwritten and never queued. Without a new pose nothing runs. A frame allocates nothing here.
 *
 * [session] is used by the loop's thread alone and closed by it after [close].
 */
class FrameLoop(
    private val session: ModelSession,
    imageSize: Int,
    private val listener: FrameListener,
) : AutoCloseable {
    private val exchange = FrameExchange(imageSize)
    private val requested = FloatArray(POSE_SIZE)
    private val current = FloatArray(POSE_SIZE)
    private val latencies = FrameStatistics()
    private val intervals = FrameStatistics()
    private var waiting = false
    private var lastFrame = 0L

    @Volatile private var running = true
    private val thread = Thread(::work, "nelf-frames")

    fun start() = thread.start()

    /** Asks for an image from [pose] (c2w, 12 numbers row by row), which is copied. */
    fun request(pose: FloatArray) {
        synchronized(requested) {
            pose.copyInto(requested)
            waiting = true
        }
        LockSupport.unpark(thread)
    }

    /** The newest image that was not fetched before, or null. For one reader, whose own it is until the next call. */
    fun fetch(): FloatBuffer? = exchange.fetch()

    /** Calls [read] with the times of the model and the times between images that followed one another at once. */
    fun statistics(read: (latencies: FrameStatistics, intervals: FrameStatistics) -> Unit) =
        synchronized(latencies) { read(latencies, intervals) }

    /** Ends the loop and waits until the session is closed. */
    override fun close() {
        running = false
        LockSupport.unpark(thread)
        if (thread !== Thread.currentThread()) thread.join()
    }

    private fun work() {
        try {
            while (running) {
                if (take()) {
                    frame()
                } else {
                    lastFrame = 0
                    LockSupport.park(this)
                }
            }
        } catch (error: ModelException) {
            listener.onFailure(error.message.orEmpty())
        } finally {
            session.close()
        }
    }

    private fun take(): Boolean =
        synchronized(requested) {
            requested.copyInto(current)
            waiting.also { waiting = false }
        }

    private fun frame() {
        val start = System.nanoTime()
        session.run(current, exchange.back)
        val end = System.nanoTime()
        exchange.publish()
        synchronized(latencies) {
            latencies.add(end - start)
            if (lastFrame != 0L) intervals.add(end - lastFrame)
        }
        lastFrame = end
        listener.onFrame()
    }

    private companion object {
        const val POSE_SIZE = 12
    }
}
