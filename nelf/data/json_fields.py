"""Reading values out of JSON that others wrote: each has the right type, or one line says where it has not."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nelf.data.config import FARTHEST, LARGEST, SMALLEST
from nelf.errors import SceneError


@dataclass(frozen=True)
class Fields:
    """One JSON object and where it stands, for messages: "scene 'fox': transforms.json, frame 3"."""

    content: dict[str, Any]
    where: str

    def error(self, message: str) -> SceneError:
        return SceneError(f"{self.where} {message}")

    def has(self, key: str) -> bool:
        return self.content.get(key) is not None

    def number(self, key: str) -> float | None:
        """The number under `key`; None where the key is absent or null."""
        value = self.content.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.error(f"has {key} = {shorten(value)}; it must be a number")
        try:
            return float(value)
        except OverflowError:
            return math.inf

    def positive(self, key: str) -> float | None:
        value = self.number(key)
        if value is not None and not SMALLEST <= value <= LARGEST:
            raise self.error(f"has {key} = {value:g}; it must be a positive number, {SMALLEST:g} to {LARGEST:g}")
        return value

    def text(self, key: str) -> str | None:
        value = self.content.get(key)
        if value is not None and not isinstance(value, str):
            raise self.error(f"has {key} = {shorten(value)}; it must be a string")
        return value

    def vector(self, key: str) -> tuple[float, float, float] | None:
        value = self.content.get(key)
        if value is None:
            return None
        numbers = value if isinstance(value, list) else []
        if len(numbers) != 3 or not all(_is_number(v) and abs(v) <= FARTHEST for v in numbers):
            raise self.error(
                f"has {key} = {shorten(value)}; it must be three finite numbers, each at most {FARTHEST:g}"
            )
        return float(numbers[0]), float(numbers[1]), float(numbers[2])

    def pose(self, key: str) -> np.ndarray:
        """A 3x4 or 4x4 matrix as float64 [3, 4]."""
        value = self.content.get(key)
        if value is None:
            raise self.error(f"has no {key}; it must be the camera-to-world matrix, 4x4")
        rows = value if isinstance(value, list) else []
        right = len(rows) in (3, 4) and all(isinstance(row, list) and len(row) == 4 for row in rows)
        if not right or not all(_is_number(v) for row in rows for v in row):
            raise self.error(f"has {key} = {shorten(value)}; it must be a 4x4 matrix of numbers")
        try:
            return np.array(rows[:3], dtype=np.float64)
        except OverflowError:
            raise self.error(f"has {key} = {shorten(value)}; its numbers must be finite") from None

    def objects(self, key: str) -> list[dict[str, Any]]:
        value = self.content.get(key)
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            raise self.error(f"has {key} = {shorten(value)}; it must be a list of objects")
        return value

    def strings(self, key: str) -> list[str]:
        value = self.content.get(key)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self.error(f"has {key} = {shorten(value)}; it must be a list of file names")
        return value


def read_json(path: Path, scene: str) -> Fields:
    """The object in a JSON file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise SceneError(
            f"scene '{scene}': {path.name} is not valid JSON (line {error.lineno}, column {error.colno}: {error.msg}); "
            "the file may be cut short, write it again"
        ) from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise SceneError(f"scene '{scene}': {path.name} is not JSON text; write it again as UTF-8") from error
    except OSError as error:
        raise SceneError(f"scene '{scene}': cannot read {path}: {error.strerror}") from error
    if not isinstance(content, dict):
        raise SceneError(f"scene '{scene}': {path.name} holds {shorten(content)}; it must be an object with frames")
    return Fields(content, f"scene '{scene}': {path.name}")


def shorten(value: Any) -> str:
    """The value as JSON, at most 60 characters."""
    text = "nothing" if value is None else json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
