"""What the parts of a manifest are made of: strict models, bounded numbers, checked directions and poses."""

import json
import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nelf.core.cameras import RIGID_TOLERANCE

UNIT_TOLERANCE = 1e-3  # of a length; directions are stored in single precision

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Angle = Annotated[float, Field(ge=0, le=180)]
Elevation = Annotated[float, Field(ge=-90, le=90)]
Pixels = Annotated[int, Field(ge=1, le=8192)]
Vector = Annotated[list[float], Field(min_length=3, max_length=3)]
Colour = Annotated[list[Share], Field(min_length=3, max_length=3)]
Pose = Annotated[list[float], Field(min_length=12, max_length=12)]


class Part(BaseModel):
    """What every part of a manifest is: strict, unchangeable, without NaN. Unknown keys are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


def dot(a: list[float], b: list[float]) -> float:
    """Scalar product of two vectors."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def check_unit(name: str, direction: list[float]) -> None:
    """Raise ValueError where a direction does not have length 1."""
    if abs(math.hypot(*direction) - 1) > UNIT_TOLERANCE:
        raise ValueError(f"{name} {direction} does not have length 1")


def check_range(name: str, low: float, high: float) -> None:
    """Raise ValueError where `low` is above `high`."""
    if low > high:
        raise ValueError(f"{name} has a range from {low} to {high}")


def check_rigid(name: str, pose: list[float]) -> None:
    """`nelf.core.cameras.is_rigid` of 12 numbers, in double precision."""
    rows = [pose[4 * i : 4 * i + 3] for i in range(3)]
    error = max(abs(dot(rows[i], rows[j]) - (i == j)) for i in range(3) for j in range(3))
    (a, b, c), (d, e, f), (g, h, i) = rows
    if not error < RIGID_TOLERANCE or not a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) > 0:
        raise ValueError(f"{name} is not a rigid pose")


TAGS = {"orbit", "box", "passed", "measured", "not_run", "browser", "app"}
"""What pydantic puts between the keys of an error's place."""


def first_line(error: ValidationError) -> str:
    """The first thing that is wrong: which key, what is allowed, and what was found where that is short."""
    found = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"] if part not in TAGS)
    message = f"{where}: {found['msg'].removeprefix('Value error, ')[:200]}".removeprefix(": ")
    value = found["input"]
    if isinstance(value, str | int | float | None):
        message += f", got {json.dumps(value)[:40]}"
    return " ".join(message.replace(": Input should", " should").split())
