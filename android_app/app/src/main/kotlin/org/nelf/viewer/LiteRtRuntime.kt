package org.nelf.viewer

import android.content.Context
import android.os.Build
import com.google.ai.edge.litert.BuiltinNpuAcceleratorProvider
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.Environment
import com.google.ai.edge.litert.LiteRtException
import com.google.ai.edge.litert.TensorBuffer
import org.nelf.core.Accelerator
import org.nelf.core.ModelException
import org.nelf.core.ModelRuntime
import org.nelf.core.ModelSession
import org.nelf.core.TilePart
import org.nelf.core.TileProgram
import org.nelf.core.TileRenderer
import java.io.File
import java.nio.FloatBuffer
import com.google.ai.edge.litert.Accelerator as LiteRtAccelerator

/** Opens the model of [bundle], or the parts of its program, with LiteRT. The only file that knows LiteRT. */
class LiteRtRuntime(
    private val context: Context,
    private val bundle: ShownBundle,
) : ModelRuntime {
    /**
     * One accelerator and no other: with several, LiteRT falls back without saying so. With the NPU it always adds the CPU, for
     * operations that the NPU's compiler leaves, and its Kotlin API does not tell how many these are.
     */
    override fun open(accelerator: Accelerator): ModelSession =
        translated {
            val provider = BuiltinNpuAcceleratorProvider(context)
            if (accelerator == Accelerator.NPU) refuseWithoutNpu(provider)
            val opened = ArrayList<AutoCloseable>()
            try {
                val environment = Environment.create(provider).also(opened::add)
                val known = environment.getAvailableAccelerators()
                if (accelerator == Accelerator.NPU && LiteRtAccelerator.NPU !in known) {
                    throw ModelException("LiteRT could not load the NPU's library")
                }
                val load = { path: String -> compile(environment, accelerator, path).also(opened::add) }
                bundle.manifest.program?.let { renderer(it, load, opened) } ?: session(load, opened)
            } catch (error: LiteRtException) {
                closeAll(opened)
                throw error
            } catch (error: ModelException) {
                closeAll(opened)
                throw error
            }
        }

    private fun session(
        load: (String) -> CompiledModel,
        opened: MutableList<AutoCloseable>,
    ): ModelSession {
        val model = load(bundle.manifest.model.path)
        val inputs = model.createInputBuffers().also(opened::addAll)
        val outputs = model.createOutputBuffers().also(opened::addAll)
        return LiteRtSession(model, inputs, outputs) { closeAll(opened) }
    }

    private fun renderer(
        program: TileProgram,
        load: (String) -> CompiledModel,
        opened: MutableList<AutoCloseable>,
    ): ModelSession {
        fun part(
            path: String,
            inputs: List<String>,
            outputs: List<String>,
            signatures: Int,
        ): TilePart {
            val model = load(path)
            return LiteRtPart(
                model,
                List(signatures) { if (it == 0) SIGNATURE else "${SIGNATURE}_$it" }.map { name ->
                    PartSignature(
                        name,
                        inputs.associateWith { model.createInputBuffer(it, name).also(opened::add) },
                        outputs.associateWith { model.createOutputBuffer(it, name).also(opened::add) },
                    )
                },
            )
        }
        val first = part(program.first, TilePart.FIRST_INPUTS, TilePart.FIRST_OUTPUTS, 1)
        val decoder = part(program.decoder, TilePart.DECODER_INPUTS, TilePart.DECODER_OUTPUTS, program.blocks.size)
        val (image, lens) = bundle.manifest.image to bundle.manifest.camera.intrinsics
        return TileRenderer(program, image, lens, first, decoder) { closeAll(opened) }
    }

    /** What was opened last uses what was opened before it. */
    private fun closeAll(opened: List<AutoCloseable>) = opened.asReversed().forEach(AutoCloseable::close)

    private fun compile(
        environment: Environment,
        accelerator: Accelerator,
        path: String,
    ): CompiledModel {
        val options =
            CompiledModel.Options(
                when (accelerator) {
                    Accelerator.NPU -> LiteRtAccelerator.NPU
                    Accelerator.GPU -> LiteRtAccelerator.GPU
                    Accelerator.CPU -> LiteRtAccelerator.CPU
                },
            )
        return when (val location = bundle.location) {
            is ShownBundle.InFolder -> {
                CompiledModel.create(bundle.file(location, path).path, options, environment)
            }

            is ShownBundle.InAssets -> {
                CompiledModel.create(
                    context.assets,
                    bundle.asset(location, path),
                    options,
                    environment,
                )
            }
        }
    }

    private fun refuseWithoutNpu(provider: BuiltinNpuAcceleratorProvider) {
        if (!provider.isDeviceSupported()) {
            val chip = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) " (${Build.SOC_MODEL})" else ""
            throw ModelException("LiteRT knows no NPU in this chip$chip")
        }
        val libraries = File(provider.getLibraryDir()).list().orEmpty()
        if (libraries.none { it.startsWith("libLiteRtDispatch") }) {
            throw ModelException("this app was built without the NPU vendor's library (README, NPU)")
        }
    }
}

/** What LiteRT throws, as an exception that the core knows. A missing native library is an error, no exception, in Java. */
private fun <T> translated(action: () -> T): T =
    try {
        action()
    } catch (error: LiteRtException) {
        throw ModelException(error.message ?: "LiteRT failed", error)
    } catch (error: UnsatisfiedLinkError) {
        throw ModelException("LiteRT's native library is not in this app", error)
    } catch (error: NoClassDefFoundError) {
        throw ModelException("LiteRT is not in this app", error)
    }

private class LiteRtSession(
    private val model: CompiledModel,
    private val inputs: List<TensorBuffer>,
    private val outputs: List<TensorBuffer>,
    private val onClose: () -> Unit,
) : ModelSession {
    /** LiteRT's readFloat makes a new array of every image; its Kotlin API has no other way to an output (2.3). */
    override fun run(
        pose: FloatArray,
        image: FloatBuffer,
    ) = translated {
        inputs[0].writeFloat(pose)
        model.run(inputs, outputs)
        val values = outputs[0].readFloat()
        if (values.size != image.capacity()) {
            throw ModelException("the model gives ${values.size} numbers, the manifest says ${image.capacity()}")
        }
        image.clear()
        image.put(values)
        image.clear()
        Unit
    }

    override fun close() = onClose()
}

/** First of a file's signatures; a number follows in the names of others. */
private const val SIGNATURE = "serving_default"

/** Buffers by names: the order of a file's inputs is the converter's. */
private class PartSignature(
    val name: String,
    val inputs: Map<String, TensorBuffer>,
    val outputs: Map<String, TensorBuffer>,
)

private class LiteRtPart(
    private val model: CompiledModel,
    private val signatures: List<PartSignature>,
) : TilePart {
    override fun run(
        inputs: Map<String, FloatArray>,
        signature: Int,
    ) = translated {
        val called = signatures[signature]
        for ((name, values) in inputs) called.inputs.getValue(name).writeFloat(values)
        model.run(called.inputs, called.outputs, called.name)
        called.outputs.mapValues { (_, buffer) -> buffer.readFloat() }
    }
}
