"""Golden views: a few held-out poses with the image that PyTorch gives, for viewers and for `nelf verify`.

Stored as 8-bit PNG, each value round(255 x) of what the model gives: with alpha, colour is premultiplied in the file.
An exact copy would be 80 MB at 800x800; what rounding costs is known and allowed for (`parity.py`).
"""

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

from nelf.errors import BundleError, ConfigError
from nelf.export.files import GOLDEN, safe_name, safe_path
from nelf.student import Student

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
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"{folder}: the golden views cannot be read ({reason}); export it again") from error
    if not views:
        raise BundleError(f"{folder}: {poses} lists no views, so nothing can be verified; export it again")
    return views
