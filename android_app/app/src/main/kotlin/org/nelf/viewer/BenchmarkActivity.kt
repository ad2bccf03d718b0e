package org.nelf.viewer

import android.os.Bundle
import android.util.Log
import android.view.ViewGroup
import android.widget.TextView
import org.nelf.core.Accelerator
import org.nelf.core.Benchmark
import org.nelf.core.GoldenView
import org.nelf.core.NelfModel
import org.nelf.core.Plan
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
    private val ended = AtomicBoolean()
    private val plan by lazy {
        val minutes = intent.getFloatExtra("minutes", 0f).toDouble()
        Plan(
            warmUpSeconds = intent.getFloatExtra("warm_up_seconds", 3f).toDouble(),
            seconds = intent.getFloatExtra("seconds", 30f).toDouble(),
            minutes = minutes.takeIf { it > 0 },
        )
    }
    private lateinit var benchmark: Benchmark
    private lateinit var shown: ShownBundle
    private lateinit var views: List<GoldenView>

    @Volatile private var model: NelfModel? = null
    private var next = 0
    private var told = 0

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.benchmark)
        keepClearOfSystemBars(viewOf(R.id.controls))
        benchmark = Benchmark(plan, device::condition)
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
        benchmark.begin(System.nanoTime())
        requestNext()
    }

    override fun onFrame(nanoseconds: Long) {
        view?.requestRender()
        val goesOn = synchronized(benchmark) { benchmark.add(nanoseconds, System.nanoTime()) }
        if (goesOn) {
            if (benchmark.samples > told && !ended.get()) {
                told = benchmark.samples
                report()?.let(::write) // a run that is cut off later has left this much
            }
            requestNext()
        } else {
            finishWith(getString(R.string.benchmark_done), null)
        }
    }

    /** What is known so far; null before the model is loaded. */
    private fun report(stopped: String? = null): String? =
        model?.let {
            synchronized(benchmark) {
                benchmark.report(
                    extra("token"),
                    shown.manifest,
                    device.info(),
                    it,
                    device.memoryMegabytes(),
                    stopped,
                    visible = stopped == null,
                )
            }
        }

    private fun requestNext() {
        loop?.request(views[next].c2w)
        next = (next + 1) % views.size
    }

    override fun onDrawn() = Unit

    override fun onRendererFailure(reason: String) = onFailure(reason)

    override fun onFailure(reason: String) = finishWith(reason, reason)

    override fun onStop() {
        val reason = "the screen was left"
        finishWith(reason, reason)
        super.onStop()
    }

    /** Writes the last report, once: what comes first counts. [stopped]: why it is cut short. */
    private fun finishWith(
        said: String,
        stopped: String?,
    ) {
        if (!ended.compareAndSet(false, true)) return
        write(report(stopped) ?: Benchmark.failed(extra("token"), plan, device.info(), stopped.orEmpty()))
        runOnUiThread { viewOf<TextView>(R.id.message).text = said }
    }

    /** Where adb's shell reads it, and where `run-as` does on phones that keep the shell out of the first. */
    private fun write(content: String) {
        for (folder in listOfNotNull(getExternalFilesDir(null), filesDir)) write(folder, content)
    }

    /** Under another name first, so that nobody reads half a file. */
    @Synchronized
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
