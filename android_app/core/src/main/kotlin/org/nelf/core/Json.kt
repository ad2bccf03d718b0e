package org.nelf.core

import com.fasterxml.jackson.core.JsonFactory
import com.fasterxml.jackson.core.JsonGenerator
import com.fasterxml.jackson.core.JsonParseException
import com.fasterxml.jackson.core.JsonParser
import com.fasterxml.jackson.core.JsonProcessingException
import com.fasterxml.jackson.core.JsonToken
import java.io.IOException
import java.io.StringWriter
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException

/** A JSON text that cannot be read; the message is one line. */
class JsonException(
    message: String,
    cause: Exception,
) : IOException(message, cause)

/**
 * Reads and writes JSON (RFC 8259) as plain values: null, Boolean, Double, String, List and Map.
 *
 * Jackson is strict. Android's own reader takes comments, single quotes and NaN, which other viewers refuse.
 */
internal object Json {
    /** Objects and lists inside each other, at most: each is a call inside another. */
    private const val DEEPEST = 512
    private val factory = JsonFactory().disable(JsonParser.Feature.INCLUDE_SOURCE_IN_LOCATION) // one line of message

    /** The value that [bytes] hold, which must be UTF-8: Jackson would guess other encodings. Throws [JsonException]. */
    fun parse(bytes: ByteArray): Any? =
        try {
            val text = Charsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes))
            factory.createParser(text.toString()).use { parser ->
                parser.nextToken()
                val value = read(parser, 0)
                if (parser.nextToken() != null) throw JsonParseException(parser, "text after the end")
                value
            }
        } catch (error: JsonProcessingException) {
            throw JsonException("${error.originalMessage}, line ${error.location?.lineNr}", error)
        } catch (error: CharacterCodingException) {
            throw JsonException("not UTF-8", error)
        }

    private fun read(
        parser: JsonParser,
        depth: Int,
    ): Any? {
        if (depth > DEEPEST) throw JsonParseException(parser, "nested deeper than $DEEPEST")
        return when (parser.currentToken()) {
            JsonToken.START_OBJECT -> members(parser, depth)
            JsonToken.START_ARRAY -> items(parser, depth)
            JsonToken.VALUE_STRING -> parser.text
            JsonToken.VALUE_NUMBER_INT, JsonToken.VALUE_NUMBER_FLOAT -> number(parser)
            JsonToken.VALUE_TRUE -> true
            JsonToken.VALUE_FALSE -> false
            JsonToken.VALUE_NULL -> null
            else -> throw JsonParseException(parser, "no value")
        }
    }

    private fun members(
        parser: JsonParser,
        depth: Int,
    ): Map<String, Any?> {
        val found = LinkedHashMap<String, Any?>()
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            val name = parser.text
            parser.nextToken()
            found[name] = read(parser, depth + 1)
        }
        return found
    }

    private fun items(
        parser: JsonParser,
        depth: Int,
    ): List<Any?> {
        val found = ArrayList<Any?>()
        while (parser.nextToken() != JsonToken.END_ARRAY) found += read(parser, depth + 1)
        return found
    }

    private fun number(parser: JsonParser): Double {
        val number = parser.text.toDouble() // Jackson's way to a long integer takes minutes
        if (number.isInfinite()) throw JsonParseException(parser, "a number too large")
        return number
    }

    /** [value] as JSON: null, Boolean, Number, String, List and Map with String keys. */
    fun write(value: Any?): String {
        val text = StringWriter()
        factory.createGenerator(text).useDefaultPrettyPrinter().use { append(it, value) }
        return "$text\n"
    }

    private fun append(
        out: JsonGenerator,
        value: Any?,
    ) {
        when (value) {
            is List<*> -> {
                out.writeStartArray()
                for (item in value) append(out, item)
                out.writeEndArray()
            }

            is Map<*, *> -> {
                out.writeStartObject()
                for ((name, item) in value) {
                    out.writeFieldName(name as String)
                    append(out, item)
                }
                out.writeEndObject()
            }

            else -> {
                require(value !is Double || value.isFinite()) { "JSON has no $value" }
                out.writeObject(value)
            }
        }
    }
}
