"""Hash-grid NeRF (Müller et al. 2022): the field, and an occupancy grid of its densities that guides sampling."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nelf.core.cameras import Rays
from nelf.core.devices import exact
from nelf.kernels.compile import forced_reference, usable
from nelf.kernels.compositing import composite, median_depths
from nelf.kernels.hash_encoding import CHANNELS, HashGrid, encode_directions
from nelf.kernels.importance_sampling import resample
from nelf.kernels.random_numbers import StepRandom
from nelf.kernels.ray_marching import count_samples, march, max_pool
from nelf.kernels.samples import Samples
from nelf.kernels.unit_cube import BOX, UnitCubeMapping
from nelf.scene import Views, carve
from nelf.teacher.config import InstantNGPConfig
from nelf.teacher.field import RENDER_CHUNK, RadianceField, ReducedPrecision, Teacher

UNASKED = 1.0  # density of a cell not yet sampled: that of an untrained field
DECAY = 0.95  # of a cell's density per update, so that the grid notices a cell that became empty
COARSEST_CARVED = 32  # cells across the first grid of carving
CELLS_AT_ONCE = 1 << 16  # cells per update
MEANS_AT_ONCE = 1 << 14  # the same where training samples update most cells anyway
MEAN_SHARE = 0.5  # of the new value in a cell's mean
SEEN_SHARE = 0.1  # the same for each training sample in the cell


class OccupancyGrid(nn.Module):
    """Occupancy grid. density: of each cell, per cube unit (see Samples.lengths); 0 in carved cells.

    Without `means` it is an upper estimate, which tells the empty cells. With `means` it is a running mean, which tells
    where a ray most likely ends. An upper estimate is too slow for that: it keeps fog for thousands of steps.

    allowed: indices of the cells that were not carved, in order of updates. cursor: the next one to update.
    mean: density averaged over all allowed cells.
    """

    density: Tensor
    allowed: Tensor
    mean: Tensor
    cursor: Tensor

    def __init__(self, resolution: int, *, means: bool = False) -> None:
        super().__init__()
        self.resolution = resolution
        self.means = means
        self.register_buffer("density", torch.full((resolution,) * 3, UNASKED))
        self.register_buffer("allowed", torch.arange(resolution**3))
        self.register_buffer("mean", torch.tensor(UNASKED))
        self.register_buffer("cursor", torch.tensor(resolution**3))
        self._turn: int | None = None  # value of `cursor`, if the host knows it

    def carve(self, views: Views, space: UnitCubeMapping) -> None:
        """Remove every cell over which some view shows only alpha 0. For bounded scenes with alpha.

        Coarse to fine: only the remaining cells are split in half.
        """
        half_diagonal = float(space.parameters[3]) * 3**0.5
        levels = [self.resolution]
        while levels[0] % 2 == 0 and levels[0] > COARSEST_CARVED:
            levels.insert(0, levels[0] // 2)
        device = self.density.device
        corner = _corner(torch.arange(levels[0] ** 3, device=device), levels[0])
        for resolution in levels:
            if resolution > levels[0]:
                children = _corner(torch.arange(8, device=device), 2)
                corner = (corner[:, None] * 2 + children).reshape(-1, 3)
            corner = corner[carve(views, space.from_cube((corner + 0.5) / resolution), half_diagonal / resolution)]
        self.allowed = (corner[:, 0] * self.resolution + corner[:, 1]) * self.resolution + corner[:, 2]
        self.density.zero_().view(-1)[self.allowed] = UNASKED
        self._go_to(len(self.allowed))

    @torch.no_grad()
    def update(self, density: Callable[[Float[Tensor, "n 3"]], Float[Tensor, "n"]], draws: StepRandom) -> None:
        """Evaluate the field at a random point in each of the next cells. Cells take turns."""
        begin = int(self.cursor) if self._turn is None else self._turn
        if begin >= len(self.allowed):
            self.allowed = self.allowed[draws.permutation(len(self.allowed)).to(self.allowed.device)]
            begin = 0
        count = MEANS_AT_ONCE if self.means else CELLS_AT_ONCE
        flat, turn = self.density.view(-1), self.allowed[begin : begin + count]
        self._go_to(begin + count)
        asked, before = density(self._random_points(turn, draws)), flat[turn]
        flat[turn] = before.lerp(asked, MEAN_SHARE) if self.means else torch.maximum(before * DECAY, asked)
        self.mean = flat[self.allowed].mean()

    @torch.no_grad()
    def observe(
        self,
        points: Float[Tensor, "n 3"],
        density: Float[Tensor, "n"],
        valid: Bool[Tensor, "n"],
        total: Callable[[Tensor], Tensor],
    ) -> None:
        """Take training samples into the means of cells that were not carved. The order of the samples does not matter.

        valid: which rows are samples. total: sums over all processes.
        """
        cell = (points.nan_to_num() * self.resolution).long().clamp(0, self.resolution - 1)
        index = (cell[:, 0] * self.resolution + cell[:, 1]) * self.resolution + cell[:, 2]
        valid = valid & density.isfinite() & (self.density.view(-1)[index] > 0)
        sums = self.density.new_zeros(2, self.density.numel())
        sums[0].index_add_(0, index, torch.where(valid, density, 0.0))
        sums[1].index_add_(0, index, valid.to(sums.dtype))
        seen, count = total(sums)
        flat = self.density.view(-1)
        # An accelerator would have to wait until the host knows which cells were seen; it takes them all.
        cells = count.nonzero()[:, 0] if flat.device.type == "cpu" else slice(None)
        seen, count = seen[cells], count[cells]
        flat[cells] = flat[cells].lerp(seen / count.clamp_min(1), 1 - (1 - SEEN_SHARE) ** count)

    def threshold(self, step: float, opacity: float) -> Float[Tensor, ""]:
        """Density below which a sample of length `step` has less than `opacity`, or less than half the mean density."""
        return (self.mean / 2).clamp_max(opacity / step)

    def _go_to(self, cursor: int) -> None:
        """The host counts itself: reading `cursor` would wait for the device."""
        self._turn = cursor
        self.cursor.fill_(cursor)

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:
        super()._load_from_state_dict(*arguments, **named)
        self._turn = None

    def _random_points(self, index: Tensor, draws: StepRandom) -> Float[Tensor, "n 3"]:
        """Cube coordinates of a random point in each cell."""
        corner = _corner(index, self.resolution).float()
        return (corner + draws.shared(len(corner), 3).to(corner.device)) / self.resolution


def _corner(index: Int[Tensor, "n"], resolution: int) -> Int[Tensor, "n 3"]:
    """Integer coordinates of cells, from their index in the flat grid."""
    r = resolution
    return torch.stack([index // (r * r), index // r % r, index % r], dim=-1)


GEOMETRY = 16  # channels from the density network to the colour network; the first is the log density
LOG_DENSITY_LIMIT = 11.0  # at e^11, a thousandth of half the cube is opaque
BLOCK = 12  # samples per ray and pass of a render
OPAQUE_DEPTH = 80.0  # optical depth at which float32 transmittance is 0
OPAQUE = 1e-3  # transmittance at which a render stops a ray: a quarter of an 8-bit step
LEAST_WEIGHT = 3e-5  # smallest weight of a sample for which a render computes colour
UPDATE_EVERY = 16  # steps between occupancy updates
LARGE = 1 << 23  # values: a smaller table stays in a CPU's cache, and a step works on all of it as fast
AT_ONCE = {True: 1 << 18, False: 1 << 16}  # rays per chunk on an accelerator, with its kernels or without


class HashGridNeRF(RadianceField):
    """Density and colour in the unit cube, rendered along rays.

    Density is per half side of the cube, so it does not depend on the scene's units.
    """

    def __init__(
        self,
        config: InstantNGPConfig,
        space: UnitCubeMapping,
        *,
        opaque: bool,
        background: Float[Tensor, "3"] | None = None,
    ) -> None:
        super().__init__(space, opaque=opaque, background=background)
        self.config = config
        self.grid = HashGrid(config.num_levels, config.log2_hashmap_size, config.base_resolution, config.max_resolution)
        # ReLU in place: with so many samples, a new tensor costs more than the operation.
        self.density_network = nn.Sequential(
            nn.Linear(self.grid.channels, config.width), nn.ReLU(True), nn.Linear(config.width, GEOMETRY)
        )
        self.color_network = nn.Sequential(
            nn.Linear(GEOMETRY + CHANNELS, config.width), nn.ReLU(True),
            nn.Linear(config.width, config.width), nn.ReLU(True),
            nn.Linear(config.width, 3),
        )  # fmt: skip
        self.occupancy = OccupancyGrid(config.occupancy_resolution, means=config.importance_samples is not None)
        self._seen: tuple[Samples, Tensor] | None = None  # samples of the last step, and their densities

    def parameter_groups(self) -> list[dict[str, Any]]:
        networks = [*self.density_network.parameters(), *self.color_network.parameters()]
        return [
            {"params": [self.grid.table], "weight_decay": self.config.feature_decay},
            {"params": networks, "weight_decay": 1e-6},
        ]

    def tables(self) -> list[Tensor]:
        return [self.grid.table] if self.grid.table.numel() >= LARGE else []

    def on_training_views(self, views: Views) -> None:
        """Carve the occupancy grid with the alpha of a bounded object's views."""
        if self.space.shape == BOX and not self.opaque:
            self.occupancy.carve(views, self.space)

    def before_step(self, step: int, draws: StepRandom) -> None:
        if step % UPDATE_EVERY == 0:
            self.occupancy.update(self.density, draws)

    def after_step(self, total: Callable[[Tensor], Tensor]) -> None:
        if self.occupancy.means and self._seen is not None:
            samples, density = self._seen
            rows = torch.arange(len(density), device=density.device)
            self.occupancy.observe(samples.points, density, rows < samples.offsets[-1], total)
        self._seen = None

    def hits_occupied(self, rays: Rays) -> Bool[Tensor, "n"]:
        # A coarse grid, dilated by a cell, with steps shorter than a cell: cheap, and without false negatives.
        grown = max_pool(self.occupancy.density, 12, stride=4, padding=4)
        middle = torch.full((len(rays),), 0.5, device=rays.origins.device)
        return count_samples(rays, self.space, grown, self.config.march_steps // 4, middle, 0.0) > 0

    def density(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        """Density per half cube side at points of the unit cube."""
        return _density(self.density_network(self.grid(points)))

    def render_train(self, rays: Rays, draws: StepRandom | None) -> tuple[Float[Tensor, "n 4"], int | Tensor]:
        with torch.no_grad():
            samples = self._samples(rays, draws)
        out, density = self._blended(rays, samples)
        if draws is not None:
            self._seen = samples, density
        return out, len(samples.ray) if samples.found is None else samples.found

    def _blended(self, rays: Rays, samples: Samples) -> tuple[Float[Tensor, "n 4"], Float[Tensor, "m"]]:
        """Premultiplied colour and alpha of rays; and the samples' densities, without gradients."""
        directions = encode_directions(rays.directions)
        count = None if samples.found is None else samples.offsets[-1:]
        geometry = self.density_network(self.grid(samples.points, count)).float()
        values = self._values(geometry, directions, samples.ray)
        density = _density(geometry)
        out = composite(density * samples.lengths, values, samples.ray, samples.offsets)
        return self._colors(out, directions), density.detach()

    @torch.no_grad()
    def render_eval(self, rays: Rays) -> Float[Tensor, "n 5"]:
        """See `RadianceField.render_eval`. Front to back, `BLOCK` samples per ray at a time. Opaque rays stop, and
        samples with almost no weight get no colour. Samples drawn by their weight are all needed, and rendered at once.
        """
        samples = self._samples(rays, None)
        if self.config.importance_samples is not None:
            out, density = self._blended(rays, samples)
            return self._with_depth(out, density * samples.lengths, samples)
        directions = encode_directions(rays.directions)
        channels = GEOMETRY - 1 if self.config.deferred_color else 3
        out, through = rays.origins.new_zeros(len(rays), channels + 1), rays.origins.new_ones(len(rays))
        stopping = torch.zeros_like(samples.lengths)
        starts, counts = samples.offsets[:-1], samples.offsets.diff()
        steps = torch.arange(BLOCK, device=starts.device)
        active = counts.nonzero()[:, 0]
        while len(active):
            valid = steps < counts[active][:, None]
            places = valid.flatten().nonzero()[:, 0]
            rows = (starts[active][:, None] + steps).flatten()[places]
            geometry = self.density_network(self.grid(samples.points[rows])).float()
            stopping[rows] = (_density(geometry) * samples.lengths[rows]).clamp_max(OPAQUE_DEPTH)
            optical = torch.zeros(valid.shape, device=geometry.device)
            optical.view(-1)[places] = stopping[rows]
            depth = optical.cumsum(dim=1)
            weights = through[active][:, None] * torch.exp(optical - depth) * -torch.expm1(-optical)
            weights = weights.flatten()[places]
            seen = (weights > LEAST_WEIGHT).nonzero()[:, 0]
            rows, ray = rows[seen], samples.ray[rows[seen]]
            values = self._values(geometry[seen], directions, ray)
            out[:, :-1].index_add_(0, ray, values * weights[seen][:, None])
            through[active] *= torch.exp(-depth[:, -1])
            steps = steps + BLOCK
            going_on = (through[active] > OPAQUE) & (counts[active] > steps[0])
            active = active[going_on.nonzero()[:, 0]]
        out[:, -1] = 1 - through
        return self._with_depth(self._colors(out, directions), stopping, samples)

    def _with_depth(
        self, out: Float[Tensor, "n 4"], optical: Float[Tensor, "m"], samples: Samples
    ) -> Float[Tensor, "n 5"]:
        depth = median_depths(optical, samples.depths, samples.ray, samples.offsets)
        return torch.cat([out, depth[:, None]], dim=1)

    def _values(
        self, geometry: Float[Tensor, "m g"], directions: Float[Tensor, "n d"], ray: Int[Tensor, "m"]
    ) -> Float[Tensor, "m c"]:
        """What is blended along a ray: the colours of its samples or, with deferred colour, their features."""
        return geometry[:, 1:] if self.config.deferred_color else self._color(geometry, directions[ray])

    def _colors(self, out: Float[Tensor, "n c"], directions: Float[Tensor, "n d"]) -> Float[Tensor, "n 4"]:
        """Premultiplied colour and alpha of rays, from what was blended along them."""
        if not self.config.deferred_color:
            return out
        features, alpha = out[:, :-1], out[:, -1:]
        return torch.cat([alpha * self._color(torch.cat([alpha, features], dim=1), directions), alpha], dim=1)

    def _color(self, features: Float[Tensor, "m g"], directions: Float[Tensor, "m d"]) -> Float[Tensor, "m 3"]:
        color: Tensor = self.color_network(torch.cat([features, directions], dim=1))
        return color.float().sigmoid()

    def with_precision(self, dtype: torch.dtype) -> Teacher:
        """Positions enter through the table, in float32. Rounding in the two small networks does not show."""
        return ReducedPrecision(self, dtype)

    @property
    def rays_at_once(self) -> int:
        if self.device.type == "cpu":
            return RENDER_CHUNK
        rays = AT_ONCE[usable(self.device.type, self.device.index) and not forced_reference()]
        return max(1, rays * BLOCK // self._of_renders) if self._of_renders is not None else rays

    @property
    def _of_renders(self) -> int | None:
        """Samples of each ray of a render, if their number is fixed."""
        return self.config.importance_samples and (self.config.render_samples or self.config.importance_samples)

    def _samples(self, rays: Rays, draws: StepRandom | None) -> Samples:
        device = rays.origins.device
        jitter = torch.full((len(rays),), 0.5, device=device) if draws is None else draws.uniform(len(rays)).to(device)
        where = rays, self.space, self.occupancy.density, self.config.march_steps
        with exact(device):
            if (count := self.config.importance_samples if draws is not None else self._of_renders) is not None:
                return resample(*where, count, jitter)
            threshold = self.occupancy.threshold(2 / self.config.march_steps, self.config.opacity_threshold)
            return march(*where, jitter, threshold, None if draws is None else self.config.samples_per_step)


def _density(geometry: Float[Tensor, "n c"]) -> Float[Tensor, "n"]:
    return geometry[:, 0].clamp_max(LOG_DENSITY_LIMIT).exp()
