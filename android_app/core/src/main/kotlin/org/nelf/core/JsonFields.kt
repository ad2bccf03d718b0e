package org.nelf.core

/** A JSON object whose fields are read with their types and ranges; [where] names it in a refusal. */
internal class JsonFields(
    private val content: Map<*, *>,
    private val where: String,
) {
    fun has(name: String) = content.containsKey(name)

    fun fields(name: String): JsonFields = fieldsOf(content[name], path(name))

    fun string(name: String): String = content[name] as? String ?: refuse(name, "is no text")

    fun text(name: String): String = string(name).ifEmpty { refuse(name, "is empty") }

    fun oneOf(
        name: String,
        vararg allowed: String,
    ): String = string(name).also { if (it !in allowed) refuse(name, "is $it, not one of ${allowed.joinToString()}") }

    fun number(
        name: String,
        least: Double = Double.NEGATIVE_INFINITY,
        most: Double = Double.POSITIVE_INFINITY,
    ): Double = numberOf(content[name], name, least, most)

    fun positive(name: String): Double = number(name).also { if (it <= 0) refuse(name, "is $it, not above 0") }

    fun integer(
        name: String,
        least: Long,
        most: Long = Long.MAX_VALUE,
    ): Long = integerOf(content[name], name, least, most)

    fun numbers(
        name: String,
        size: Int,
        least: Double = Double.NEGATIVE_INFINITY,
        most: Double = Double.POSITIVE_INFINITY,
    ): List<Double> = numbersOf(content[name], name, size, least, most)

    fun poses(name: String): List<List<Double>> =
        list(name).mapIndexed { index, pose ->
            numbersOf(pose, "$name.$index", POSE_SIZE, Double.NEGATIVE_INFINITY, Double.POSITIVE_INFINITY)
        }

    fun shape(name: String): List<Int> =
        list(name).mapIndexed { index, side -> integerOf(side, "$name.$index", 1, LARGEST).toInt() }

    fun objects(name: String): List<JsonFields> =
        list(name).mapIndexed { index, item -> fieldsOf(item, path("$name.$index")) }

    /** All values of an object are texts. */
    fun texts(name: String) {
        val inside = fields(name)
        for (key in inside.content.keys) inside.string(key as String)
    }

    fun refuse(
        name: String,
        what: String,
    ): Nothing =
        throw BundleError(BundleErrorCode.MANIFEST_INVALID, "manifest.json: ${path(name)} $what; $EXPORT_AGAIN")

    private fun list(name: String): List<*> = content[name] as? List<*> ?: refuse(name, "is no list")

    private fun fieldsOf(
        value: Any?,
        where: String,
    ) = JsonFields(value as? Map<*, *> ?: refuseAt(where, "is missing or no object"), where)

    private fun refuseAt(
        where: String,
        what: String,
    ): Nothing = throw BundleError(BundleErrorCode.MANIFEST_INVALID, "manifest.json: $where $what; $EXPORT_AGAIN")

    private fun numbersOf(
        value: Any?,
        name: String,
        size: Int,
        least: Double,
        most: Double,
    ): List<Double> {
        val items = value as? List<*> ?: refuse(name, "is no list")
        if (items.size != size) refuse(name, "has ${items.size} numbers, not $size")
        return items.mapIndexed { index, item -> numberOf(item, "$name.$index", least, most) }
    }

    private fun numberOf(
        value: Any?,
        name: String,
        least: Double,
        most: Double,
    ): Double {
        val number = value as? Double ?: refuse(name, "is no number")
        if (number < least || number > most) refuse(name, "is $number, outside of $least to $most")
        return number
    }

    private fun integerOf(
        value: Any?,
        name: String,
        least: Long,
        most: Long,
    ): Long {
        val number = numberOf(value, name, least.toDouble(), most.toDouble())
        if (number != Math.rint(number)) refuse(name, "is $number, no whole number")
        return number.toLong()
    }

    private fun path(name: String) = if (where.isEmpty()) name else "$where.$name"

    private companion object {
        const val LARGEST = Int.MAX_VALUE.toLong()
    }
}

internal const val EXPORT_AGAIN = "export it again with: nelf export RUN"
