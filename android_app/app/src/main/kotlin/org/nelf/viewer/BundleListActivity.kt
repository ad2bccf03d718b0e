package org.nelf.viewer

import android.app.Activity
import android.content.Intent
import android.net.Uri
import android.os.Bundle
import android.view.View
import android.widget.ArrayAdapter
import android.widget.Button
import android.widget.ListView
import android.widget.TextView
import org.nelf.core.BundleError
import java.io.IOException
import java.util.concurrent.Executors

/** The bundles that the app has, and the way to open another one. Zips that other apps hand over arrive here too. */
class BundleListActivity : Activity() {
    private val worker = Executors.newSingleThreadExecutor()
    private val library by lazy { BundleLibrary(this) }

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.bundle_list)
        keepClearOfSystemBars(viewOf(R.id.root))
        val list = viewOf<ListView>(R.id.bundles)
        list.emptyView = viewOf(R.id.empty)
        list.setOnItemClickListener { _, _, position, _ -> show(list.adapter.getItem(position) as String) }
        viewOf<Button>(R.id.open).setOnClickListener { chooseFile() }
        if (state == null) intent.data?.let(::add)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        intent.data?.let(::add)
    }

    override fun onResume() {
        super.onResume()
        refresh()
    }

    override fun onDestroy() {
        worker.shutdown()
        super.onDestroy()
    }

    private fun refresh() {
        val names = library.names()
        viewOf<ListView>(R.id.bundles).adapter = ArrayAdapter(this, android.R.layout.simple_list_item_1, names)
    }

    private fun chooseFile() {
        val choose = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("*/*")
        // Some providers know no better type for a zip than a stream of bytes.
        choose.putExtra(Intent.EXTRA_MIME_TYPES, arrayOf("application/zip", "application/octet-stream"))
        startActivityForResult(choose, CHOOSE_FILE)
    }

    override fun onActivityResult(
        request: Int,
        result: Int,
        data: Intent?,
    ) {
        if (request == CHOOSE_FILE && result == RESULT_OK) data?.data?.let(::add)
    }

    private fun add(zip: Uri) {
        showMessage(getString(R.string.reading))
        worker.execute {
            val said =
                try {
                    val stream = contentResolver.openInputStream(zip) ?: throw IOException("the file cannot be opened")
                    val name = stream.use(library::add)
                    runOnUiThread { show(name) }
                    ""
                } catch (error: BundleError) {
                    error.message.orEmpty()
                } catch (error: IOException) {
                    error.message.orEmpty()
                } catch (error: SecurityException) {
                    getString(R.string.not_allowed)
                }
            runOnUiThread {
                showMessage(said)
                refresh()
            }
        }
    }

    private fun show(name: String) = startActivity(ViewerActivity.intent(this, name))

    private fun showMessage(text: String) {
        viewOf<TextView>(R.id.message).apply {
            this.text = text
            visibility = if (text.isEmpty()) View.GONE else View.VISIBLE
        }
    }

    private companion object {
        const val CHOOSE_FILE = 1
    }
}
