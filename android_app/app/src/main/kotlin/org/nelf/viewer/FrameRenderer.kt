package org.nelf.viewer

import android.content.Context
import android.opengl.GLES30
import android.opengl.GLSurfaceView
import org.nelf.core.ImageInfo
import java.nio.FloatBuffer
import javax.microedition.khronos.egl.EGLConfig
import javax.microedition.khronos.opengles.GL10
import kotlin.math.min

/** Where images come from, and whom to tell that one was drawn. Called on the GL thread. */
interface FrameSource {
    /** The newest image that was not fetched before, or null; unchanged until the next call. */
    fun fetch(): FloatBuffer?

    fun onDrawn()

    /** Nothing can be drawn on this device. */
    fun onRendererFailure(reason: String)
}

/**
 * Presents the model's images with OpenGL ES 3: uploads floats from a direct buffer into one texture, and composites them
 * over the bundle's background. Allocates nothing while drawing.
 */
class FrameRenderer(
    private val context: Context,
    private val image: ImageInfo,
    private val source: FrameSource,
) : GLSurfaceView.Renderer {
    private val format = if (image.channels == 4) GLES30.GL_RGBA else GLES30.GL_RGB
    private val background = FloatArray(3) { image.background[it].toFloat() }
    private var newest: FloatBuffer? = null
    private var uploaded = false
    private var program = 0
    private var scale = 0

    override fun onSurfaceCreated(
        unused: GL10?,
        config: EGLConfig?,
    ) {
        uploaded = false // a new context has no texture yet
        try {
            program = linkProgram(context)
        } catch (error: GlException) {
            program = 0
            source.onRendererFailure(error.message.orEmpty())
            return
        }
        GLES30.glUseProgram(program)
        scale = GLES30.glGetUniformLocation(program, "scale")
        GLES30.glUniform3fv(GLES30.glGetUniformLocation(program, "background"), 1, background, 0)
        GLES30.glUniform1i(GLES30.glGetUniformLocation(program, "image"), 0)
        GLES30.glClearColor(background[0], background[1], background[2], 1f)
        createTexture()
    }

    override fun onSurfaceChanged(
        unused: GL10?,
        width: Int,
        height: Int,
    ) {
        if (program == 0) return
        val fit = min(width.toFloat() / image.width, height.toFloat() / image.height)
        GLES30.glViewport(0, 0, width, height)
        GLES30.glUniform2f(scale, fit * image.width / width, fit * image.height / height)
    }

    override fun onDrawFrame(unused: GL10?) {
        if (program == 0) return
        source.fetch()?.let {
            newest = it
            uploaded = false
        }
        if (!uploaded) upload()
        GLES30.glClear(GLES30.GL_COLOR_BUFFER_BIT)
        if (uploaded) GLES30.glDrawArrays(GLES30.GL_TRIANGLE_STRIP, 0, 4)
        source.onDrawn()
    }

    /** Half floats, which every OpenGL ES 3 device can filter; the driver converts. */
    private fun createTexture() {
        val name = IntArray(1)
        GLES30.glGenTextures(1, name, 0)
        GLES30.glBindTexture(GLES30.GL_TEXTURE_2D, name[0])
        val internal = if (image.channels == 4) GLES30.GL_RGBA16F else GLES30.GL_RGB16F
        GLES30.glTexStorage2D(GLES30.GL_TEXTURE_2D, 1, internal, image.width, image.height)
        for ((parameter, value) in listOf(
            GLES30.GL_TEXTURE_MIN_FILTER to GLES30.GL_LINEAR,
            GLES30.GL_TEXTURE_MAG_FILTER to GLES30.GL_LINEAR,
            GLES30.GL_TEXTURE_WRAP_S to GLES30.GL_CLAMP_TO_EDGE,
            GLES30.GL_TEXTURE_WRAP_T to GLES30.GL_CLAMP_TO_EDGE,
        )) {
            GLES30.glTexParameteri(GLES30.GL_TEXTURE_2D, parameter, value)
        }
    }

    private fun upload() {
        val pixels = newest ?: return
        val target = GLES30.GL_TEXTURE_2D
        GLES30.glTexSubImage2D(target, 0, 0, 0, image.width, image.height, format, GLES30.GL_FLOAT, pixels)
        uploaded = true
    }
}
