package org.nelf.core

import java.nio.FloatBuffer

/** Where a model can run, best first. */
enum class Accelerator { NPU, GPU, CPU }

/** An accelerator, or a model on it, failed; the message is shown to the user. */
class ModelException(
    message: String,
    cause: Throwable? = null,
) : Exception(message, cause)

/** A model on one accelerator. Used by one thread at a time. */
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

/** A [session] that has rendered a first image on [accelerator], and why each better one was [refused]. */
class OpenedModel(
    val session: ModelSession,
    val accelerator: Accelerator,
    val refused: List<PassedOver>,
) {
    /** For the screen: "GPU", and below it a line for each accelerator that was passed over. */
    fun describe(): String =
        (listOf(accelerator.name) + refused.map { "no ${it.accelerator}: ${it.reason}" }).joinToString("\n")
}

/**
 * Opens a model on the first of [order] that takes it **and** renders [pose] into finite numbers in [image]: a driver that
 * compiles a model may still fail to run it. Throws [ModelException] with every reason when none does.
 */
fun openOnFastest(
    runtime: ModelRuntime,
    pose: FloatArray,
    image: FloatBuffer,
    order: List<Accelerator> = Accelerator.entries,
): OpenedModel {
    require(order.isNotEmpty())
    val refused = ArrayList<PassedOver>()
    for (accelerator in order) {
        var session: ModelSession? = null
        try {
            session = runtime.open(accelerator)
            session.run(pose, image)
            if (!allFinite(image)) throw ModelException("it renders values that are no numbers")
            return OpenedModel(session, accelerator, refused)
        } catch (error: ModelException) {
            session?.close()
            refused.add(PassedOver(accelerator, error.message.orEmpty()))
        }
    }
    throw ModelException(
        "no accelerator runs this model: " + refused.joinToString("; ") { "${it.accelerator}: ${it.reason}" },
    )
}

private fun allFinite(image: FloatBuffer): Boolean = (0 until image.limit()).all { image.get(it).isFinite() }
