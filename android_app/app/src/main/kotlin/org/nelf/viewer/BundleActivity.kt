package org.nelf.viewer

import android.app.Activity
import android.view.ViewGroup
import org.nelf.core.Accelerator
import org.nelf.core.BundleError
import org.nelf.core.FrameListener
import org.nelf.core.FrameLoop
import org.nelf.core.NelfModel
import org.nelf.core.POSE_SIZE
import java.io.IOException
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors

/** A screen that shows one bundle: reads it in the background, then loads and renders its model. */
abstract class BundleActivity :
    Activity(),
    FrameListener,
    FrameView.Listener {
    protected val worker: ExecutorService = Executors.newSingleThreadExecutor()
    protected lateinit var library: BundleLibrary
        private set

    protected var view: FrameView? = null
        private set
    protected var loop: FrameLoop? = null
        private set
    private var resumed = false

    /** The bundle was read and checked, and is about to be shown. On the main thread. */
    protected abstract fun onBundle(bundle: ShownBundle)

    /**
     * Reads the bundle [name] and shows it in [stage], on the first accelerator of [order] that runs it. What goes wrong ends
     * in [onFailure].
     */
    protected fun openBundle(
        name: String,
        stage: ViewGroup,
        order: List<Accelerator>,
    ) {
        library = BundleLibrary(this)
        inBackground({ library.open(name) }) { bundle ->
            onBundle(bundle)
            show(bundle, stage, order)
        }
    }

    /** Does [work] in the background and gives what comes of it to [onDone] on the main thread. */
    protected fun <T> inBackground(
        work: () -> T,
        onDone: (T) -> Unit,
    ) {
        worker.execute {
            try {
                val result = work()
                runOnUiThread { if (!isDestroyed) onDone(result) }
            } catch (error: BundleError) {
                onFailure(error.message.orEmpty())
            } catch (error: IOException) {
                onFailure(error.message ?: "a file cannot be read")
            }
        }
    }

    private fun show(
        bundle: ShownBundle,
        stage: ViewGroup,
        order: List<Accelerator>,
    ) {
        val start = FloatArray(POSE_SIZE)
        val runtime = LiteRtRuntime(applicationContext, bundle)
        val frames = FrameLoop(bundle.manifest.image.size, { NelfModel.load(runtime, start, it, order) }, this)
        val shown = FrameView(this, bundle, frames, this)
        shown.copyPose(start)
        shown.contentDescription = getString(R.string.picture_of, bundle.manifest.name)
        shown.keepScreenOn = true
        stage.addView(shown, 0)
        loop = frames
        view = shown
        if (resumed) shown.onResume()
        frames.start()
    }

    override fun onResume() {
        super.onResume()
        resumed = true
        view?.onResume()
    }

    override fun onPause() {
        resumed = false
        view?.onPause()
        super.onPause()
    }

    override fun onDestroy() {
        worker.shutdown()
        loop?.stop()
        super.onDestroy()
    }
}
