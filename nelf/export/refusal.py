"""Why a bundle is refused: one code each, the same in all readers (docs/viewers.md; tests/vectors/bundles.json)."""

import enum


class Refusal(enum.StrEnum):
    """In the order in which readers look: the first that applies is given."""

    MANIFEST_MISSING = "manifest_missing"
    MANIFEST_TOO_LARGE = "manifest_too_large"
    MANIFEST_UNREADABLE = "manifest_unreadable"
    """No UTF-8, no JSON, cut short, or with a number that is not finite."""
    NOT_A_BUNDLE = "not_a_bundle"
    VERSION_UNKNOWN = "version_unknown"
    """Another major version."""
    MANIFEST_INVALID = "manifest_invalid"
    """Against the schema: a key missing, of another type, or out of its range."""
    SHAPE_MISMATCH = "shape_mismatch"
    """The model's tensors against pose and image."""
    DIRECTION_NOT_UNIT = "direction_not_unit"
    ROTATION_INVALID = "rotation_invalid"
    RANGE_EMPTY = "range_empty"
    """Near not before far, or a range whose least is above its largest."""
    PATH_OUTSIDE = "path_outside"
    FILE_TWICE = "file_twice"
    FILE_UNLISTED = "file_unlisted"
    """The model or the golden poses are not among the files."""
    FILE_MISSING = "file_missing"
    FILE_SIZE = "file_size"
    FILE_CHANGED = "file_changed"


class Unsupported(enum.StrEnum):
    """Why an app does not show a bundle that is all right, in the order in which apps look."""

    TARGET = "target_unsupported"
    OUTPUT = "output_unsupported"
