"""8-bit pictures on white: what is measured, written to `eval/MODEL/VIEW.png` and shown in the report."""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from nelf.core.errors import NelfError, one_line
from nelf.core.files import write_bytes
from nelf.core.images import over_background, premultiplied_over, to_float, to_uint8
from nelf.scene.scene import Views

MOST_PIXELS = 1 << 26  # of a picture that may be read: 8192 x 8192
# What Pillow raises on damaged files.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, OverflowError, Image.DecompressionBombError)


def to_8bit(image: Float[Tensor, "height width channels"]) -> UInt8[Tensor, "height width 3"]:
    """A rendered image, RGB or premultiplied RGBA in [0, 1], composited over white and rounded to 8 bit."""
    return to_uint8(premultiplied_over(image))


def ground_truth(views: Views, index: int) -> UInt8[Tensor, "height width 3"]:
    """A stored view, RGB or straight RGBA, composited over white and rounded to 8 bit."""
    return to_uint8(over_background(to_float(views.image(index))))


def write_picture(path: Path, picture: UInt8[Tensor, "height width 3"]) -> None:
    """Write a PNG, atomically."""
    write_bytes(path, encode(picture, "png"))


def read_picture(path: Path, like: UInt8[Tensor, "height width 3"] | None = None) -> UInt8[Tensor, "height width 3"]:
    """Read a picture that an evaluation wrote. like: another one, whose size it has to have."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=["PNG"]) as image:
            if like is not None and (image.height, image.width) != like.shape[:2]:
                raise ValueError(f"it is {image.width}x{image.height}, not {like.shape[1]}x{like.shape[0]}")
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"it claims {image.width}x{image.height} pixels")
            return torch.from_numpy(np.array(image.convert("RGB")))
    except DAMAGE as error:
        reason = one_line(error)
        raise NelfError(f"cannot read the picture {path}: {reason}; run `nelf eval` again") from error


def encode(picture: UInt8[Tensor, "height width 3"], format: str) -> bytes:
    """The bytes of a PNG or JPEG file."""
    stream = io.BytesIO()
    image = Image.fromarray(picture.numpy())
    if format == "jpeg":
        image.save(stream, format, quality=92, subsampling=0)
    else:
        image.save(stream, format)
    return stream.getvalue()
