package org.nelf.core

import java.io.File
import java.io.IOException
import java.io.InputStream
import java.util.zip.ZipEntry
import java.util.zip.ZipInputStream

/** A zip of a bundle: its files at the top, or all in one folder. */
object BundleArchive {
    private const val MOST_FILES = 4096
    private const val MOST_BYTES = 1L shl 30

    /**
     * Unpacks [zip] into a new folder below [library], which gets the name of the bundle; one of that name is replaced, and
     * only by a whole, checked bundle. Throws [BundleError], or [IOException] for a zip that cannot be read.
     */
    fun unpack(
        zip: InputStream,
        library: File,
    ): File {
        library.mkdirs()
        val scratch = File(library, ".new")
        scratch.deleteRecursively()
        try {
            unpackAll(zip, scratch)
            val bundle = rootOf(scratch)
            val source = FolderSource(bundle)
            val manifest = readManifest(source)
            checkFiles(source, manifest)
            val target = File(library, fileNameOf(manifest.name))
            target.deleteRecursively()
            if (!bundle.renameTo(target)) throw IOException("$target cannot be written")
            return target
        } finally {
            scratch.deleteRecursively()
        }
    }

    private fun unpackAll(
        zip: InputStream,
        into: File,
    ) {
        var files = 0
        var left = MOST_BYTES
        ZipInputStream(zip).use { entries ->
            while (true) {
                val entry = nextOf(entries) ?: break
                if (entry.isDirectory) continue
                if (++files > MOST_FILES) throw IOException("the zip has more than $MOST_FILES files")
                left -= unpackOne(entries, entry, into, left)
            }
        }
        if (files == 0) throw IOException("this is no zip file, or an empty one; give a zip of what nelf export wrote")
    }

    /** A name that is no UTF-8 is an [IllegalArgumentException] to the library. */
    private fun nextOf(entries: ZipInputStream): ZipEntry? =
        try {
            entries.nextEntry
        } catch (error: IllegalArgumentException) {
            throw IOException("the zip has a file name that cannot be read; zip the bundle again", error)
        }

    private fun unpackOne(
        entries: ZipInputStream,
        entry: ZipEntry,
        into: File,
        most: Long,
    ): Long {
        if (!isPlain(entry.name)) {
            val what = "the zip names the file '${entry.name}', which could be outside the bundle; do not use it"
            throw BundleError(BundleErrorCode.UNSAFE_PATH, what)
        }
        val file = File(into, entry.name)
        file.parentFile?.mkdirs()
        var size = 0L
        val part = ByteArray(1 shl 16)
        file.outputStream().use { output ->
            while (true) {
                val count = entries.read(part)
                if (count < 0) break
                size += count
                if (size > most) throw IOException("the zip unpacks to more than ${MOST_BYTES shr 20} MiB")
                output.write(part, 0, count)
            }
        }
        return size
    }

    private fun rootOf(folder: File): File {
        val inside = folder.listFiles().orEmpty().filter { it.name != "__MACOSX" }
        return if (File(folder, MANIFEST_FILE).isFile) folder else inside.singleOrNull { it.isDirectory } ?: folder
    }

    /** A bundle's name as that of a folder. */
    fun fileNameOf(name: String): String =
        name
            .map {
                if (it.isLetterOrDigit() ||
                    it in "-_."
                ) {
                    it
                } else {
                    '_'
                }
            }.joinToString("")
            .trimStart('.')
            .ifEmpty { "bundle" }
}
