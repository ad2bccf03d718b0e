"""The network between the encoded rays and the upsampler, at the resolution of the coarse ray grid."""

from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

WIDER = 2  # channels at half resolution, or hidden in a fused block, for one outside

Convolution = TypeVar("Convolution", nn.Conv2d, nn.ConvTranspose2d)


def residual_init(conv: Convolution, blocks: int) -> Convolution:
    """Shrink a block's last convolution so that `blocks` blocks without normalisation keep the signal's scale."""
    with torch.no_grad():
        conv.weight.mul_(blocks**-0.5)
        if conv.bias is not None:
            conv.bias.zero_()
    return conv


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
        return x + self.layers(x)


def pointwise_block(width: int) -> Residual:
    """MobileR2L's residual block: two 1x1 convolutions, each with BatchNorm, GELU between."""
    return Residual(
        nn.Conv2d(width, width, 1),
        nn.BatchNorm2d(width),
        nn.GELU(),
        nn.Conv2d(width, width, 1),
        nn.BatchNorm2d(width),
    )


def conv3x3_block(width: int, blocks: int) -> Residual:
    """Two 3x3 convolutions, GELU between, no normalisation: rays of one image are neighbours."""
    return Residual(
        nn.Conv2d(width, width, 3, padding=1),
        nn.GELU(),
        residual_init(nn.Conv2d(width, width, 3, padding=1), blocks),
    )


def fused_block(width: int, blocks: int) -> Residual:
    """A 3x3 convolution that widens `WIDER`fold, GELU, a 1x1 one back (Fused-MBConv, Tan and Le 2021, unnormalised).

    Costs a ninth more than `conv3x3_block`, and has twice the hidden features.
    """
    return Residual(
        nn.Conv2d(width, WIDER * width, 3, padding=1),
        nn.GELU(),
        residual_init(nn.Conv2d(WIDER * width, width, 1), blocks),
    )


def depthwise_block(width: int, blocks: int) -> Residual:
    """Depthwise 3x3, then a 1x1 pair that widens twofold (ConvNeXt's order, Liu et al. 2022, no normalisation)."""
    return Residual(
        nn.Conv2d(width, width, 3, padding=1, groups=width),
        nn.Conv2d(width, 2 * width, 1),
        nn.GELU(),
        residual_init(nn.Conv2d(2 * width, width, 1), blocks),
    )


class HalfResolution(nn.Module):
    """x + up(blocks(down(x))), the blocks at half the resolution and `WIDER` times the width (U-Net, Ronneberger 2015).

    A cell there costs what it costs at full resolution and is paid for a quarter of the rays: more weights, and a
    wider view, for the same arithmetic. Where a side is odd, the surplus row or column is cut off.
    """

    def __init__(self, width: int, blocks: int, of: int) -> None:
        """of: how many residual blocks the whole body has."""
        super().__init__()
        wide = WIDER * width
        self.layers = nn.Sequential(
            nn.Conv2d(width, wide, 3, stride=2, padding=1),
            *[conv3x3_block(wide, of) for _ in range(blocks)],
            residual_init(nn.ConvTranspose2d(wide, width, 2, stride=2), of),
        )

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
        return x + self.layers(x)[:, :, : x.shape[2], : x.shape[3]]


class Body(nn.Module):
    """Head convolution, residual blocks, and one skip around all blocks."""

    def __init__(self, head: nn.Module, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.head = head
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch width h w"]:
        features = self.head(x)
        return features + self.blocks(features)


def _pointwise(channels: int, width: int, blocks: int) -> Body:
    head = nn.Sequential(nn.Conv2d(channels, width, 1), nn.GELU())
    return Body(head, [pointwise_block(width) for _ in range(blocks)])


def _conv3x3(channels: int, width: int, blocks: int) -> Body:
    head = nn.Sequential(nn.Conv2d(channels, width, 1), nn.GELU())
    return Body(head, [conv3x3_block(width, blocks) for _ in range(blocks)])


def _depthwise(channels: int, width: int, blocks: int) -> Body:
    head = nn.Sequential(nn.Conv2d(channels, width, 1), nn.GELU())
    return Body(head, [depthwise_block(width, blocks) for _ in range(blocks)])


def _pyramid(channels: int, width: int, blocks: int) -> Body:
    head = nn.Sequential(nn.Conv2d(channels, width, 1), nn.GELU())
    of = blocks + 3
    return Body(head, [conv3x3_block(width, of), HalfResolution(width, blocks, of), conv3x3_block(width, of)])


BODIES: dict[str, Callable[[int, int, int], Body]] = {
    "pointwise": _pointwise,
    "conv3x3": _conv3x3,
    "depthwise": _depthwise,
    "pyramid": _pyramid,
}
"""name -> (encoded channels, width, number of residual blocks) -> Body."""
