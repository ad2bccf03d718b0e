package org.nelf.core

import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.IOException
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class BundleArchiveTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private val library by lazy { File(temporary.root, "bundles") }
    private val manifest = Vectors.manifestBytes("around").decodeToString()
    private val files =
        (Vectors.read("bundles.json")["files"] as Map<*, *>).entries.associate { (name, text) -> "$name" to "$text" }

    private fun zip(entries: Map<String, String>): ByteArray {
        val bytes = ByteArrayOutputStream()
        ZipOutputStream(bytes).use { zip ->
            for ((name, text) in entries) {
                zip.putNextEntry(ZipEntry(name))
                zip.write(text.toByteArray())
            }
        }
        return bytes.toByteArray()
    }

    private fun bundle(
        prefix: String = "",
        name: String = "vectors",
    ) = (files + (MANIFEST_FILE to manifest.replaceFirst("\"vectors\"", "\"$name\""))).mapKeys { prefix + it.key }

    private fun unpack(entries: Map<String, String>) = BundleArchive.unpack(zip(entries).inputStream(), library)

    private fun namesIn(folder: File) = folder.list().orEmpty().toSet()

    @Test
    fun `a zip becomes a folder named after the bundle`() {
        val cases =
            mapOf(
                bundle() to "vectors",
                bundle("android/") to "vectors",
                bundle("a/") + ("__MACOSX/._a" to "x") to "vectors",
                bundle(name = "../a b/Ü") to "_a_b_Ü",
            )
        for ((entries, name) in cases) {
            val folder = unpack(entries)
            assertEquals(File(library, name), folder)
            val source = FolderSource(folder)
            checkFiles(source, readManifest(source))
        }
    }

    @Test
    fun `one of the same name is replaced, by a good one only`() {
        val folder = unpack(bundle() + ("old.txt" to "old"))
        assertFailsWith<BundleError> { unpack(bundle() + ("model.bin" to "x")) }
        assertTrue(File(folder, "old.txt").exists(), "a broken bundle leaves the one that was there")
        unpack(bundle())
        assertEquals(setOf("golden", MANIFEST_FILE, "model.bin", "parts"), namesIn(folder))
        assertEquals(setOf("vectors"), namesIn(library))
    }

    @Test
    fun `a zip that writes outside is refused`() {
        for (name in listOf("../evil", "a/../../evil", "/evil", "a\\evil", "C:evil")) {
            val error = assertFailsWith<BundleError>(name) { unpack(bundle() + (name to "x")) }
            assertEquals(BundleErrorCode.UNSAFE_PATH, error.code, name)
        }
        assertEquals(emptySet(), namesIn(library))
        assertEquals(setOf("bundles"), namesIn(temporary.root))
    }

    @Test
    fun `a file name that is no UTF-8 is refused`() {
        val latin = zip(bundle() + ("notes" to "x")).toString(Charsets.ISO_8859_1).replace("notes", "n\u00ffhne")
        val zip = latin.toByteArray(Charsets.ISO_8859_1)
        val error = assertFailsWith<IOException> { BundleArchive.unpack(zip.inputStream(), library) }
        assertTrue("file name" in error.message.orEmpty(), error.message)
        assertEquals(emptySet(), namesIn(library))
    }

    @Test
    fun `what is no bundle is refused`() {
        assertFailsWith<IOException> { BundleArchive.unpack("no zip".byteInputStream(), library) }
        val error = assertFailsWith<BundleError> { unpack(mapOf("readme.txt" to "x")) }
        assertEquals(BundleErrorCode.NOT_A_BUNDLE, error.code)
    }
}
