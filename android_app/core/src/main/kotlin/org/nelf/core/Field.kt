package org.nelf.core

private val ANY = Double.NEGATIVE_INFINITY..Double.POSITIVE_INFINITY

/** A value of a manifest, read with its type and range; [path] says where it stands. */
internal class Field(
    private val value: Any?,
    private val path: String = "",
) {
    /** The member [name]; reading it fails where it is missing. */
    operator fun get(name: String): Field = Field(members()[name], if (path.isEmpty()) name else "$path.$name")

    fun optional(name: String): Field? = get(name).takeIf { it.value != null }

    fun text(): String = value as? String ?: refuse("is missing or not a string")

    fun name(): String = text().ifEmpty { refuse("is empty") }

    fun oneOf(vararg allowed: String): String =
        text().also { if (it !in allowed) refuse("is $it, not one of ${allowed.joinToString()}") }

    fun number(range: ClosedRange<Double> = ANY): Double {
        val number = value as? Double ?: refuse("is missing or not a number")
        if (number !in range) refuse("is $number, not in $range")
        return number
    }

    fun positive(): Double = number().also { if (it <= 0) refuse("is $it, not above 0") }

    fun integer(range: LongRange): Long {
        val number = number()
        if (number != Math.rint(number) || number.toLong() !in range) refuse("is $number, not an integer in $range")
        return number.toLong()
    }

    fun items(): List<Field> =
        (value as? List<*> ?: refuse("is missing or not a list")).mapIndexed {
            index,
            item,
            ->
            Field(item, "$path.$index")
        }

    fun numbers(
        count: Int,
        range: ClosedRange<Double> = ANY,
    ): List<Double> {
        val items = items()
        if (items.size != count) refuse("has ${items.size} numbers, not $count")
        return items.map { it.number(range) }
    }

    /** The member [name] is an object of strings. */
    fun checkTexts(name: String) {
        val texts = get(name)
        for (key in texts.members().keys) texts["$key"].text()
    }

    fun check(
        holds: Boolean,
        what: () -> String,
    ) {
        if (!holds) refuse(what())
    }

    private fun members() = value as? Map<*, *> ?: refuse("is missing or not an object")

    private fun refuse(what: String): Nothing =
        throw BundleError(BundleErrorCode.INVALID_MANIFEST, "$MANIFEST_FILE: $path $what; $EXPORT_AGAIN")
}
