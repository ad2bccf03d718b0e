"""From features of the coarse ray grid to the image."""

from collections.abc import Callable

from torch import nn

from nelf.student.body import conv3x3_block, pointwise_block

TRANSPOSED_STRIDES = {8: (2, 2, 2), 12: (2, 2, 3)}
SHUFFLE_STRIDES = {4: (2, 2), 8: (2, 4), 12: (3, 4), 16: (4, 4)}


def _transposed(width: int, channels: int, factor: int) -> nn.Sequential:
    """MobileR2L's: transposed convolutions to 64, 64 and 16 channels, each followed by two residual blocks."""
    layers: list[nn.Module] = []
    for stride, out in zip(TRANSPOSED_STRIDES[factor], (64, 64, 16), strict=True):
        kernel, padding = (4, 1) if stride == 2 else (3, 0)
        layers += [nn.ConvTranspose2d(width, out, kernel, stride, padding), pointwise_block(out), pointwise_block(out)]
        width = out
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 1), nn.Sigmoid())


def _shuffle(width: int, channels: int, factor: int) -> nn.Sequential:
    """Sub-pixel convolution (Shi et al. 2016) to half the body's width, one 3x3 block there, and straight to the image.

    The last convolution gives all pixels of a cell at once, so that no full-resolution layer exists.
    """
    first, last = SHUFFLE_STRIDES[factor]
    middle = max(32, width // 2)
    return nn.Sequential(
        nn.Conv2d(width, middle * first**2, 1),
        nn.PixelShuffle(first),
        nn.GELU(),
        conv3x3_block(middle, 1),
        nn.GELU(),
        nn.Conv2d(middle, channels * last**2, 3, padding=1),
        nn.PixelShuffle(last),
        nn.Sigmoid(),
    )


UPSAMPLERS: dict[str, tuple[Callable[[int, int, int], nn.Sequential], tuple[int, ...]]] = {
    "transposed": (_transposed, tuple(TRANSPOSED_STRIDES)),
    "shuffle": (_shuffle, tuple(SHUFFLE_STRIDES)),
}
"""name -> ((body width, image channels, factor) -> module, factors that it can do)."""
