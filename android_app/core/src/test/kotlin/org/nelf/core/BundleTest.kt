package org.nelf.core

import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import java.io.File
import java.nio.file.Files
import java.util.Base64
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class BundleTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private val vectors = Vectors.read("bundles.json")
    private val good = vectors.list("good").map { it as Map<*, *> }
    private val bad = vectors.list("bad").map { it as Map<*, *> }
    private val viewers = vectors.list("viewers").map { it as Map<*, *> }

    @Test
    fun `good bundles are read`() {
        assertTrue(good.size >= 10)
        for (case in good) {
            val manifest =
                try {
                    open(case)
                } catch (error: BundleError) {
                    throw AssertionError("${case["name"]}: ${error.message}", error)
                }
            assertEquals(48, manifest.image.width, case.text("name"))
        }
    }

    @Test
    fun `broken bundles are refused with the code of the reference`() {
        assertTrue(bad.size >= 30)
        for (case in bad) {
            val error = assertFailsWith<BundleError>(case.text("name")) { open(case) }
            assertEquals(case["code"], error.code.text, "${case["name"]}: ${error.message}")
            assertTrue('\n' !in error.message.orEmpty(), case.text("name"))
        }
    }

    @Test
    fun `every code is met`() {
        val met = bad.map { it["code"] } + viewers.mapNotNull(::codeHere)
        assertEquals(BundleErrorCode.entries.map { it.text }.toSet(), met.toSet())
    }

    @Test
    fun `what this app shows`() {
        for (case in viewers) assertEquals(codeHere(case), open(case).unsupported?.code?.text, case.text("name"))
    }

    private fun codeHere(case: Map<*, *>) = (case["codes"] as Map<*, *>)["android"] as String?

    @Test
    fun `a link out of the bundle is refused`() {
        val folder = write(good.first())
        val outside = temporary.newFile()
        val model = File(folder, "model.bin")
        outside.writeBytes(model.readBytes())
        model.delete()
        Files.createSymbolicLink(model.toPath(), outside.toPath())
        val source = FolderSource(folder)
        val error = assertFailsWith<BundleError> { checkFiles(source, readManifest(source)) }
        assertEquals(BundleErrorCode.UNSAFE_PATH, error.code)
    }

    private fun open(case: Map<*, *>): Manifest {
        val source = FolderSource(write(case))
        return readManifest(source).also { checkFiles(source, it) }
    }

    private fun write(case: Map<*, *>): File {
        val folder = temporary.newFolder()
        val files = LinkedHashMap<String, ByteArray?>()
        files[MANIFEST_FILE] = manifestOf(case)
        for ((name, content) in vectors["files"] as Map<*, *>) files[name as String] = (content as String).toByteArray()
        for ((name, content) in case["files"] as Map<*, *>? ?: emptyMap<String, String>()) {
            files[name as String] = (content as String?)?.toByteArray()
        }
        for ((name, content) in files) {
            if (content != null) File(folder, name).also { it.parentFile.mkdirs() }.writeBytes(content)
        }
        return folder
    }

    private fun manifestOf(case: Map<*, *>): ByteArray {
        (case["base64"] as String?)?.let { return Base64.getDecoder().decode(it) }
        var text = case["text"] as String? ?: Vectors.manifestBytes(case.text("manifest")).decodeToString()
        for (pair in case["replace"] as List<*>? ?: emptyList<Any>()) {
            val (old, new) = (pair as List<*>).map { it as String }
            assertTrue(old in text, "${case["name"]}: '$old' is not in the manifest")
            text = text.replaceFirst(old, new)
        }
        (case["keep"] as Double?)?.let { text = text.take(it.toInt()) }
        val bytes = text.toByteArray()
        val size = (case["pad"] as Double?)?.toInt() ?: bytes.size
        return bytes + ByteArray(size - bytes.size) { ' '.code.toByte() }
    }
}
