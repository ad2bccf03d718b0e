"""The hash-grid NeRF: field, occupancy grid and renderer in one module."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from nelf.data import Views
from nelf.rays import Rays
from nelf.teacher.composite import composite
from nelf.teacher.config import HashGridConfig
from nelf.teacher.directions import CHANNELS, encode_directions
from nelf.teacher.hashgrid import HashGrid
from nelf.teacher.march import march
from nelf.teacher.occupancy import OccupancyGrid
from nelf.teacher.protocol import RayField
from nelf.teacher.space import BOX, Space

GEOMETRY = 16  # channels that the density network hands to the colour network; the first is the density's logarithm
LOG_DENSITY_LIMIT = 11.0  # e^11 a half cube is opaque within a thousandth of it
UPDATE_EVERY = 16  # steps between occupancy updates


class HashGridNeRF(RayField):
    """Density and colour at points of the unit cube, rendered along rays.

    Density is per half side of the cube, so that it does not depend on the scene's units.
    """

    def __init__(
        self, config: HashGridConfig, space: Space, *, opaque: bool, background: Float[Tensor, "3"] | None = None
    ) -> None:
        super().__init__(space, opaque=opaque, background=background)
        self.config = config
        self.grid = HashGrid(config.levels, config.log2_entries, config.coarsest, config.finest)
        self.density_network = nn.Sequential(
            nn.Linear(self.grid.channels, config.width), nn.ReLU(), nn.Linear(config.width, GEOMETRY)
        )
        self.color_network = nn.Sequential(
            nn.Linear(GEOMETRY + CHANNELS, config.width), nn.ReLU(),
            nn.Linear(config.width, config.width), nn.ReLU(),
            nn.Linear(config.width, 3),
        )  # fmt: skip
        self.occupancy = OccupancyGrid(config.occupancy)

    def parameter_groups(self) -> list[dict[str, Any]]:
        networks = [*self.density_network.parameters(), *self.color_network.parameters()]
        return [{"params": [self.grid.table]}, {"params": networks, "weight_decay": 1e-6}]

    def look_at_views(self, views: Views) -> None:
        """Rule out what the alpha of a bounded object's views shows to be empty."""
        if self.space.shape == BOX and not self.opaque:
            self.occupancy.carve(views, self.space)

    def refresh(self, step: int, generator: torch.Generator) -> None:
        if step % UPDATE_EVERY == 0:
            self.occupancy.update(self.density, generator)

    def meets_something(self, rays: Rays) -> Bool[Tensor, "n"]:
        # A coarse grid, grown by a cell, with steps shorter than a cell: cheap, and never says no wrongly.
        grown = torch.nn.functional.max_pool3d(self.occupancy.density[None], 12, stride=4, padding=4)[0]
        middle = torch.full((len(rays),), 0.5, device=rays.origins.device)
        return march(rays, self.space, grown, self.config.steps // 4, middle, 0.0).offsets.diff() > 0

    def density(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        """Density per half cube at points of the unit cube."""
        return _density(self.density_network(self.grid(points)))

    def accumulate(self, rays: Rays, generator: torch.Generator | None) -> tuple[Float[Tensor, "n 5"], int]:
        with torch.no_grad():
            count = len(rays)
            jitter = torch.full((count,), 0.5) if generator is None else torch.rand(count, generator=generator)
            samples = march(
                rays, self.space, self.occupancy.density, self.config.steps, jitter.to(rays.origins.device),
                self.occupancy.threshold(2 / self.config.steps, self.config.opacity_threshold),
            )  # fmt: skip
            directions = encode_directions(rays.directions)
        if len(samples.ray) == 0:
            return rays.origins.new_zeros(count, 5), 0
        geometry = self.density_network(self.grid(samples.points))
        color = self.color_network(torch.cat([geometry, directions[samples.ray]], dim=1)).sigmoid()
        values = torch.cat([color, samples.depths[:, None]], dim=1)
        return composite(_density(geometry) * samples.lengths, values, samples.ray, samples.offsets), len(samples.ray)


def _density(geometry: Float[Tensor, "n c"]) -> Float[Tensor, "n"]:
    return geometry[:, 0].clamp_max(LOG_DENSITY_LIMIT).exp()
