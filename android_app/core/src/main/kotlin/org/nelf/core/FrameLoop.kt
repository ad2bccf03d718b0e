package org.nelf.core

import java.nio.FloatBuffer
import java.util.concurrent.locks.LockSupport

/** What a [FrameLoop] tells of its work, on its own thread. */
interface FrameListener {
    /** The model is loaded, and its first image can be fetched. */
    fun onModel(model: NelfModel)

    /** A new image can be fetched; the model took [nanoseconds]. */
    fun onFrame(nanoseconds: Long)

    /** The model failed and the loop has ended. */
    fun onFailure(reason: String)
}

/** Loads a model, which renders its first image into the buffer given. Called on the loop's thread. */
fun interface ModelLoader {
    fun load(image: FloatBuffer): NelfModel
}

/**
 * Renders requested poses on a thread of its own, which also loads, and in the end releases, the model.
 *
 * Only the newest pose counts: while the model is busy, older ones are overwritten and never queued. Without a new pose
 * nothing runs. A frame allocates nothing here.
 */
class FrameLoop(
    imageSize: Int,
    private val loader: ModelLoader,
    private val listener: FrameListener,
) : AutoCloseable {
    private val exchange = FrameExchange(imageSize)
    private val requested = FloatArray(POSE_SIZE)
    private val current = FloatArray(POSE_SIZE)
    private var waiting = false
    private var task: ((NelfModel) -> Unit)? = null

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

    /** Runs [task] on the loop's thread between two frames, in place of one that has not begun. */
    fun submit(task: (NelfModel) -> Unit) {
        synchronized(requested) { this.task = task }
        LockSupport.unpark(thread)
    }

    /** The newest image that was not fetched before, or null. For one reader, whose own it is until the next call. */
    fun fetch(): FloatBuffer? = exchange.fetch()

    /** Ends the loop. The model is released when what the thread is at is done, which may be loading. */
    fun stop() {
        running = false
        LockSupport.unpark(thread)
    }

    /** Ends the loop and waits until the model is released. Not on a thread that must stay responsive. */
    override fun close() {
        stop()
        if (thread !== Thread.currentThread()) thread.join()
    }

    private fun work() {
        var model: NelfModel? = null
        try {
            model = loader.load(exchange.back)
            exchange.publish()
            listener.onModel(model)
            while (running) {
                if (!runTask(model) && !runFrame(model)) LockSupport.park(this)
            }
        } catch (error: ModelException) {
            listener.onFailure(error.message.orEmpty())
        } finally {
            model?.close()
        }
    }

    private fun runTask(model: NelfModel): Boolean {
        val next = synchronized(requested) { task.also { task = null } }
        next?.invoke(model)
        return next != null
    }

    private fun runFrame(model: NelfModel): Boolean {
        synchronized(requested) {
            if (!waiting) return false
            requested.copyInto(current)
            waiting = false
        }
        val start = System.nanoTime()
        model.render(current, exchange.back)
        val end = System.nanoTime()
        exchange.publish()
        listener.onFrame(end - start)
        return true
    }
}
