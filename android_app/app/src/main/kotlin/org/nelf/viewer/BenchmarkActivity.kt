package org.nelf.viewer

import android.os.Bundle
import android.util.Log
import android.view.ViewGroup
import android.widget.TextView
import org.nelf.core.Accelerator
import org.nelf.core.Benchmark
import org.nelf.core.GoldenView
import org.nelf.core.NelfModel
import org.nelf.core.readGolden
import java.io.File
import java.io.IOException
import java.util.concurrent.atomic.AtomicBoolean

/**
 * Renders a bundle's golden poses over and over and writes benchmark.json, as `nelf bench --device adb` asks for by an
 * intent; docs/benchmark.md has its extras and the file.
 */
class BenchmarkActivity : BundleActivity() {
    private val device by lazy { Device(this) }
    private val written = AtomicBoolean()
    private lateinit var benchmark: Benchmark
    private lateinit var shown: ShownBundle
    private lateinit var model: NelfModel
    private lateinit var views: List<GoldenView>
    private var next = 0

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.benchmark)
        keepClearOfSystemBars(viewOf(R.id.controls))
        benchmark = Benchmark(intent.getFloatExtra("minutes", 0.5f) * 60.0, device::thermal)
        val wanted = wanted()
        if (wanted == null) {
            onFailure("accelerator is ${extra("accelerator")}, not one of auto, npu, gpu, cpu")
        } else {
            openBundle(extra("bundle"), viewOf<ViewGroup>(R.id.stage), wanted)
        }
    }

    /** The accelerators to try: a named one has no fallback. Null for a name that is none. */
    private fun wanted(): List<Accelerator>? {
        val name = extra("accelerator").ifEmpty { AUTOMATIC }
        if (name == AUTOMATIC) return Accelerator.entries
        return Accelerator.entries.filter { Benchmark.codeOf(it) == name }.ifEmpty { null }
    }

    override fun onBundle(bundle: ShownBundle) {
        shown = bundle
    }

    override fun onModel(model: NelfModel) {
        this.model = model
        runOnUiThread { view?.interactive = false }
        try {
            views = readGolden(shown.source, shown.manifest)
        } catch (error: IOException) {
            onFailure(error.message.orEmpty())
            return
        }
        requestNext()
    }

    override fun onFrame(nanoseconds: Long) {
        view?.requestRender()
        if (benchmark.add(nanoseconds, System.nanoTime())) {
            requestNext()
        } else {
            finishWith(
                benchmark.report(extra("token"), shown.manifest, device.info(), model, device.memoryMegabytes()),
                getString(R.string.benchmark_done),
            )
        }
    }

    private fun requestNext() {
        loop?.request(views[next].c2w)
        next = (next + 1) % views.size
    }

    override fun onDrawn() = Unit

    override fun onRendererFailure(reason: String) = onFailure(reason)

    override fun onFailure(reason: String) {
        val accelerator = wanted()?.first() ?: Accelerator.CPU
        finishWith(Benchmark.failed(extra("token"), extra("bundle"), accelerator, device.info(), reason), reason)
    }

    override fun onStop() {
        onFailure("the screen was left before the benchmark was through")
        super.onStop()
    }

    /** Writes the file once: what comes first counts. */
    private fun finishWith(
        content: String,
        said: String,
    ) {
        if (!written.compareAndSet(false, true)) return
        // Where adb's shell reads it, and where `run-as` does on phones that keep the shell out of the first.
        for (folder in listOfNotNull(getExternalFilesDir(null), filesDir)) write(folder, content)
        runOnUiThread { viewOf<TextView>(R.id.message).text = said }
    }

    /** Under another name first, so that nobody reads half a file. */
    private fun write(
        folder: File,
        content: String,
    ) {
        try {
            val new = File(folder, "benchmark.json.new")
            new.writeText(content)
            if (!new.renameTo(File(folder, "benchmark.json"))) throw IOException("it cannot be renamed")
        } catch (error: IOException) {
            Log.e("nelf", "benchmark.json in $folder was not written", error)
        }
    }

    private fun extra(name: String): String = intent.getStringExtra(name).orEmpty()

    private companion object {
        const val AUTOMATIC = "auto"
    }
}
