"""Convolutional blocks of students. Each can `deploy` itself: see nelf/student/deploy.py."""

from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.student.deploy import CroppedSkip, Layout, Skip, rebuild

WIDER = 2  # factor on the channels at half resolution, or hidden in a fused block

Convolution = TypeVar("Convolution", nn.Conv2d, nn.ConvTranspose2d)


def residual_init(conv: Convolution, blocks: int) -> Convolution:
    """Shrink a block's last convolution, so that `blocks` blocks without normalisation keep the signal's scale."""
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

    def deploy(self, layout: Layout) -> nn.Module:
        """The form for files, in this layout."""
        return Skip(rebuild(self.layers, layout))


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
    """3x3 convolution to `WIDER` times the width, GELU, 1x1 back (Fused-MBConv, Tan and Le 2021, no normalisation).

    Costs a ninth more than `conv3x3_block`, with twice the hidden features.
    """
    return Residual(
        nn.Conv2d(width, WIDER * width, 3, padding=1),
        nn.GELU(),
        residual_init(nn.Conv2d(WIDER * width, width, 1), blocks),
    )


class HalfResolution(nn.Module):
    """x + up(blocks(down(x))), with blocks at half resolution and `WIDER` times the width (U-Net, Ronneberger 2015).

    A position there costs the same as at full resolution, and there are a quarter as many: more weights and a wider
    receptive field for the same arithmetic. If a side is odd, the surplus row or column is cropped.
    """

    def __init__(self, width: int, blocks: int, of: int) -> None:
        """of: number of residual blocks in the whole backbone."""
        super().__init__()
        wide = WIDER * width
        self.layers = nn.Sequential(
            nn.Conv2d(width, wide, 3, stride=2, padding=1),
            *[conv3x3_block(wide, of) for _ in range(blocks)],
            residual_init(nn.ConvTranspose2d(wide, width, 2, stride=2), of),
        )

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
        return x + self.layers(x)[:, :, : x.shape[2], : x.shape[3]]

    def deploy(self, layout: Layout) -> nn.Module:
        """The form for files, in this layout."""
        return CroppedSkip(rebuild(self.layers, layout), layout)


class Body(nn.Module):
    """Head (1x1 convolution, GELU), residual blocks, and one skip around all blocks."""

    def __init__(self, channels: int, width: int, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(channels, width, 1), nn.GELU())
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch width h w"]:
        features = self.head(x)
        return features + self.blocks(features)

    def deploy(self, layout: Layout) -> nn.Module:
        """The form for files, in this layout."""
        return nn.Sequential(rebuild(self.head, layout), Skip(rebuild(self.blocks, layout)))


def unet(channels: int, width: int, blocks: int) -> Body:
    """`blocks` 3x3 blocks at half resolution, between two at full resolution."""
    of = blocks + 3
    return Body(
        channels, width, [conv3x3_block(width, of), HalfResolution(width, blocks, of), conv3x3_block(width, of)]
    )


def unet_reach(blocks: int) -> int:
    """How many places away a place of `unet` still counts. A place at half resolution is two, read one further."""
    return 2 + (4 * blocks + 2) + 2
