"""Rays through pixels. `directions` are NOT normalised: camera-frame z is -1, so a depth is along the view axis."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Rays:
    """A batch of rays in world space: the point at depth t is `origins + t * directions`."""

    origins: Float[Tensor, "*rays 3"]
    directions: Float[Tensor, "*rays 3"]

    def __len__(self) -> int:
        return self.origins.shape[0]

    def __getitem__(self, index: slice | Tensor) -> "Rays":
        return Rays(self.origins[index], self.directions[index])

    def flatten(self) -> "Rays":
        """The same rays as [n, 3]."""
        return Rays(self.origins.reshape(-1, 3), self.directions.reshape(-1, 3))

    def to(self, device: torch.device | str) -> "Rays":
        return Rays(self.origins.to(device), self.directions.to(device))


def pixel_grid(height: int, width: int, device: torch.device | str = "cpu") -> Float[Tensor, "height width 2"]:
    """Coordinates (x, y) of all pixel centres: x = column + 0.5, y = row + 0.5, y downwards."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device) + 0.5, torch.arange(width, device=device) + 0.5, indexing="ij"
    )
    return torch.stack([x, y], dim=-1)


def rays_through(
    pixels: Float[Tensor, "*rays 2"], c2w: Float[Tensor, "*#rays 3 4"], intrinsics: Float[Tensor, "*#rays 4"]
) -> Rays:
    """Rays through image points `pixels` (x right, y down, in pixels) of the given cameras."""
    focal, centre = intrinsics[..., :2], intrinsics[..., 2:]
    plane = (pixels - centre) / focal
    camera = torch.stack([plane[..., 0], -plane[..., 1], -torch.ones_like(plane[..., 0])], dim=-1)
    directions = (c2w[..., :3] @ camera[..., None])[..., 0]
    return Rays(c2w[..., 3].expand_as(directions), directions)


def image_rays(c2w: Float[Tensor, "3 4"], intrinsics: Float[Tensor, "4"], height: int, width: int) -> Rays:
    """Rays through every pixel centre of one image: [height, width, 3]."""
    return rays_through(pixel_grid(height, width, c2w.device), c2w, intrinsics)
