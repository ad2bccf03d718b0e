"""The hash-grid NeRF: field, occupancy grid and renderer in one module."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from nelf.data import Views
from nelf.devices import exact
from nelf.kernels.compile import forced_reference, usable
from nelf.kernels.random_numbers import Draws
from nelf.rays import Rays
from nelf.teacher.composite import composite
from nelf.teacher.config import HashGridConfig
from nelf.teacher.directions import CHANNELS, encode_directions
from nelf.teacher.hashgrid import HashGrid
from nelf.teacher.march import Samples, count_samples, march, max_pool
from nelf.teacher.occupancy import OccupancyGrid
from nelf.teacher.protocol import RENDER_CHUNK, RayField, Reduced, Teacher
from nelf.teacher.resample import resample
from nelf.teacher.space import BOX, Space

GEOMETRY = 16  # channels that the density network hands to the colour network; the first is the density's logarithm
LOG_DENSITY_LIMIT = 11.0  # e^11 a half cube is opaque within a thousandth of it
BLOCK = 12  # samples of a ray that a render asks at once
OPAQUE_DEPTH = 80.0  # optical depth through which nothing is seen in float32
OPAQUE = 1e-3  # transmittance below which a render does not follow a ray: a quarter of an 8-bit step
LEAST_WEIGHT = 3e-5  # of a sample whose colour a render asks for
UPDATE_EVERY = 16  # steps between occupancy updates
AT_ONCE = {True: 1 << 18, False: 1 << 16}  # rays that an accelerator renders at once, with its kernels or without


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
        # ReLU in place: a new tensor of so many samples costs more than the operation.
        self.density_network = nn.Sequential(
            nn.Linear(self.grid.channels, config.width), nn.ReLU(True), nn.Linear(config.width, GEOMETRY)
        )
        self.color_network = nn.Sequential(
            nn.Linear(GEOMETRY + CHANNELS, config.width), nn.ReLU(True),
            nn.Linear(config.width, config.width), nn.ReLU(True),
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

    def refresh(self, step: int, draws: Draws) -> None:
        if step % UPDATE_EVERY == 0:
            self.occupancy.update(self.density, draws)

    def meets_something(self, rays: Rays) -> Bool[Tensor, "n"]:
        # A coarse grid, grown by a cell, with steps shorter than a cell: cheap, and never says no wrongly.
        grown = max_pool(self.occupancy.density, 12, stride=4, padding=4)
        middle = torch.full((len(rays),), 0.5, device=rays.origins.device)
        return count_samples(rays, self.space, grown, self.config.steps // 4, middle, 0.0) > 0

    def density(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        """Density per half cube at points of the unit cube."""
        return _density(self.density_network(self.grid(points)))

    def accumulate(self, rays: Rays, draws: Draws | None) -> tuple[Float[Tensor, "n 5"], int | Tensor]:
        with torch.no_grad():
            samples = self._samples(rays, draws)
            directions = encode_directions(rays.directions)
        count = None if samples.found is None else samples.offsets[-1:]
        geometry = self.density_network(self.grid(samples.points, count))
        color = self.color_network(torch.cat([geometry, directions[samples.ray]], dim=1)).sigmoid()
        values = torch.cat([color, samples.depths[:, None]], dim=1)
        out = composite(_density(geometry) * samples.lengths, values, samples.ray, samples.offsets)
        return out, len(samples.ray) if samples.found is None else samples.found

    @torch.no_grad()
    def look(self, rays: Rays) -> Float[Tensor, "n 5"]:
        """See `RayField.look`. Front to back, `BLOCK` samples of each ray at a time: rays that have become opaque are
        not followed any further, and what adds next to nothing is not asked for its colour."""
        samples = self._samples(rays, None)
        directions = encode_directions(rays.directions)
        out, through = rays.origins.new_zeros(len(rays), 5), rays.origins.new_ones(len(rays))
        starts, counts = samples.offsets[:-1], samples.offsets.diff()
        steps = torch.arange(BLOCK, device=starts.device)
        active = counts.nonzero()[:, 0]
        while len(active):
            valid = steps < counts[active][:, None]
            places = valid.flatten().nonzero()[:, 0]
            rows = (starts[active][:, None] + steps).flatten()[places]
            geometry = self.density_network(self.grid(samples.points[rows])).float()
            optical = torch.zeros(valid.shape, device=geometry.device)
            optical.view(-1)[places] = (_density(geometry) * samples.lengths[rows]).clamp_max(OPAQUE_DEPTH)
            depth = optical.cumsum(dim=1)
            weights = through[active][:, None] * torch.exp(optical - depth) * -torch.expm1(-optical)
            weights = weights.flatten()[places]
            seen = (weights > LEAST_WEIGHT).nonzero()[:, 0]
            rows, ray = rows[seen], samples.ray[rows[seen]]
            color = self.color_network(torch.cat([geometry[seen], directions[ray]], dim=1)).float().sigmoid()
            out[:, :4].index_add_(
                0, ray, torch.cat([color, samples.depths[rows][:, None]], dim=1) * weights[seen][:, None]
            )
            through[active] *= torch.exp(-depth[:, -1])
            steps = steps + BLOCK
            going_on = (through[active] > OPAQUE) & (counts[active] > steps[0])
            active = active[going_on.nonzero()[:, 0]]
        out[:, 4] = 1 - through
        return out

    def reduced(self, dtype: torch.dtype) -> Teacher:
        """Where a sample is enters by way of the table, in float32: what the two small networks round does not show."""
        return Reduced(self, dtype)

    @property
    def rays_at_once(self) -> int:
        if self.device.type == "cpu":
            return RENDER_CHUNK
        return AT_ONCE[usable(self.device.type, self.device.index) and not forced_reference()]

    def _samples(self, rays: Rays, draws: Draws | None) -> Samples:
        device = rays.origins.device
        jitter = torch.full((len(rays),), 0.5, device=device) if draws is None else draws.uniform(len(rays)).to(device)
        where = rays, self.space, self.occupancy.density, self.config.steps
        with exact(device):
            if self.config.samples is not None:
                return resample(*where, self.config.samples, jitter)
            threshold = self.occupancy.threshold(2 / self.config.steps, self.config.opacity_threshold)
            return march(*where, jitter, threshold, None if draws is None else self.config.batch)


def _density(geometry: Float[Tensor, "n c"]) -> Float[Tensor, "n"]:
    return geometry[:, 0].clamp_max(LOG_DENSITY_LIMIT).exp()
