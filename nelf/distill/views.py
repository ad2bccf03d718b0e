"""One pseudo view on disk: a lossless 8-bit PNG that says in a text chunk what it was made from, and its depth map."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from nelf.data.write import NOTE, write_png
from nelf.errors import NelfError
from nelf.storage import sha256
from nelf.teacher.protocol import Rendered


def to_pixels(rendered: Rendered, channels: int, name: str) -> UInt8[np.ndarray, "height width channels"]:
    """RGB, or RGBA with straight alpha and colour 0 where alpha is 0. `name` is for messages."""
    rgb, alpha = rendered.rgb.float(), rendered.alpha.float()[..., None]
    if not bool(torch.isfinite(rgb).all() & torch.isfinite(alpha).all()):
        raise NelfError(
            f"distill: the teacher gave NaN or infinity for pseudo view {name}; its training went wrong, "
            "train it again with: nelf teach SCENE (another teacher.seed or a smaller teacher.lr may help)"
        )
    if channels == 4:
        straight = rgb / alpha.clamp(min=1 / 512)
        image = torch.cat([straight, alpha], dim=-1)
        image = torch.where(alpha * 255 < 0.5, 0.0, image)
    else:
        image = rgb
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def to_depth(rendered: Rendered, far: float) -> Float[np.ndarray, "height width"]:
    """Depth of what is seen, 0 where most of the pixel is empty."""
    # Where a ray goes on to the end, the teacher counts `far` for what is left.
    alpha = rendered.alpha.float()
    seen = (rendered.depth.float() - (1 - alpha) * far) / alpha.clamp(min=0.5)
    return torch.where(alpha > 0.5, seen.clamp(0, far), 0.0).numpy()


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
