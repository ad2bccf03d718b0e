"""Images as numbers: compositing, 8 bits and PSNR, written once. Channels come last."""

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

Background = float | Float[Tensor, "*#batch 3"]
"""Colour in [0, 1]; 1 is white."""


def over_background(image: Float[Tensor, "*batch channels"], background: Background = 1.0) -> Float[Tensor, "*batch 3"]:
    """RGB of an RGB(A) image with straight alpha, composited over `background`."""
    if image.shape[-1] == 3:
        return image
    alpha = image[..., 3:]
    return image[..., :3] * alpha + (1 - alpha) * background


def premultiplied_over(
    image: Float[Tensor, "*batch channels"], background: Background = 1.0
) -> Float[Tensor, "*batch 3"]:
    """RGB of an RGB(A) image whose colour is premultiplied by alpha, composited over `background`.

    Networks give such images; their alpha may lie a little outside [0, 1].
    """
    if image.shape[-1] == 3:
        return image
    return image[..., :3] + (1 - image[..., 3:].clamp(0, 1)) * background


def to_uint8(image: Float[Tensor, "*batch channels"]) -> UInt8[Tensor, "*batch channels"]:
    """Values in [0, 1] rounded to 8 bits; values outside count as 0 or 1."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def to_float(image: UInt8[Tensor, "*batch channels"]) -> Float[Tensor, "*batch channels"]:
    """8 bits as values in [0, 1]."""
    return image.float() / 255


def psnr_of(error: float, most: float) -> float:
    """PSNR in dB of a mean squared error with 1 as the peak, at most `most`: JSON has no infinity. NaN stays NaN."""
    return most if error <= 0 else min(10 * math.log10(1 / error), most)
