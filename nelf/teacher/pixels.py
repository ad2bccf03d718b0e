"""The training pixels as one table: colour, alpha and the ray through each."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nelf.data import Views
from nelf.rays import Rays, pixel_grid, rays_through


class PixelTable:
    """All pixels of some views, held as uint8. Rays are made when drawn."""

    def __init__(self, views: Views) -> None:
        images = views.images()
        self.colors = images.reshape(-1, images.shape[-1])
        self.c2w = views.c2w
        self.intrinsics = views.intrinsics
        self.grid = pixel_grid(views.height, views.width).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.colors)

    def rays(self, index: Int[Tensor, "n"]) -> Rays:
        """Rays through the pixels `index`."""
        view, pixel = index // len(self.grid), index % len(self.grid)
        return rays_through(self.grid[pixel], self.c2w[view], self.intrinsics[view])

    def rgba(self, index: Int[Tensor, "n"]) -> Float[Tensor, "n 4"]:
        """Straight colour and alpha (1 where the images have none) of the pixels `index`."""
        color = self.colors[index].float() / 255
        return color if color.shape[1] == 4 else torch.cat([color, torch.ones(len(color), 1)], dim=1)
