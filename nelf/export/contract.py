"""The manifest of a bundle: the only contract between Python, Swift, Kotlin and JavaScript.

manifest.schema.json beside this file is its public definition; the classes here have the same fields.
"""

import collections
import dataclasses
import functools
import itertools
import json
import math
import re
import types
import typing
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from nelf.core.errors import BundleError
from nelf.core.files import write_json
from nelf.export.coherence import Refusal, contradiction
from nelf.export.region import BoxRegion, OrbitRegion

FORMAT = "nelf-bundle"
VERSION = "1.1"
MANIFEST = "manifest.json"
MOST_BYTES = 4 << 20  # of a manifest: 200 times what one has
MOST_LEVELS = 64  # of objects and lists inside each other: ten times what one has


@dataclass(frozen=True)
class ImageInfo:
    """Size and channels of the image that the model gives. background: red, green, blue, each from 0 to 1."""

    width: int
    height: int
    channels: int
    alpha: str
    background: list[float]
    composited_over: list[float] | None = None


@dataclass(frozen=True)
class CameraInfo:
    """World space is the scene's; `intrinsics` are fx, fy, cx, cy in pixels."""

    intrinsics: list[float]
    near: float
    far: float
    up: list[float]
    focus: list[float]
    axes: str = "opengl"


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of the model file."""

    name: str
    shape: list[int]
    dtype: str
    layout: str


@dataclass(frozen=True)
class ModelInfo:
    """`path` is a file, or a package folder. `bytes`: of all its files. `varying`: those that differ from one export to
    the next of the same checkpoint, with the reason; none: the model is the same to the byte."""

    path: str
    input: TensorInfo
    output: TensorInfo
    bytes: int | None = None
    varying: dict[str, str] | None = None


@dataclass(frozen=True)
class FileInfo:
    """`path` is relative to the bundle, with forward slashes. `role` is model, golden, or
    page: of the viewer that lies around a bundle for web."""

    path: str
    role: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Parity:
    """How the file on disk compared with PyTorch when it was made, or why that was not tried."""

    status: str
    compared_with: str | None = None
    runtime: str | None = None
    views: int | None = None
    psnr_min: float | None = None
    psnr_mean: float | None = None
    max_abs: float | None = None
    required_psnr: float | None = None
    allowed_max_abs: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Quality:
    """How well the file on disk shows photos, beside PyTorch: mean PSNR in dB of 8-bit RGB over the background.

    photos: test: of the golden views; training: of calibration views, where no golden view has one.
    forced: it lost more than is allowed, and was kept because the user said so.
    """

    status: str
    photos: str | None = None
    views: int | None = None
    psnr: float | None = None
    pytorch_psnr: float | None = None
    drop_db: float | None = None
    allowed_drop_db: float | None = None
    forced: bool | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Latency:
    """Of one image on the machine that exported, median of `runs`; or why that says nothing."""

    status: str
    milliseconds: float | None = None
    runs: int | None = None
    threads: int | None = None
    runtime: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class GroupSensitivity:
    """One layer, or a few that follow each other, with all others in float: what quantising it alone does.

    psnr: against the model in float, dB. drop_db: of PSNR against the photos of the calibration views. Both on the
    first rung of the file's precision. rung: what it is in the file: static (weights and activations are integers),
    dynamic (weights are, activations float between convolutions) or float.
    """

    name: str
    psnr: float
    drop_db: float
    rung: str


@dataclass(frozen=True)
class Quantization:
    """How a quantised file was made. drop_db: what it lost on the calibration views, where that was measured."""

    method: str
    calibration_views: int
    drop_db: float | None = None
    groups: list[GroupSensitivity] = field(default_factory=list)

    def rungs(self) -> str:
        """How many groups are what, best first: "17 static, 2 dynamic"; empty where there are none."""
        counts = collections.Counter(group.rung for group in self.groups)
        return ", ".join(f"{counts[rung]} {rung}" for rung in ("static", "dynamic", "float") if counts[rung])


@dataclass(frozen=True)
class StudentInfo:
    """The student's preset, its parameters, and its multiply-adds per image."""

    name: str
    parameters: int
    macs: int


