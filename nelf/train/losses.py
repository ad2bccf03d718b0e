"""Losses and PSNR of predicted images.

Images are [batch, channels, height, width] in [0, 1]; RGBA has colour premultiplied by alpha, as students return it.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

CHARBONNIER_WIDTH = 1e-3  # smaller differences count quadratically; a quarter of an 8-bit step


def _mse(difference: Float[Tensor, "*any"]) -> Float[Tensor, ""]:
    return difference.square().mean()


def _l1(difference: Float[Tensor, "*any"]) -> Float[Tensor, ""]:
    return difference.abs().mean()


def _charbonnier(difference: Float[Tensor, "*any"]) -> Float[Tensor, ""]:
    return (difference.square() + CHARBONNIER_WIDTH**2).sqrt().mean()


LOSSES: dict[str, Callable[[Tensor], Tensor]] = {"mse": _mse, "l1": _l1, "charbonnier": _charbonnier}
"""name -> mean penalty of a tensor of differences."""


def image_loss(
    name: str, predicted: Float[Tensor, "batch channels h w"], truth: Float[Tensor, "batch channels h w"]
) -> Float[Tensor, ""]:
    """Loss of RGB; for RGBA the mean over a white and a black background, which determines colour and alpha."""
    difference = predicted - truth
    if difference.shape[1] == 3:
        return LOSSES[name](difference)
    # Over black a premultiplied image is its colour; over white it gains 1 - alpha.
    black = difference[:, :3]
    return (LOSSES[name](black) + LOSSES[name](black - difference[:, 3:])) / 2


def depth_loss(
    predicted: Float[Tensor, "batch levels rows columns"], truth: Float[Tensor, "batch rows columns"]
) -> Float[Tensor, ""]:
    """Mean absolute error of the depth (fraction of the range from near to far) over all levels. Pixels with unknown
    depth (truth below 0) count as right."""
    known = truth[:, None]
    return torch.where(known >= 0, (predicted - known).abs(), 0.0).mean()


def premultiplied(images: UInt8[Tensor, "batch channels h w"]) -> Float[Tensor, "batch channels h w"]:
    """Stored images (straight alpha) as float32 in [0, 1], RGBA premultiplied."""
    values = images.float().div_(255)
    if values.shape[1] == 4:
        values[:, :3] *= values[:, 3:]
    return values


def over_white(images: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch 3 h w"]:
    """RGB of premultiplied RGB(A) images on white."""
    return images if images.shape[1] == 3 else images[:, :3] + (1 - images[:, 3:])


def psnr(
    predicted: Float[Tensor, "batch channels h w"], truth: Float[Tensor, "batch channels h w"]
) -> Float[Tensor, "batch"]:
    """PSNR in dB of each image, RGBA on white, predictions clamped to [0, 1]."""
    difference = over_white(predicted).clamp(0, 1) - over_white(truth)
    return -10 * torch.log10(difference.square().flatten(1).mean(1).clamp_min(1e-10))
