"""Files of a bundle: safe paths, digests, golden views."""

import json
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from nelf.core.errors import BundleError, ConfigError, one_line
from nelf.core.files import sha256
from nelf.export.coherence import Refusal
from nelf.export.contract import MANIFEST, FileInfo, Manifest
from nelf.student import Student

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
            roles = {model: "model", GOLDEN: "golden"}
            role = next((role for top, role in roles.items() if name == top or name.startswith(f"{top}/")), "page")
            listed.append(FileInfo(name, role, path.stat().st_size, sha256(path)))
    return listed


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
            Refusal.PATH_OUTSIDE,
        )
    return folder / name


def safe_name(name: str) -> str:
    """`name` as the name of one file of a bundle."""
    return "".join("_" if character in FORBIDDEN + "/" or character < " " else character for character in name)


def check_files(folder: Path, manifest: Manifest, check_hashes: bool = True) -> None:
    """Raise BundleError, naming the first offender, unless every listed file is there, unchanged, inside `folder`."""
    listed = [file.path for file in manifest.files]
    for name in (*listed, manifest.model.path, manifest.golden):
        safe_path(folder, name)
    for name in listed:
        if listed.count(name) > 1:
            message = f"{folder / MANIFEST} lists the file {name!r} twice; export again"
            raise BundleError(message, Refusal.FILE_TWICE)
    for name in (manifest.model.path, manifest.golden):
        if not any(path == name or path.startswith(f"{name}/") for path in listed):
            message = f"{folder / MANIFEST} does not list the file {name!r} that it needs; export again"
            raise BundleError(message, Refusal.FILE_UNLISTED)
    for file in manifest.files:
        _check_file(folder / file.path, file, check_hashes)


def _check_file(path: Path, file: FileInfo, check_hash: bool) -> None:
    if not path.is_file():
        message = f"{path} is missing; the bundle is incomplete, copy or export it again"
        raise BundleError(message, Refusal.FILE_MISSING)
    size = path.stat().st_size
    if size != file.bytes:
        message = f"{path} has {size} bytes, the manifest says {file.bytes}; copy or export it again"
        raise BundleError(message, Refusal.FILE_SIZE)
    if check_hash and sha256(path) != file.sha256:
        message = f"{path} was changed: its SHA-256 is not the manifest's; copy or export it again"
        raise BundleError(message, Refusal.FILE_CHANGED)


POSES = f"{GOLDEN}/poses.json"
# What JSON, Pillow and torch raise on files that are not what they should be.
DAMAGE = (
    KeyError, TypeError, ValueError, RuntimeError, OSError, SyntaxError, EOFError, IndexError, AttributeError,
    OverflowError, MemoryError, struct.error, Image.DecompressionBombError,
)  # fmt: skip


@dataclass(frozen=True)
class GoldenView:
    """One pose and its image; `image` is [height, width, channels] in 0..1."""

    name: str
    c2w: Float[Tensor, "3 4"]
    image: Float[Tensor, "height width channels"]


@torch.no_grad()
def reference_view(model: Student, name: str, c2w: Float[Tensor, "3 4"]) -> GoldenView:
    """The view as PyTorch renders it."""
    return GoldenView(name, c2w, model(c2w[None])[0].permute(1, 2, 0).contiguous())


def write_golden(folder: Path, views: list[GoldenView]) -> None:
    """Write poses and images into the bundle `folder`."""
    names = [view.name for view in views]
    if len(set(map(safe_name, names))) != len(names) or any(Path(name).name != name or not name for name in names):
        raise ConfigError(f"names of golden views must be distinct and fit for files, got {', '.join(names)}")
    (folder / POSES).parent.mkdir(parents=True)
    entries = []
    for view in views:
        path = f"{GOLDEN}/{safe_name(view.name)}.png"
        pixels = (view.image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        Image.fromarray(pixels).save(folder / path)
        entries.append({"name": view.name, "c2w": view.c2w.tolist(), "image": path})
    (folder / POSES).write_text(json.dumps({"views": entries}, indent=2) + "\n")


def read_golden(folder: Path, poses: str, size: tuple[int, int, int]) -> list[GoldenView]:
    """The golden views of a bundle, whose images must have `size`: height, width, channels."""
    try:
        views = []
        for entry in json.loads(safe_path(folder, poses).read_text())["views"]:
            with warnings.catch_warnings(action="ignore"), Image.open(safe_path(folder, entry["image"])) as image:
                if (image.height, image.width) != size[:2]:  # before it is decoded, whatever it claims
                    raise ValueError(f"{entry['image']} is {image.width}x{image.height}, not {size[1]}x{size[0]}")
                pixels = np.asarray(image)
            if pixels.shape != size or pixels.dtype != np.uint8:
                raise ValueError(f"{entry['image']} is {pixels.dtype} {pixels.shape}, not uint8 {size}")
            c2w = torch.tensor(entry["c2w"], dtype=torch.float32).reshape(3, 4)
            views.append(GoldenView(str(entry["name"]), c2w, torch.from_numpy(pixels.copy()).float() / 255))
    except DAMAGE as error:
        reason = one_line(error)
        raise BundleError(f"{folder}: the golden views cannot be read ({reason}); export it again") from error
    if not views:
        raise BundleError(f"{folder}: {poses} lists no views, so nothing can be verified; export it again")
    return views
