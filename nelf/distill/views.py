"""One pseudo view on disk: a lossless 8-bit PNG that says in a text chunk what it was made from, and its depth map."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int16, UInt8
from PIL import Image
from torch import Tensor

from nelf.data import to_steps
from nelf.data.write import NOTE, write_png
from nelf.distill.quality import count
from nelf.errors import NelfError
from nelf.storage import sha256
from nelf.teacher.protocol import Rendered


@dataclass(frozen=True)
class View:
    """One pseudo view as it is stored, on the device that rendered it or on the host.

    depth: see nelf.data.to_steps. sums: see nelf.distill.quality.count; the first one is 1 where all values are finite.
    """

    pixels: UInt8[Tensor, "height width channels"]
    depth: Int16[Tensor, "height width"]
    sums: Int[Tensor, "sums"]

    def begin_copy(self) -> "Arriving":
        """On its way to the host; the device may go on."""
        return Arriving(self)


class Arriving:
    """A view on its way to the host."""

    def __init__(self, view: View) -> None:
        parts: tuple[Tensor, ...] = (view.pixels, view.depth, view.sums)
        self._event: torch.Event | None = None
        if view.pixels.device.type == "cuda":
            pinned = [torch.empty(part.shape, dtype=part.dtype, pin_memory=True) for part in parts]
            parts = tuple(to.copy_(part, non_blocking=True) for to, part in zip(pinned, parts, strict=True))
            self._event = torch.cuda.current_stream().record_event()
        self._view = View(*(parts if self._event is not None else [part.cpu() for part in parts]))

    def get(self) -> View:
        """The view, when it is there; for any thread."""
        if self._event is not None:
            self._event.synchronize()
        return self._view


def stored(rendered: Rendered, channels: int, far: float, scale: float) -> View:
    """What is stored of `rendered`, made where it is. scale: world units of one step of depth."""
    finite = torch.isfinite(rendered.rgb).all() & torch.isfinite(rendered.alpha).all()
    pixels = to_pixels(rendered, channels)
    sums = torch.cat([finite.to(torch.int64)[None], count(pixels)])
    return View(pixels, to_steps(to_depth(rendered, far), scale), sums)


def check_finite(view: View, name: str) -> None:
    """Raise NelfError where the teacher of pseudo view `name` has gone wrong."""
    if not view.sums[0]:
        raise NelfError(
            f"distill: the teacher gave NaN or infinity for pseudo view {name}; its training went wrong, "
            "train it again with: nelf teach SCENE (another teacher.seed or a smaller teacher.lr may help)"
        )


def to_pixels(rendered: Rendered, channels: int) -> UInt8[Tensor, "height width channels"]:
    """RGB, or RGBA with straight alpha and colour 0 where alpha is 0."""
    rgb, alpha = rendered.rgb.float(), rendered.alpha.float()[..., None]
    if channels == 4:
        straight = rgb / alpha.clamp(min=1 / 512)
        image = torch.cat([straight, alpha], dim=-1)
        image = torch.where(alpha * 255 < 0.5, 0.0, image)
    else:
        image = rgb
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def to_depth(rendered: Rendered, far: float) -> Float[Tensor, "height width"]:
    """Depth of what is seen, 0 where most of the pixel is empty."""
    # Where a ray goes on to the end, the teacher counts `far` for what is left.
    alpha = rendered.alpha.float()
    seen = (rendered.depth.float() - (1 - alpha) * far) / alpha.clamp(min=0.5)
    return torch.where(alpha > 0.5, seen.clamp(0, far), 0.0)


def write_view(path: Path, pixels: UInt8[np.ndarray, "height width channels"], note: dict[str, Any]) -> None:
    """Write a PNG with `note` in it, atomically. note["depth"]: SHA-256 of its depth map, where it has one."""
    write_png(path, pixels, json.dumps(note, sort_keys=True))


def read_note(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The note of a whole view made from `fingerprint`; None where there is no such file, or it or its depth map is
    damaged."""
    try:
        with Image.open(path) as image:
            note = json.loads(image.info.get(NOTE, "{}"))
            image.verify()  # the checksum of every chunk, up to the last
        if not isinstance(note, dict) or note.get("fingerprint") != fingerprint:
            return None
        depth = path.parent.parent / "depths" / path.name  # see nelf.data.depth_name
        return note if "depth" not in note or note["depth"] == sha256(depth) else None
    except (OSError, ValueError, SyntaxError, RecursionError):  # absent, cut short, or not a PNG
        return None
