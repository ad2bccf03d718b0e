"""Files of a bundle: safe paths, digests, golden views."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, ValidationError
from torch import Tensor

from nelf.bundle.fields import Part, Text, first_line
from nelf.bundle.manifest import MANIFEST, FileInfo, ImageInfo, Manifest, Role
from nelf.core.errors import BundleError, BundleErrorCode, ConfigError
from nelf.core.files import sha256, write_json

GOLDEN = "golden"
"""Folder of the golden views."""
FORBIDDEN = "\\:%\x7f"
"""Characters of no name: they separate folders, name drives or streams, or are read anew in a URL."""


def list_files(folder: Path, model: str) -> list[FileInfo]:
    """Every file of a bundle that is being written, in name order. Those of the model path `model` and of GOLDEN have
    these roles; whatever else is there belongs to the page."""
    listed = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST:
            role = _role(name, model)
            listed.append(FileInfo(path=name, role=role, bytes=path.stat().st_size, sha256=sha256(path)))
    return listed


def _role(name: str, model: str) -> Role:
    if name == model or name.startswith(f"{model}/"):
        return "model"
    return "golden" if name.startswith(f"{GOLDEN}/") else "page"


def safe_path(folder: Path, name: str) -> Path:
    """The file `name` of the bundle `folder`. Raises BundleError for a name that leads out of it, here or elsewhere:
    a name must mean the same file on every system and in a URL."""
    plain = all(part not in ("", ".", "..") for part in name.split("/"))
    plain = plain and not any(character in FORBIDDEN or character < " " for character in name)
    try:
        (folder / name).is_file()
        inside = (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # names longer than the file system allows, links that go round
        inside = False
    if not plain or not inside:
        raise BundleError(
            f"{folder / MANIFEST} names the file {name!r}, which is or could be outside the bundle; do not use it",
            BundleErrorCode.UNSAFE_PATH,
        )
    return folder / name


def safe_name(name: str) -> str:
    """`name` as the name of one file of a bundle."""
    return "".join("_" if character in FORBIDDEN + "/" or character < " " else character for character in name)


def check_files(folder: Path, manifest: Manifest, check_hashes: bool = True) -> None:
    """Raise BundleError, naming the first offender, unless every listed file is there, unchanged, inside `folder`."""
    listed = [file.path for file in manifest.files]
    for name in (*listed, *manifest.needed):
        safe_path(folder, name)
    for name in listed:
        if listed.count(name) > 1:
            message = f"{folder / MANIFEST} lists the file {name!r} twice; export again"
            raise BundleError(message, BundleErrorCode.INVALID_MANIFEST)
    for name in manifest.needed:
        if not any(path == name or path.startswith(f"{name}/") for path in listed):
            message = f"{folder / MANIFEST} does not list the file {name!r} that it needs; export again"
            raise BundleError(message, BundleErrorCode.INVALID_MANIFEST)
    for file in manifest.files:
        _check_file(folder / file.path, file, check_hashes)


def _check_file(path: Path, file: FileInfo, check_hash: bool) -> None:
    if not path.is_file():
        message = f"{path} is missing; the bundle is incomplete, copy or export it again"
        raise BundleError(message, BundleErrorCode.DAMAGED_FILE)
    size = path.stat().st_size
    if size != file.bytes:
        message = f"{path} has {size} bytes, the manifest says {file.bytes}; copy or export it again"
        raise BundleError(message, BundleErrorCode.DAMAGED_FILE)
    if check_hash and sha256(path) != file.sha256:
        message = f"{path} was changed: its SHA-256 is not the manifest's; copy or export it again"
        raise BundleError(message, BundleErrorCode.DAMAGED_FILE)


POSES = f"{GOLDEN}/poses.json"
Row = Annotated[list[float], Field(min_length=4, max_length=4)]


class GoldenEntry(Part):
    """One of `views` in the file of golden poses."""

    name: str
    c2w: Annotated[list[Row], Field(min_length=3, max_length=3)]
    image: Text


class GoldenFile(Part):
    """The file of golden poses."""

    views: Annotated[list[GoldenEntry], Field(min_length=1)]


@dataclass(frozen=True)
class GoldenView:
    """One pose and its image; `image` is [height, width, channels] in 0..1."""

    name: str
    c2w: Float[Tensor, "3 4"]
    image: Float[Tensor, "height width channels"]


def write_golden(folder: Path, views: list[GoldenView]) -> None:
    """Write poses and images into the bundle `folder`."""
    names = [view.name for view in views]
    if len(set(map(safe_name, names))) != len(names) or any(Path(name).name != name or not name for name in names):
        raise ConfigError(f"names of golden views must be distinct and fit for files, got {', '.join(names)}")
    (folder / POSES).parent.mkdir(parents=True)
    entries = []
    for view in views:
        path = f"{GOLDEN}/{safe_name(view.name)}.{'rgba' if view.image.shape[2] == 4 else 'rgb'}"
        pixels = (view.image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        (folder / path).write_bytes(pixels.tobytes())
        entries.append(GoldenEntry(name=view.name, c2w=view.c2w.tolist(), image=path))
    write_json(folder / POSES, GoldenFile(views=entries).model_dump())


def golden_entries(folder: Path, manifest: Manifest) -> list[GoldenEntry]:
    """Names, poses and image paths of the golden views of a bundle."""
    path = safe_path(folder, manifest.golden)
    try:
        return GoldenFile.model_validate_json(path.read_bytes()).views
    except ValidationError as error:
        message = f"{path}: {first_line(error)}; export the bundle again"
        raise BundleError(message, BundleErrorCode.DAMAGED_FILE) from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error})", BundleErrorCode.DAMAGED_FILE) from error


def read_golden(folder: Path, manifest: Manifest) -> list[GoldenView]:
    """The golden views of a bundle."""
    return [
        GoldenView(entry.name, torch.tensor(entry.c2w), _read_image(safe_path(folder, entry.image), manifest.image))
        for entry in golden_entries(folder, manifest)
    ]


def _read_image(path: Path, image: ImageInfo) -> Float[Tensor, "height width channels"]:
    shape = (image.height, image.width, image.channels)
    if not path.is_file() or path.stat().st_size != math.prod(shape):
        message = f"{path} is not a file of {' x '.join(map(str, shape))} bytes; export the bundle again"
        raise BundleError(message, BundleErrorCode.DAMAGED_FILE)
    return torch.from_numpy(np.fromfile(path, np.uint8).reshape(shape)).float() / 255
