package org.nelf.core

import java.nio.FloatBuffer

/** Where a model can run, best first. */
enum class Accelerator { NPU, GPU, CPU }

/** An accelerator, or a model on it, failed; the message is shown to the user. */
class ModelException(
    message: String,
    cause: Throwable? = null,
) : Exception(message, cause)

/** A model file on one accelerator. Used by one thread. */
interface ModelSession : AutoCloseable {
    /** Renders [pose] (c2w, 12 numbers row by row) into [image], from its start. Throws [ModelException]. */
    fun run(
        pose: FloatArray,
        image: FloatBuffer,
    )

    override fun close()
}

/** What opens a model file on an accelerator: LiteRT on a phone, a made-up one in tests. */
interface ModelRuntime {
    /** Throws [ModelException] saying why [accelerator] cannot have it. */
    fun open(accelerator: Accelerator): ModelSession
}

/** Why [accelerator] was passed over. */
data class PassedOver(
    val accelerator: Accelerator,
    val reason: String,
)

/**
 * A model that has rendered its first image on [accelerator], and why each better one was [passedOver].
 *
 * Times in nanoseconds: [loadTime] is opening, [firstTime] the first image.
 */
class NelfModel private constructor(
    private val session: ModelSession,
    val accelerator: Accelerator,
    val passedOver: List<PassedOver>,
    val loadTime: Long,
    val firstTime: Long,
) : AutoCloseable {
    /** Renders [pose] into [image], both the caller's: no call makes new ones. Throws [ModelException]. */
    fun render(
        pose: FloatArray,
        image: FloatBuffer,
    ) = session.run(pose, image)

    override fun close() = session.close()

    companion object {
        /**
         * Opens a model on the first of [order] that takes it **and** renders [pose] into finite numbers in [image]: a
         * driver that compiles a model may still fail to run it. Throws [ModelException] with every reason when none does.
         */
        fun load(
            runtime: ModelRuntime,
            pose: FloatArray,
            image: FloatBuffer,
            order: List<Accelerator> = Accelerator.entries,
        ): NelfModel {
            require(order.isNotEmpty())
            val passedOver = ArrayList<PassedOver>()
            for (accelerator in order) {
                var session: ModelSession? = null
                try {
                    val start = System.nanoTime()
                    session = runtime.open(accelerator)
                    val opened = System.nanoTime()
                    session.run(pose, image)
                    val ran = System.nanoTime()
                    if (!allFinite(image)) throw ModelException("it renders values that are no numbers")
                    return NelfModel(session, accelerator, passedOver, opened - start, ran - opened)
                } catch (error: ModelException) {
                    session?.close()
                    passedOver.add(PassedOver(accelerator, error.message.orEmpty()))
                }
            }
            throw ModelException(
                "no accelerator runs this model: " +
                    passedOver.joinToString(
                        "; ",
                    ) { "${it.accelerator}: ${it.reason}" },
            )
        }

        private fun allFinite(image: FloatBuffer) = (0 until image.limit()).all { image.get(it).isFinite() }
    }
}