@dataclass(frozen=True)
class Manifest:
    """What a viewer must know, and how to check that nothing is damaged."""

    name: str
    kind: str
    target: str
    precision: str
    image: ImageInfo
    camera: CameraInfo
    region: OrbitRegion | BoxRegion
    model: ModelInfo
    files: list[FileInfo]
    golden: str
    parity: Parity
    student: StudentInfo
    quality: Quality | None = None
    latency: Latency | None = None
    quantization: Quantization | None = None
    experimental: bool | None = None
    deployment: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    format: str = FORMAT
    version: str = VERSION


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest` into the bundle `folder`; it must satisfy the schema."""
    content = _without_none(dataclasses.asdict(manifest))
    _check_schema(folder, content)
    _check_coherence(folder, content)
    write_json(folder / MANIFEST, content)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the bundle `folder`. Raises BundleError, one line, for anything but a valid one.

    Keys that a later minor version added are ignored. The files themselves: `check_files`.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BundleError(
                f"{path} has more than {MOST_BYTES} bytes; give a bundle that nelf export wrote",
                Refusal.MANIFEST_TOO_LARGE,
            )
        text = path.read_text(encoding="utf-8")
        if _levels(text) > MOST_LEVELS:
            raise ValueError(f"nested deeper than {MOST_LEVELS}")
        content = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (FileNotFoundError, NotADirectoryError):
        what = "has no manifest.json, so it is no bundle" if folder.is_dir() else "does not exist"
        what = "is a file, and a bundle is a folder" if folder.is_file() else what
        message = f"{folder} {what}; give the folder that nelf export wrote"
        raise BundleError(message, Refusal.MANIFEST_MISSING) from None
    except (OSError, ValueError) as error:  # bad UTF-8 and bad JSON are ValueErrors
        message = f"{path} cannot be read ({error}); export again with: nelf export RUN"
        raise BundleError(message, Refusal.MANIFEST_UNREADABLE) from error
    _check_version(path, content)
    _check_schema(folder, content)
    _check_coherence(folder, content)
    try:
        return typing.cast(Manifest, _typed(Manifest, content))
    except OverflowError as error:  # a whole number that no float holds
        message = f"{path} cannot be read ({error}); export again with: nelf export RUN"
        raise BundleError(message, Refusal.MANIFEST_UNREADABLE) from error


def _levels(text: str) -> int:
    """How many objects and lists are open at once in a JSON text, at most."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    steps = (1 if bracket in "[{" else -1 for bracket in re.findall(r"[][{}]", bare))
    return max(itertools.accumulate(steps), default=0)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _number(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _check_version(path: Path, content: Any) -> None:
    # Before the schema, which another major version would have its own of.
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        message = f"{path} is not the manifest of a {FORMAT}; give the folder that nelf export wrote"
        raise BundleError(message, Refusal.NOT_A_BUNDLE)
    version = content.get("version")
    if isinstance(version, str) and version.split(".")[0] != VERSION.split(".")[0]:
        raise BundleError(
            f"{path} has format version {version}, this nelf reads {VERSION.split('.')[0]}.x; "
            "install the nelf that made it, or export again",
            Refusal.VERSION_UNKNOWN,
        )


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest."""
    content: dict[str, Any] = json.loads(resources.files(__package__).joinpath("manifest.schema.json").read_text())
    return content


def _check_schema(folder: Path, content: Any) -> None:
    import jsonschema

    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema()).iter_errors(content))
    if error is not None:
        where = ".".join(map(str, error.absolute_path)) or "the manifest"
        message = f"{folder / MANIFEST}: {where}: {error.message[:200]}; export again with: nelf export RUN"
        raise BundleError(message, Refusal.MANIFEST_INVALID)


def _check_coherence(folder: Path, content: dict[str, Any]) -> None:
    found = contradiction(content)
    if found is not None:
        code, what = found
        raise BundleError(f"{folder / MANIFEST}: {what}; export again with: nelf export RUN", code)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


def _typed(hint: Any, value: Any) -> Any:
    """JSON `value` as the annotated type `hint`; the schema has already been checked."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        if OrbitRegion in options:
            return _typed(OrbitRegion if value["type"] == "shell" else BoxRegion, value)
        return None if value is None else _typed(options[0], value)
    if dataclasses.is_dataclass(hint):
        known = typing.get_type_hints(hint)
        return hint(**{k: _typed(known[k], v) for k, v in value.items() if k in known})  # type: ignore[operator]
    if typing.get_origin(hint) is list:
        return [_typed(typing.get_args(hint)[0], item) for item in value]
    return float(value) if hint is float else value
