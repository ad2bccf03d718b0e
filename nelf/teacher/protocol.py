"""What every teacher can do: render rays."""

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from nelf.rays import Rays, image_rays


@dataclass(frozen=True)
class Rendered:
    """What rays see.

    rgb: colour premultiplied by alpha, [0, 1]. A teacher of scenes without alpha gives alpha 1 everywhere.
    depth: expected depth along the view axis (world units); far where nothing is hit.
    """

    rgb: Float[Tensor, "*rays 3"]
    alpha: Float[Tensor, "*rays"]
    depth: Float[Tensor, "*rays"]


class Teacher(Protocol):
    """Anything that renders rays."""

    def render(self, rays: Rays) -> Rendered:
        """Render rays [n, 3] in evaluation mode, without gradients, in chunks of the teacher's own choosing."""
        ...


def render_image(
    teacher: Teacher, c2w: Float[Tensor, "3 4"], intrinsics: Float[Tensor, "4"], height: int, width: int
) -> Rendered:
    """Render one image: rgb [height, width, 3], alpha and depth [height, width], on the CPU."""
    with torch.no_grad():
        flat = teacher.render(image_rays(c2w, intrinsics, height, width).flatten())
    return Rendered(
        flat.rgb.reshape(height, width, 3).cpu(),
        flat.alpha.reshape(height, width).cpu(),
        flat.depth.reshape(height, width).cpu(),
    )
