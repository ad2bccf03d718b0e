package org.nelf.core

import java.nio.FloatBuffer

/** Called with the number of the run, unboxed: the fakes allocate nothing either. */
fun interface RunHook {
    fun onRun(run: Int)
}

/** An image of one grey, taken from the pose: the first number of it. */
class FakeSession(
    private val hook: RunHook = RunHook {},
) : ModelSession {
    var runs = 0
        private set
    var closed = false
        private set
    val images = ArrayList<FloatBuffer>()

    override fun run(
        pose: FloatArray,
        image: FloatBuffer,
    ) {
        check(!closed) { "run after close" }
        if (images.indices.none { images[it] === image }) images.add(image)
        for (index in 0 until image.limit()) image.put(index, pose[0])
        hook.onRun(runs++)
    }

    override fun close() {
        closed = true
    }
}

/** Opens [sessions] by accelerator; one that is absent is refused with its own name as the reason. */
class FakeRuntime(
    private vararg val sessions: Pair<Accelerator, ModelSession>,
) : ModelRuntime {
    val tried = ArrayList<Accelerator>()

    override fun open(accelerator: Accelerator): ModelSession {
        tried += accelerator
        return sessions.toMap()[accelerator] ?: throw ModelException("no driver for ${accelerator.name.lowercase()}")
    }
}

fun poseOf(first: Float) = FloatArray(POSE_SIZE).also { it[0] = first }
