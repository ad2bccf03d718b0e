"""The training pixels as one table: colour, alpha and the ray through each."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nelf.data import Views
from nelf.devices import fits
from nelf.rays import Rays, pixel_grid, rays_through


class PixelTable:
    """All pixels of some views, held as uint8 on `device`, or on the CPU where they do not fit there.

    Rays are made on `device` when drawn.
    """

    def __init__(self, views: Views, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        images = views.images()
        colors = images.reshape(-1, images.shape[-1])
        self.colors = colors.to(self.device) if fits(self.device, colors.nbytes) else colors
        self.c2w = views.c2w.to(self.device)
        self.intrinsics = views.intrinsics.to(self.device)
        self.grid = pixel_grid(views.height, views.width, self.device).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.colors)

    def rays(self, index: Int[Tensor, "n"]) -> Rays:
        """Rays through the pixels `index`."""
        view, pixel = index // len(self.grid), index % len(self.grid)
        return rays_through(self.grid[pixel], self.c2w[view], self.intrinsics[view])

    def rgba(self, index: Int[Tensor, "n"]) -> Float[Tensor, "n 4"]:
        """Straight colour and alpha (1 where the images have none) of the pixels `index`."""
        color = self.colors[index.to(self.colors.device)].to(self.device).float() / 255
        return color if color.shape[1] == 4 else torch.cat([color, color.new_ones(len(color), 1)], dim=1)
