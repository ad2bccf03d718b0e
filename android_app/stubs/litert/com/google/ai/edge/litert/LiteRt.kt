// The part of LiteRT 2.3's Kotlin API that the app calls, so that the app compiles where Google's Maven repository is out
// of reach. Declarations only, written anew; never packed into an APK.

package com.google.ai.edge.litert

import android.content.Context
import android.content.res.AssetManager

private fun absent(): Nothing = throw UnsupportedOperationException("a stub of LiteRT")

enum class Accelerator { NONE, CPU, GPU, NPU }

class LiteRtException(
    message: String,
) : Exception(message)

abstract class JniHandle : AutoCloseable {
    override fun close(): Unit = absent()
}

interface NpuAcceleratorProvider {
    fun isDeviceSupported(): Boolean

    fun isLibraryReady(): Boolean

    fun getLibraryDir(): String
}

class BuiltinNpuAcceleratorProvider(
    context: Context,
) : NpuAcceleratorProvider {
    override fun isDeviceSupported(): Boolean = absent()

    override fun isLibraryReady(): Boolean = absent()

    override fun getLibraryDir(): String = absent()
}

class Environment private constructor() : JniHandle() {
    enum class Option { CompilerPluginLibraryDir, DispatchLibraryDir }

    fun getAvailableAccelerators(): Set<Accelerator> = absent()

    companion object {
        @JvmStatic
        fun create(
            npuAcceleratorProvider: NpuAcceleratorProvider,
            options: Map<Option, String> = mapOf(),
        ): Environment = absent()
    }
}

class TensorBuffer internal constructor() : JniHandle() {
    fun writeFloat(data: FloatArray): Unit = absent()

    fun readFloat(): FloatArray = absent()
}

class CompiledModel private constructor() : JniHandle() {
    class Options(
        vararg accelerators: Accelerator,
    ) {
        internal val wanted = accelerators.toSet()
    }

    fun createInputBuffer(
        inputName: String,
        signature: String = "",
    ): TensorBuffer = absent()

    fun createOutputBuffer(
        outputName: String,
        signature: String = "",
    ): TensorBuffer = absent()

    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = absent()

    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = absent()

    fun run(
        inputs: List<TensorBuffer>,
        outputs: List<TensorBuffer>,
        signatureIndex: Int = 0,
    ): Unit = absent()

    fun run(
        inputs: Map<String, TensorBuffer>,
        outputs: Map<String, TensorBuffer>,
        signature: String = "",
    ): Unit = absent()

    companion object {
        @JvmStatic
        fun create(
            assetManager: AssetManager,
            assetName: String,
            options: Options,
            optionalEnv: Environment? = null,
        ): CompiledModel = absent()

        @JvmStatic
        fun create(
            filePath: String,
            options: Options,
            optionalEnv: Environment? = null,
        ): CompiledModel = absent()
    }
}
