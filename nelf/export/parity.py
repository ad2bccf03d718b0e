"""How far an executed model file is from PyTorch, and whether that is near enough."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nelf.core.images import psnr_of

ROUNDING = 0.5 / 255
"""Largest error of a value stored in 8 bits."""
EXACT = 150.0
"""PSNR reported for images that agree bit for bit, or nearly: JSON has no infinity."""


@dataclass(frozen=True)
class Difference:
    """Of two images of one view, over all channels, with 1 as the peak."""

    view: str
    psnr: float
    max_abs: float


def compare(
    view: str, image: Float[Tensor, "height width channels"], reference: Float[Tensor, "height width channels"]
) -> Difference:
    """PSNR and largest error. Values that are no numbers count as the worst possible."""
    error = torch.nan_to_num((image.double() - reference.double()).abs(), nan=1.0, posinf=1.0)
    return Difference(view, psnr_of(float(error.square().mean()), EXACT), float(error.max()))


def with_rounding(psnr: float, max_abs: float) -> tuple[float, float]:
    """The limits that hold against an 8-bit copy of the reference when `psnr` and `max_abs` hold against itself.

    Rounding moves each value by at most `ROUNDING`, so by the triangle inequality root mean square error and largest
    error grow by no more than that: a file that passed at export cannot fail here for the copy's sake.
    """
    return -20 * math.log10(10 ** (-psnr / 20) + ROUNDING), max_abs + ROUNDING


def failure(differences: list[Difference], psnr: float, max_abs: float) -> str | None:
    """Why the views fail the limits, naming the worst; None when they do not."""
    worst = min(differences, key=lambda d: d.psnr)
    if worst.psnr < psnr:
        return f"view {worst.view}: {worst.psnr:.1f} dB, at least {psnr:.1f} dB are needed"
    worst = max(differences, key=lambda d: d.max_abs)
    if worst.max_abs > max_abs:
        return f"view {worst.view}: largest error {worst.max_abs:.4f}, at most {max_abs:.4f} is allowed"
    return None
