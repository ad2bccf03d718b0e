package org.nelf.viewer

import android.content.Context
import android.content.res.AssetManager
import org.nelf.core.BundleArchive
import org.nelf.core.BundleError
import org.nelf.core.BundleSource
import org.nelf.core.FolderSource
import org.nelf.core.MANIFEST_FILE
import org.nelf.core.Manifest
import org.nelf.core.checkFiles
import org.nelf.core.readManifest
import java.io.File
import java.io.FileNotFoundException
import java.io.IOException
import java.io.InputStream

/** A bundle shipped inside the app, in the assets' folder [root]. */
class AssetSource(
    private val assets: AssetManager,
    private val root: String,
) : BundleSource {
    override fun open(path: String): InputStream? =
        try {
            assets.open("$root/$path")
        } catch (_: FileNotFoundException) {
            null
        }
}

/** A bundle that was read and checked. */
class ShownBundle(
    val manifest: Manifest,
    val source: BundleSource,
    val location: Location,
) {
    sealed interface Location

    class InFolder(
        val folder: File,
    ) : Location

    class InAssets(
        val root: String,
    ) : Location

    fun file(
        location: InFolder,
        path: String,
    ) = File(location.folder, path)

    fun asset(
        location: InAssets,
        path: String,
    ) = "${location.root}/$path"
}

/** The bundles that the app has: shipped with it, opened by the user, or pushed by `nelf bench`. */
class BundleLibrary(
    private val context: Context,
) {
    private val opened = File(context.filesDir, FOLDER)
    private val pushed = context.getExternalFilesDir(null)?.let { File(it, FOLDER) }

    /** Names of all bundles; one name may be in several places, and [open] prefers the pushed, then the opened. */
    fun names(): List<String> =
        (foldersIn(pushed) + foldersIn(opened) + context.assets.list(FOLDER).orEmpty()).distinct().sorted()

    /**
     * Reads and checks every byte of the bundle [name]. Throws [BundleError] where it must not be shown, [IOException]
     * where there is none or it cannot be read. Not on the main thread.
     */
    fun open(name: String): ShownBundle {
        for (library in listOfNotNull(pushed, opened)) {
            val folder = File(library, name)
            if (name in foldersIn(library)) return checked(FolderSource(folder), ShownBundle.InFolder(folder))
        }
        if (name !in context.assets.list(FOLDER).orEmpty()) {
            throw IOException("there is no bundle $name; the app has: ${names().joinToString().ifEmpty { "none" }}")
        }
        val root = "$FOLDER/$name"
        return checked(AssetSource(context.assets, root), ShownBundle.InAssets(root))
    }

    /** Takes over the zip of a bundle. Returns the name to open it by. Not on the main thread. */
    fun add(zip: InputStream): String = BundleArchive.unpack(zip, opened).name

    private fun checked(
        source: BundleSource,
        location: ShownBundle.Location,
    ): ShownBundle {
        val manifest = readManifest(source)
        manifest.unsupported?.let { throw it }
        checkFiles(source, manifest)
        return ShownBundle(manifest, source, location)
    }

    private fun foldersIn(library: File?): List<String> =
        library?.listFiles { file -> File(file, MANIFEST_FILE).isFile }.orEmpty().map { it.name }

    private companion object {
        const val FOLDER = "bundles"
    }
}
