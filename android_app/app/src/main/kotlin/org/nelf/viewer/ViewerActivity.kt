package org.nelf.viewer

import android.app.AlertDialog
import android.content.Context
import android.content.Intent
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.view.Surface
import android.view.View
import android.widget.Button
import android.widget.TextView
import android.widget.ToggleButton
import org.nelf.core.Accelerator
import org.nelf.core.Difference
import org.nelf.core.NelfModel
import org.nelf.core.checkGolden
import org.nelf.core.readGolden
import java.nio.FloatBuffer

/** Shows a bundle: gestures and turning the phone move the camera, a line tells how fast it is. */
class ViewerActivity : BundleActivity() {
    private val handler = Handler(Looper.getMainLooper())
    private lateinit var hud: Hud
    private lateinit var sensor: TiltSensor
    private var bundle: ShownBundle? = null
    private var tilting = false
    private var active = false

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.viewer)
        keepClearOfSystemBars(viewOf(R.id.controls))
        hud = Hud(resources, Device(this))
        sensor = TiltSensor(this, { view?.display?.rotation ?: Surface.ROTATION_0 }, { view?.turn(it) })
        viewOf<Button>(R.id.reset).setOnClickListener { view?.resetCamera() }
        viewOf<Button>(R.id.golden).setOnClickListener { startGoldenCheck() }
        viewOf<Button>(R.id.accelerator).setOnClickListener { chooseAccelerator() }
        val tilt = viewOf<ToggleButton>(R.id.tilt)
        tilt.isEnabled = sensor.available
        tilt.setOnCheckedChangeListener { _, on -> setTilting(on) }
        openBundle(intent.getStringExtra(BUNDLE).orEmpty(), viewOf(R.id.stage), order())
    }

    override fun onBundle(bundle: ShownBundle) {
        this.bundle = bundle
    }

    override fun onModel(model: NelfModel) {
        hud.model = model
        view?.requestRender()
        runOnUiThread {
            viewOf<View>(R.id.message).visibility = View.GONE
            for (button in listOf(R.id.reset, R.id.golden)) viewOf<Button>(button).isEnabled = true
        }
    }

    override fun onFrame(nanoseconds: Long) {
        hud.onFrame(nanoseconds)
        view?.requestRender()
    }

    override fun onDrawn() = hud.onDrawn()

    override fun onFailure(reason: String) = runOnUiThread { showMessage(reason) }

    override fun onRendererFailure(reason: String) = onFailure(reason)

    override fun onResume() {
        super.onResume()
        active = true
        if (tilting) setTilting(true)
        handler.post(::refreshHud)
    }

    override fun onPause() {
        active = false
        sensor.stop()
        handler.removeCallbacksAndMessages(null)
        super.onPause()
    }

    private fun refreshHud() {
        if (!active) return
        viewOf<TextView>(R.id.hud).text = hud.text()
        handler.postDelayed(::refreshHud, HUD_MILLISECONDS)
    }

    private fun setTilting(on: Boolean) {
        tilting = on
        view?.turn(null)
        if (on) sensor.start() else sensor.stop()
    }

    private fun startGoldenCheck() {
        val shown = bundle ?: return
        val button = viewOf<Button>(R.id.golden)
        button.isEnabled = false
        inBackground({ readGolden(shown.source, shown.manifest) }) { views ->
            loop?.submit { model ->
                val differences = checkGolden(model, views, FloatBuffer.allocate(shown.manifest.image.size))
                runOnUiThread {
                    button.isEnabled = true
                    if (!isDestroyed) showDifferences(differences)
                }
            }
        }
    }

    private fun showDifferences(differences: List<Difference>) {
        val passed = differences.all { it.passed }
        val lines = differences.map { getString(R.string.golden_line, it.view, it.psnr, it.maxError) }
        AlertDialog
            .Builder(this)
            .setTitle(if (passed) R.string.golden_passed else R.string.golden_failed)
            .setMessage(lines.joinToString("\n"))
            .setPositiveButton(android.R.string.ok, null)
            .show()
    }

    private fun chooseAccelerator() {
        val names = listOf(getString(R.string.automatic)) + Accelerator.entries.map { it.name }
        val chosen = intent.getStringExtra(ACCELERATOR)?.let { Accelerator.valueOf(it).ordinal + 1 } ?: 0
        AlertDialog
            .Builder(this)
            .setTitle(R.string.accelerator)
            .setSingleChoiceItems(names.toTypedArray(), chosen) { dialog, which ->
                dialog.dismiss()
                intent.removeExtra(ACCELERATOR)
                if (which > 0) intent.putExtra(ACCELERATOR, Accelerator.entries[which - 1].name)
                recreate()
            }.show()
    }

    /** The accelerator that was chosen and no other, so that a choice is never silently another. */
    private fun order(): List<Accelerator> =
        intent.getStringExtra(ACCELERATOR)?.let { listOf(Accelerator.valueOf(it)) } ?: Accelerator.entries

    private fun showMessage(text: String) {
        viewOf<TextView>(R.id.message).apply {
            this.text = text
            visibility = View.VISIBLE
        }
    }

    companion object {
        private const val BUNDLE = "bundle"
        private const val ACCELERATOR = "accelerator"
        private const val HUD_MILLISECONDS = 500L

        /** Shows the bundle [name] of the library. */
        fun intent(
            context: Context,
            name: String,
        ): Intent = Intent(context, ViewerActivity::class.java).putExtra(BUNDLE, name)
    }
}
