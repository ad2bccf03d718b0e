"""What the parts of a manifest must have to do with each other, and why a bundle is refused."""

import enum
import math
from collections.abc import Iterator, Mapping
from typing import Any

from nelf.core.cameras import RIGID_TOLERANCE


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


UNIT_TOLERANCE = 1e-3  # of a length; directions are stored in single precision


def contradiction(manifest: Mapping[str, Any]) -> tuple[Refusal, str] | None:
    """The first thing that cannot be in a manifest that fits the schema: its code, and what it is. None: all fits."""
    return next(_contradictions(manifest), None)


def _contradictions(manifest: Mapping[str, Any]) -> Iterator[tuple[Refusal, str]]:
    image, camera, region, model = (manifest[key] for key in ("image", "camera", "region", "model"))
    shell = region["type"] == "shell"
    shapes = {"input": [1, 3, 4], "output": [1, image["height"], image["width"], image["channels"]]}
    for end, expected in shapes.items():
        if model[end]["shape"] != expected:
            yield Refusal.SHAPE_MISMATCH, f"model.{end}.shape is {model[end]['shape']}, not {expected}"
    if image["alpha"] != ("premultiplied" if image["channels"] == 4 else "none"):
        yield Refusal.SHAPE_MISMATCH, f"image.alpha is {image['alpha']} with {image['channels']} channels"

    directions = {"camera.up": camera["up"]}
    if shell:
        directions |= {f"region.{key}": region[key] for key in ("up", "azimuth_zero")}
    for where, direction in directions.items():
        if abs(math.hypot(*direction) - 1) > UNIT_TOLERANCE:
            yield Refusal.DIRECTION_NOT_UNIT, f"{where} {direction} has not length 1"
    if shell and abs(_dot(region["up"], region["azimuth_zero"])) > UNIT_TOLERANCE:
        yield Refusal.DIRECTION_NOT_UNIT, "region.azimuth_zero is not at right angles to region.up"

    if not shell:
        poses = {"reference": region["reference"]}
        poses |= {f"cameras.{i}": pose for i, pose in enumerate(region.get("cameras", []))}
        for where, pose in poses.items():
            if not _is_rotation(pose):
                yield Refusal.ROTATION_INVALID, f"region.{where} is no rigid pose"

    if camera["near"] >= camera["far"]:
        yield Refusal.RANGE_EMPTY, f"camera.near {camera['near']} is not before camera.far {camera['far']}"
    ends = (
        [region[key] for key in ("radius", "elevation")] if shell else zip(region["low"], region["high"], strict=True)
    )
    for low, high in ends:
        if low > high:
            yield Refusal.RANGE_EMPTY, f"the region has a range from {low} to {high}"


def _dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _is_rotation(pose: list[float]) -> bool:
    """`nelf.core.cameras.is_rigid` of 12 numbers, in double precision."""
    rows = [pose[4 * i : 4 * i + 3] for i in range(3)]
    error = max(abs(_dot(rows[i], rows[j]) - (i == j)) for i in range(3) for j in range(3))
    (a, b, c), (d, e, f), (g, h, i) = rows
    return error < RIGID_TOLERANCE and a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) > 0
