package org.nelf.core

/** Why a bundle is refused, in the order in which readers look; the codes are the same in all languages. */
enum class BundleErrorCode {
    MANIFEST_MISSING,
    MANIFEST_TOO_LARGE,

    /** No UTF-8, no JSON, cut short, or with a number that is not finite. */
    MANIFEST_UNREADABLE,
    NOT_A_BUNDLE,

    /** Another major version. */
    VERSION_UNKNOWN,

    /** A key missing, of another type, or out of its range. */
    MANIFEST_INVALID,

    /** The model's tensors against pose and image. */
    SHAPE_MISMATCH,
    DIRECTION_NOT_UNIT,
    ROTATION_INVALID,

    /** Near not before far, or a range whose least is above its largest. */
    RANGE_EMPTY,
    PATH_OUTSIDE,
    FILE_TWICE,

    /** The model or the golden poses are not among the files. */
    FILE_UNLISTED,
    FILE_MISSING,
    FILE_SIZE,
    FILE_CHANGED,
    ;

    val code: String get() = name.lowercase()
}

/** Why an app does not show a bundle that is all right, in the order in which apps look. */
enum class Unsupported {
    TARGET,
    OUTPUT,
    ;

    val code: String get() = "${name.lowercase()}_unsupported"
}

/** A bundle that must not be shown; the message is one line for the user. */
class BundleError(
    val code: BundleErrorCode,
    message: String,
) : Exception(message)
