package org.nelf.viewer

import android.content.Context
import android.opengl.GLES30

/** OpenGL refused something; the message has its log. */
class GlException(
    message: String,
) : Exception(message)

/** The program of res/raw/frame_vertex.glsl and frame_fragment.glsl. Throws [GlException]. Needs a current context. */
fun linkProgram(context: Context): Int {
    val program = GLES30.glCreateProgram()
    for ((stage, resource) in listOf(
        GLES30.GL_VERTEX_SHADER to R.raw.frame_vertex,
        GLES30.GL_FRAGMENT_SHADER to R.raw.frame_fragment,
    )) {
        val text = context.resources.openRawResource(resource).use { it.readBytes().decodeToString() }
        val shader = compileShader(stage, text)
        GLES30.glAttachShader(program, shader)
        GLES30.glDeleteShader(shader)
    }
    GLES30.glLinkProgram(program)
    val status = IntArray(1)
    GLES30.glGetProgramiv(program, GLES30.GL_LINK_STATUS, status, 0)
    if (status[0] == 0) throw GlException("the shaders cannot be linked: ${GLES30.glGetProgramInfoLog(program)}")
    return program
}

private fun compileShader(
    stage: Int,
    text: String,
): Int {
    val shader = GLES30.glCreateShader(stage)
    GLES30.glShaderSource(shader, text)
    GLES30.glCompileShader(shader)
    val status = IntArray(1)
    GLES30.glGetShaderiv(shader, GLES30.GL_COMPILE_STATUS, status, 0)
    if (status[0] == 0) throw GlException("a shader cannot be compiled: ${GLES30.glGetShaderInfoLog(shader)}")
    return shader
}
