"""The rays of the three levels, and the points on them at which tables are read.

A ray is six numbers: its origin less the frame's center, and its direction, unnormalised. Both are affine in the pixel.
"""

from jaxtyping import Float
from torch import Tensor

from nelf.student.config import Mapping
from nelf.student.frame import Frame

COARSE, MIDDLE = 8, 4
"""Image pixels of a coarse and of a middle ray, in each direction."""

DEPTHS = 32  # depths of which the middle level's is a mean
CORRECTION = 0.05  # of the way from near to far that an output of 1 moves a cell's depth


def spread(reach: float, count: int) -> list[float]:
    """`count` offsets, evenly from -reach to reach."""
    return [reach * (2 * i / (count - 1) - 1) for i in range(count)] if count > 1 else [0.0]


def points_on(
    frame: Frame, rays: Float[Tensor, "batch rows columns 6"], fractions: Float[Tensor, "*#shape samples"]
) -> Float[Tensor, "batch rows columns samples 3"]:
    """Normalised points at `fractions` of the way from near to far.

    In disparity they are held to 0..1: beyond the far end lies infinity.
    """
    if frame.mapping == Mapping.DISPARITY:
        fractions = fractions.clamp(0, 1)
    return frame.points_at(rays[..., None, :3], rays[..., None, 3:], fractions[..., None])


def means(rays: Float[Tensor, "batch rows columns 6"], size: int) -> Float[Tensor, "batch rows2 columns2 6"]:
    """Of each `size` x `size` rays, the one in their middle."""
    if size == 1:
        return rays
    batch, rows, columns, numbers = rays.shape
    return rays.view(batch, rows // size, size, columns // size, size, numbers).mean(dim=(2, 4))
