package org.nelf.viewer

import android.annotation.SuppressLint
import android.content.Context
import android.opengl.GLSurfaceView
import android.view.Choreographer
import android.view.MotionEvent
import org.nelf.core.FrameLoop
import org.nelf.core.Gestures
import org.nelf.core.OrbitCamera
import org.nelf.core.POSE_SIZE
import org.nelf.core.Tilt
import java.nio.FloatBuffer
import kotlin.math.min

/**
 * Shows what [loop] renders of [bundle], and moves the camera: by fingers, by inertia, by turning the phone. Draws only when
 * there is a new image, and asks for one only when the camera moved. Used on the main thread; [listener] is not called on it.
 */
@SuppressLint("ViewConstructor") // no layout file names it: it is made when its bundle has been read
class FrameView(
    context: Context,
    bundle: ShownBundle,
    private val loop: FrameLoop,
    private val listener: Listener,
) : GLSurfaceView(context),
    Choreographer.FrameCallback,
    FrameSource {
    private val density = resources.displayMetrics.density.toDouble()
    private val camera = OrbitCamera(bundle.manifest)
    private val gestures = Gestures(camera)
    private val tilt = Tilt(camera)
    private val pose = FloatArray(POSE_SIZE)
    private val asked = FloatArray(POSE_SIZE)
    private var coasting = false
    private var lastFrame = 0L

    /** Whether fingers and turns move the camera; a benchmark sets its own poses. */
    var interactive = true

    /** What a screen wants to know of drawing; called on the GL thread. */
    interface Listener {
        fun onDrawn()

        fun onRendererFailure(reason: String)
    }

    init {
        setEGLContextClientVersion(3)
        preserveEGLContextOnPause = true
        setRenderer(FrameRenderer(context, bundle.manifest.image, this))
        renderMode = RENDERMODE_WHEN_DIRTY
    }

    override fun fetch(): FloatBuffer? = loop.fetch()

    override fun onDrawn() = listener.onDrawn()

    override fun onRendererFailure(reason: String) = listener.onRendererFailure(reason)

    /** Where the camera is at the start. */
    fun copyPose(into: FloatArray) = camera.copyPose(into)

    /** Back to the start. */
    fun resetCamera() {
        camera.reset()
        requestPose()
    }

    /** The phone's attitude, 3 rows of 3 from the screen's axes to the world's; null: turning starts anew. */
    fun turn(rotation: FloatArray?) {
        if (rotation == null) {
            tilt.restart()
        } else if (interactive && tilt.turn(rotation, min(width, height) / density)) {
            requestPose()
        }
    }

    /** A touch that does not move the camera needs no new image. */
    private fun requestPose() {
        camera.copyPose(pose)
        if (pose.contentEquals(asked)) return
        pose.copyInto(asked)
        loop.request(pose)
    }

    override fun onSizeChanged(
        width: Int,
        height: Int,
        oldWidth: Int,
        oldHeight: Int,
    ) {
        super.onSizeChanged(width, height, oldWidth, oldHeight)
        camera.resize(width / density, height / density)
    }

    // A double tap only resets the camera, which the screen has a button for: there is no click to perform.
    @SuppressLint("ClickableViewAccessibility")
    override fun onTouchEvent(event: MotionEvent): Boolean {
        if (!interactive) return false
        val seconds = event.eventTime / 1000.0
        if (event.actionMasked == MotionEvent.ACTION_CANCEL) {
            gestures.cancel(seconds)
        } else {
            touch(event, seconds)
        }
        requestPose()
        coast()
        return true
    }

    /** The fingers that stay on the screen: the one that an ACTION_UP is about has left. */
    private fun touch(
        event: MotionEvent,
        seconds: Double,
    ) {
        val up = event.actionMasked == MotionEvent.ACTION_UP || event.actionMasked == MotionEvent.ACTION_POINTER_UP
        val gone = if (up) event.actionIndex else -1
        val first = if (gone == 0) 1 else 0
        val second = if (gone == first + 1) first + 2 else first + 1
        val count = event.pointerCount - if (up) 1 else 0
        gestures.touch(
            count,
            if (count > 0) event.getX(first) / density else 0.0,
            if (count > 0) event.getY(first) / density else 0.0,
            if (count > 1) event.getX(second) / density else 0.0,
            if (count > 1) event.getY(second) / density else 0.0,
            seconds,
        )
    }

    private fun coast() {
        if (coasting || !camera.moving) return
        coasting = true
        lastFrame = 0
        Choreographer.getInstance().postFrameCallback(this)
    }

    override fun doFrame(frameTimeNanos: Long) {
        coasting = false
        if (!camera.moving || !isAttachedToWindow) return
        if (lastFrame != 0L) {
            camera.step((frameTimeNanos - lastFrame) / 1e9)
            requestPose()
        }
        lastFrame = frameTimeNanos
        coasting = true
        Choreographer.getInstance().postFrameCallback(this)
    }
}
