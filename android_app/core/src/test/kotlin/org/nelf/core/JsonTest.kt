package org.nelf.core

import org.junit.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class JsonTest {
    @Test
    fun `values are read`() {
        val cases =
            mapOf(
                " [] " to emptyList<Any?>(),
                "{ }" to emptyMap<String, Any?>(),
                "[1, -0.5, 2e3, 1E-2, 0]" to listOf(1.0, -0.5, 2000.0, 0.01, 0.0),
                "{\"a\": {\"b\": [true, false, null]}}" to mapOf("a" to mapOf("b" to listOf(true, false, null))),
                "\"\\\" \\\\ \\/ \\b\\f\\n\\r\\t \\u00e9 é 🌍\"" to "\" \\ / \b\u000c\n\r\t é é 🌍",
                "{\"a\": 1, \"a\": 2}" to mapOf("a" to 2.0),
            )
        for ((text, value) in cases) assertEquals(value, Json.parse(text.toByteArray()), text)
    }

    @Test
    fun `what is no JSON is refused`() {
        val cases =
            listOf("", " ", "[", "[1,]", "[1 2]", "{\"a\" 1}", "{a: 1}", "{\"a\": 1,}", "'a'", "nul", "truely", "\"a") +
                listOf(
                    "01",
                    "+1",
                    "1.",
                    ".5",
                    "1e",
                    "-",
                    "NaN",
                    "Infinity",
                    "1e999",
                    "[1]]",
                    "\"\\x\"",
                    "\"\\u12g4\"",
                ) +
                listOf("\"a\nb\"", "// comment\n1", "[".repeat(100_000), "9".repeat(100_000))
        for (text in cases) {
            val error = assertFailsWith<JsonException>(text.take(20)) { Json.parse(text.toByteArray()) }
            assertTrue('\n' !in error.message.orEmpty(), error.message)
        }
        for (charset in listOf(Charsets.UTF_16, Charsets.UTF_16LE, Charsets.UTF_32)) {
            assertFailsWith<JsonException>(charset.name()) { Json.parse("{}".toByteArray(charset)) }
        }
    }

    @Test
    fun `what is written is read again`() {
        val value =
            mapOf(
                "text" to "\" \\ \n \u0001 é 🌍",
                "list" to listOf(1.5, true, null, emptyList<Any>(), mapOf<String, Any>()),
                "whole" to 3,
                "long" to (1L shl 40),
            )
        val read = Json.parse(Json.write(value).toByteArray()) as Map<*, *>
        assertEquals(value + mapOf("whole" to 3.0, "long" to (1L shl 40).toDouble()), read)
        assertFailsWith<IllegalArgumentException> { Json.write(Double.NaN) }
    }
}
