package org.nelf.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer

/**
 * Three images of [size] numbers that go round between one writer and one reader: neither ever waits for the other, the
 * reader always gets the newest, and nothing is allocated after construction.
 */
class FrameExchange(
    val size: Int,
) {
    private val images =
        Array<FloatBuffer>(3) {
            ByteBuffer.allocateDirect(size * Float.SIZE_BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer()
        }
    private var written = 0
    private var ready = 1
    private var read = 2
    private var fresh = false

    /** The image to write next; the writer's own until [publish]. */
    val back: FloatBuffer get() = images[written]

    /** Hands [back] over to the reader; one that it has not fetched yet is replaced. */
    @Synchronized
    fun publish() {
        written = ready.also { ready = written }
        fresh = true
    }

    /** The newest image, once; null when there is none since the last call. The reader's own until the next call. */
    @Synchronized
    fun fetch(): FloatBuffer? {
        if (!fresh) return null
        read = ready.also { ready = read }
        fresh = false
        return images[read]
    }
}
