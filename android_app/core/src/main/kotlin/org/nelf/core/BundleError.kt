package org.nelf.core

/** Why a bundle is not shown; the codes are the same in all languages (docs/viewers.md). */
enum class BundleErrorCode {
    NOT_A_BUNDLE,
    UNSUPPORTED_VERSION,
    INVALID_MANIFEST,
    UNSAFE_PATH,
    DAMAGED_FILE,
    UNSUPPORTED_TARGET,
    ;

    val text: String get() = name.lowercase()
}

/** A bundle that must not be shown; the message is one line for the user. */
class BundleError(
    val code: BundleErrorCode,
    message: String,
) : Exception(message)

internal const val EXPORT_AGAIN = "export it again with: nelf export RUN"
