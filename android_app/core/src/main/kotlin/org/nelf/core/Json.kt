package org.nelf.core

/** A JSON text that cannot be read; the message says where. */
class JsonException(
    message: String,
) : Exception(message)

/**
 * Reads and writes JSON (RFC 8259) as plain values: null, Boolean, Double, String, List and Map.
 *
 * The platform's own reader takes comments, single quotes and NaN; a manifest with these is refused everywhere else.
 */
object Json {
    /** Objects and lists inside each other, at most; docs/viewers.md. */
    private const val DEEPEST = 64

    /** The value that [text] holds. Throws [JsonException]. */
    fun parse(text: String): Any? = Reader(text).whole()

    /** [value] as JSON: null, Boolean, Number, String, List and Map with String keys. Infinities and NaN are refused. */
    fun write(value: Any?): String = StringBuilder().also { append(it, value, "") }.append('\n').toString()

    private fun append(
        out: StringBuilder,
        value: Any?,
        indent: String,
    ) {
        when (value) {
            null, is Boolean -> {
                out.append(value)
            }

            is Int, is Long -> {
                out.append(value)
            }

            is Number -> {
                out.append(finite(value.toDouble()))
            }

            is String -> {
                appendString(out, value)
            }

            is List<*> -> {
                appendAll(out, value, indent, '[', ']') { append(out, it, "$indent  ") }
            }

            is Map<*, *> -> {
                appendAll(out, value.entries, indent, '{', '}') { (key, item) ->
                    appendString(out, key as String)
                    out.append(": ")
                    append(out, item, "$indent  ")
                }
            }

            else -> {
                throw JsonException("${value::class.java.name} is no value of JSON")
            }
        }
    }

    private fun <T> appendAll(
        out: StringBuilder,
        items: Collection<T>,
        indent: String,
        open: Char,
        close: Char,
        one: (T) -> Unit,
    ) {
        out.append(open)
        items.forEachIndexed { index, item ->
            out.append(if (index == 0) "\n" else ",\n").append(indent).append("  ")
            one(item)
        }
        if (items.isNotEmpty()) out.append('\n').append(indent)
        out.append(close)
    }

    private fun appendString(
        out: StringBuilder,
        text: String,
    ) {
        out.append('"')
        for (char in text) {
            when {
                char == '"' || char == '\\' -> out.append('\\').append(char)
                char < ' ' -> out.append("\\u").append(char.code.toString(16).padStart(4, '0'))
                else -> out.append(char)
            }
        }
        out.append('"')
    }

    private fun finite(number: Double): Double =
        if (number.isInfinite() || number.isNaN()) throw JsonException("$number is no number of JSON") else number

    private class Reader(
        private val text: String,
    ) {
        private var at = 0

        fun whole(): Any? {
            val value = value(0)
            skipSpace()
            if (at < text.length) fail("text after the end")
            return value
        }

        private fun value(depth: Int): Any? {
            skipSpace()
            return when (peek()) {
                '{' -> members(inside(depth))
                '[' -> items(inside(depth))
                '"' -> string()
                't' -> word("true", true)
                'f' -> word("false", false)
                'n' -> word("null", null)
                else -> number()
            }
        }

        /** How many are open in an object or list at [depth]. */
        private fun inside(depth: Int): Int = if (depth < DEEPEST) depth + 1 else fail("nested deeper than $DEEPEST")

        private fun members(depth: Int): Map<String, Any?> {
            val found = LinkedHashMap<String, Any?>()
            list('}') {
                skipSpace()
                if (peek() != '"') fail("a name in quotes is wanted")
                val name = string()
                skipSpace()
                expect(':')
                found[name] = value(depth)
            }
            return found
        }

        private fun items(depth: Int): List<Any?> {
            val found = ArrayList<Any?>()
            list(']') { found.add(value(depth)) }
            return found
        }

        private fun list(
            close: Char,
            one: () -> Unit,
        ) {
            at++
            skipSpace()
            if (peek() == close) {
                at++
                return
            }
            while (true) {
                one()
                skipSpace()
                if (peek() == close) break
                expect(',')
            }
            at++
        }

        private fun string(): String {
            val found = StringBuilder()
            at++
            while (true) {
                val char = peek()
                at++
                when {
                    char == '"' -> return found.toString()
                    char == '\\' -> found.append(escaped())
                    char < ' ' -> fail("a control character in a string")
                    else -> found.append(char)
                }
            }
        }

        private fun escaped(): Char {
            val char = peek()
            at++
            return when (char) {
                '"', '\\', '/' -> char
                'b' -> '\b'
                'f' -> '\u000c'
                'n' -> '\n'
                'r' -> '\r'
                't' -> '\t'
                'u' -> unicode()
                else -> fail("\\$char is no escape")
            }
        }

        private fun unicode(): Char {
            val digits = text.substring(at, minOf(at + 4, text.length))
            at += 4
            if (!UNICODE.matches(digits)) fail("\\u$digits is no character")
            return digits.toInt(16).toChar()
        }

        private fun number(): Double {
            val found = NUMBER.find(text, at)?.takeIf { it.range.first == at } ?: fail("no value")
            at = found.range.last + 1
            val number = found.value.toDouble()
            if (number.isInfinite()) fail("${found.value} is too large")
            return number
        }

        private fun <T> word(
            word: String,
            value: T,
        ): T {
            if (!text.startsWith(word, at)) fail("no value")
            at += word.length
            return value
        }

        private fun expect(char: Char) {
            if (peek() != char) fail("'$char' is wanted")
            at++
        }

        private fun peek(): Char = if (at < text.length) text[at] else fail("cut short")

        private fun skipSpace() {
            while (at < text.length && text[at] in " \t\r\n") at++
        }

        private fun fail(what: String): Nothing = throw JsonException("$what, at character $at")
    }

    private val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")
    private val UNICODE = Regex("[0-9a-fA-F]{4}")
}
