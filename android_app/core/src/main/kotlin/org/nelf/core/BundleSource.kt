package org.nelf.core

import java.io.File
import java.io.InputStream
import java.security.MessageDigest

/** The files of a bundle, wherever they lie. */
interface BundleSource {
    /** The content of the file [path] (relative, forward slashes); null where there is no such file. */
    fun open(path: String): InputStream?

    /** Whether [path], followed through links, stays inside the bundle. */
    fun holds(path: String): Boolean = true
}

/** What the file [path] holds, or one byte more than [most] where it holds more than that; null where there is none. */
internal fun BundleSource.read(
    path: String,
    most: Int,
): ByteArray? {
    val bytes = ByteArray(most + 1)
    var filled = 0
    open(path)?.use { stream ->
        while (filled < bytes.size) {
            val count = stream.read(bytes, filled, bytes.size - filled)
            if (count < 0) break
            filled += count
        }
    } ?: return null
    return bytes.copyOf(filled)
}

/** A bundle in [folder]. */
class FolderSource(
    val folder: File,
) : BundleSource {
    override fun open(path: String): InputStream? = File(folder, path).takeIf { it.isFile }?.inputStream()

    override fun holds(path: String): Boolean =
        File(folder, path).canonicalPath.startsWith(folder.canonicalPath + File.separator)
}

/** Characters of no name: they separate folders, name drives or streams, or are read anew in a URL. */
private const val FORBIDDEN = "\\:%\u007f"

/** Whether [path] means one file, inside the bundle, on every system and in a URL. */
internal fun isPlain(path: String): Boolean =
    path.split('/').none { it in setOf("", ".", "..") } && path.none { it in FORBIDDEN || it < ' ' }

/** Throws [BundleError], naming the first offender, unless every listed file is there, unchanged, inside. */
fun checkFiles(
    source: BundleSource,
    manifest: Manifest,
) {
    val needed = manifest.needed
    val listed = manifest.files.map { it.path }
    for (path in listed + needed) {
        if (!isPlain(path) || !source.holds(path)) {
            refuse(BundleErrorCode.UNSAFE_PATH, "the file '$path' is or could be outside the bundle; do not use it")
        }
    }
    listed.groupBy { it }.values.firstOrNull { it.size > 1 }?.let {
        refuse(BundleErrorCode.INVALID_MANIFEST, "the file '${it[0]}' is listed twice; $EXPORT_AGAIN")
    }
    for (path in needed) {
        if (listed.none { it == path || it.startsWith("$path/") }) {
            refuse(BundleErrorCode.INVALID_MANIFEST, "the file '$path' is needed and not listed; $EXPORT_AGAIN")
        }
    }
    for (file in manifest.files) checkFile(source, file)
}

private fun checkFile(
    source: BundleSource,
    file: FileInfo,
) {
    val stream = source.open(file.path)
    stream ?: refuse(BundleErrorCode.DAMAGED_FILE, "${file.path} is missing; copy or export the bundle again")
    val digest = MessageDigest.getInstance("SHA-256")
    val size = stream.use { input -> digestAll(input, digest) }
    if (size != file.bytes) {
        refuse(
            BundleErrorCode.DAMAGED_FILE,
            "${file.path} has $size bytes, not ${file.bytes}; copy or export the bundle again",
        )
    }
    if (digest.digest().joinToString("") { "%02x".format(it) } != file.sha256) {
        refuse(BundleErrorCode.DAMAGED_FILE, "${file.path} was changed; copy or export the bundle again")
    }
}

private fun digestAll(
    input: InputStream,
    digest: MessageDigest,
): Long {
    val part = ByteArray(1 shl 16)
    var size = 0L
    while (true) {
        val count = input.read(part)
        if (count < 0) return size
        digest.update(part, 0, count)
        size += count
    }
}

private fun refuse(
    refusal: BundleErrorCode,
    what: String,
): Nothing = throw BundleError(refusal, "$MANIFEST_FILE: $what")
