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
import java.io.File
import java.nio.FloatBuffer
import com.google.ai.edge.litert.Accelerator as LiteRtAccelerator

/** Opens the model of [bundle] with LiteRT. The only file, with its session, that knows LiteRT. */
class LiteRtRuntime(
    private val context: Context,
    private val bundle: ShownBundle,
) : ModelRuntime {
    /** One accelerator and no other: with several, LiteRT falls back without saying so. */
    override fun open(accelerator: Accelerator): ModelSession =
        translated {
            val provider = BuiltinNpuAcceleratorProvider(context)
            if (accelerator == Accelerator.NPU) refuseWithoutNpu(provider)
            val environment = Environment.create(provider)
            try {
                if (accelerator == Accelerator.NPU &&
                    LiteRtAccelerator.NPU !in environment.getAvailableAccelerators()
                ) {
                    throw ModelException("LiteRT could not load the NPU's library")
                }
                LiteRtSession(environment, compile(environment, accelerator))
            } catch (error: LiteRtException) {
                environment.close()
                throw error
            } catch (error: ModelException) {
                environment.close()
                throw error
            }
        }

    private fun compile(
        environment: Environment,
        accelerator: Accelerator,
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
                CompiledModel.create(bundle.modelFile(location).path, options, environment)
            }

            is ShownBundle.InAssets -> {
                CompiledModel.create(
                    context.assets,
                    bundle.modelAsset(location),
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
    private val environment: Environment,
    private val model: CompiledModel,
) : ModelSession {
    private val inputs: List<TensorBuffer> = model.createInputBuffers()
    private val outputs: List<TensorBuffer> = model.createOutputBuffers()

    /** LiteRT's readFloat makes a new array of every image; its Kotlin API has no other way to an output (2.3). */
    override fun run(
        pose: FloatArray,
        image: FloatBuffer,
    ) = translated {
        inputs[0].writeFloat(pose)
        model.run(inputs, outputs)
        image.clear()
        image.put(outputs[0].readFloat())
        image.clear()
        Unit
    }

    override fun close() {
        inputs.forEach(TensorBuffer::close)
        outputs.forEach(TensorBuffer::close)
        model.close()
        environment.close()
    }
}
