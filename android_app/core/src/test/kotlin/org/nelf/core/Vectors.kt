package org.nelf.core

import java.io.File

/** tests/vectors of the repository: what Python wrote and every viewer must agree with. */
object Vectors {
    val folder = File(checkNotNull(System.getProperty("nelf.vectors")) { "pass -Dnelf.vectors=tests/vectors" })

    fun read(name: String): Map<*, *> = Json.parse(File(folder, name).readBytes()) as Map<*, *>

    fun manifestBytes(name: String): ByteArray = File(folder, "manifests/$name.json").readBytes()

    fun manifest(name: String): Manifest = parseManifest(manifestBytes(name))
}

internal fun Map<*, *>.list(key: String) = getValue(key) as List<*>

internal fun Map<*, *>.text(key: String) = getValue(key) as String

@Suppress("UNCHECKED_CAST")
internal fun Any?.numbers() = this as List<Double>

private fun Map<*, *>.getValue(key: String) = checkNotNull(this[key]) { "$key is missing" }
