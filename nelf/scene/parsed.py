"""What a format reader returns: frames with their cameras, and what is wrong with each."""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nelf.core.errors import SceneError
from nelf.scene.config import FARTHEST, LARGEST, SMALLEST
from nelf.scene.images import DepthFile
from nelf.scene.lens import Lens
from nelf.scene.scene import SceneType


@dataclass(frozen=True)
class Fields:
    """One JSON object with its place, for messages: "scene 'fox': transforms.json, frame 3"."""

    content: dict[str, Any]
    where: str

    def error(self, message: str) -> SceneError:
        """An error that says where this object stands."""
        return SceneError(f"{self.where} {message}")

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self.content.get(key) is not None

    def number(self, key: str) -> float | None:
        """The number under `key`; None if the key is missing or null."""
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
        """The number under `key`, which must be above zero; None where the key is absent or null."""
        value = self.number(key)
        if value is not None and not SMALLEST <= value <= LARGEST:
            raise self.error(f"has {key} = {value:g}; it must be a positive number, {SMALLEST:g} to {LARGEST:g}")
        return value

    def text(self, key: str) -> str | None:
        """The string under `key`; None where the key is absent or null."""
        value = self.content.get(key)
        if value is not None and not isinstance(value, str):
            raise self.error(f"has {key} = {shorten(value)}; it must be a string")
        return value

    def vector(self, key: str) -> tuple[float, float, float] | None:
        """Three finite numbers under `key`; None where the key is absent or null."""
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
        """The list of objects under `key`."""
        value = self.content.get(key)
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            raise self.error(f"has {key} = {shorten(value)}; it must be a list of objects")
        return value

    def strings(self, key: str) -> list[str]:
        """The list of strings under `key`."""
        value = self.content.get(key)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self.error(f"has {key} = {shorten(value)}; it must be a list of file names")
        return value


def read_json(path: Path, scene: str) -> Fields:
    """The object in a JSON file. Raises SceneError."""
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


@dataclass(frozen=True)
class Problem:
    """Something to know about a scene, and what to do about it.

    fatal: `nelf run` refuses the scene. command: what to type to fix it, with {scene} for the scene's folder; empty if
    no command can, only other photos or poses.
    """

    what: str
    remedy: str
    fatal: bool = False
    command: str = ""

    def words(self, scene: str, overrides: Sequence[str]) -> list[str]:
        """The command for the scene in this folder, keeping the overrides that were used to check it."""
        words = self.command.split()
        keys = {word.partition("=")[0] for word in words}
        kept = [override for override in overrides if override.partition("=")[0] not in keys]
        where = words.index("{scene}")
        return [*words[:where], scene, *kept, *words[where + 1 :]]

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


@dataclass(frozen=True)
class ParsedFrame:
    """One listed photo, which may not exist.

    where: the place in the scene's files, for messages.
    path: the image relative to the scene's folder; None if no file matches the listed name.
    c2w: float64 [3, 4], OpenGL axes, not yet checked.
    split: train, val, test, or None if the format has no split.
    depth: its depth map relative to the scene's folder; None without one in known units.
    """

    where: str
    listed: str
    path: Path | None
    c2w: np.ndarray
    lens: Lens
    split: str | None = None
    depth: DepthFile | None = None


@dataclass
class ParsedScene:
    """Content of a scene's files.

    downscale: remaining reduction of the images.
    files: files read apart from images, relative to the scene's folder.
    depth_bounds: [n, 2] nearest and farthest depth of each frame, if the format has them.
    points: [n, 3] reconstructed world points, if the format has them.
    Only scenes that nelf wrote give the rest. It overrides what the cameras suggest.
    """

    format: str
    frames: Sequence[ParsedFrame]
    downscale: int
    files: Sequence[Path] = ()
    depth_bounds: np.ndarray | None = None
    points: np.ndarray | None = None
    type: SceneType | None = None
    near: float | None = None
    far: float | None = None
    center: tuple[float, float, float] | None = None
    radius: float | None = None
    up: tuple[float, float, float] | None = None
    problems: list[Problem] = field(default_factory=list)


NAMED = 4  # frames with the same error that a message names

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """frame: the image as the scene's file lists it. text: what is wrong and what to do."""

    frame: str
    text: str

    @property
    def sort(self) -> str:
        """The text without what differs between frames: the name and all numbers."""
        return re.sub(r"[-+]?\d[\d.e+-]*", "#", self.text.replace(self.frame, ""))


class FrameErrors:
    """Collects errors of single frames. tolerant: skip such frames instead of refusing the scene."""

    def __init__(self, scene: str, *, tolerant: bool = False) -> None:
        self.scene = scene
        self.tolerant = tolerant
        self.found: list[Fault] = []

    @contextmanager
    def of_a_frame(self, name: str) -> Iterator[None]:
        """A SceneError raised in the block concerns one frame. name: the image as listed."""
        try:
            yield
        except SceneError as error:
            if not self.tolerant:
                raise
            self.found.append(Fault(name, str(error).removeprefix(f"scene '{self.scene}': ")))

    def keep(self, items: Sequence[T], check: Callable[[T], None], name: Callable[[T], str]) -> list[T]:
        """Items for which `check` raises no SceneError."""
        kept = []
        for item in items:
            with self.of_a_frame(name(item)):
                check(item)
                kept.append(item)
        return kept

    def require_any(self, items: Sequence[object]) -> None:
        """Refuse the scene, for the first error noted, if no item is left."""
        if self.found and not items:
            raise SceneError(
                f"scene '{self.scene}': none of its frames can be used; the first reason: {self.found[0].text}"
            )

    def problems(self) -> list[Problem]:
        """The noted errors; frames with the same error give one problem."""
        return told_once(self.found)


def told_once(faults: Sequence[Fault]) -> list[Problem]:
    """One fatal problem for each sort of error: the first frame's text, and the other frames that have it."""
    sorts: dict[str, list[Fault]] = {}
    for fault in faults:
        sorts.setdefault(fault.sort, []).append(fault)
    problems = []
    for first, *others in sorts.values():
        what, _, remedy = first.text.partition("; ")
        if others:
            named = ", ".join(fault.frame for fault in others[:NAMED]) + (", ..." if len(others) > NAMED else "")
            what += f"; {len(others)} more {'has' if len(others) == 1 else 'have'} this fault ({named})"
        problems.append(Problem(what, remedy, fatal=True))
    return problems
