"""Which cells of the unit cube can hold anything: a cached density a cell (Müller et al. 2022, appendix C)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.data import Views, carve
from nelf.teacher.space import Space

UNASKED = 1e-3  # density of a cell that was not asked yet: thin, but not empty
DECAY = 0.95  # a cell's density fades by this much an update, so that one that was emptied is found out
COARSEST_CARVED = 32  # cells across the grid that carving starts with
SHARE = 0.25  # of the cells, asked in one update after the first few


class OccupancyGrid(nn.Module):
    """density: last known upper estimate a cell, per cube unit (see Samples.lengths). Carved cells hold 0 for good.

    allowed: indices of the cells that were not carved. mean: density over these.
    """

    density: Tensor
    allowed: Tensor
    mean: Tensor

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.register_buffer("density", torch.full((resolution,) * 3, UNASKED))
        self.register_buffer("allowed", torch.arange(resolution**3))
        self.register_buffer("mean", torch.tensor(0.0))

    def carve(self, views: Views, space: Space) -> None:
        """Rule out for good every cell over which some view shows nothing (alpha 0). For bounded scenes with alpha.

        Coarse to fine: only what is left of a grid is looked at with half its cell size.
        """
        half_diagonal = float(space.parameters[3]) * 3**0.5
        levels = [self.resolution]
        while levels[0] % 2 == 0 and levels[0] > COARSEST_CARVED:
            levels.insert(0, levels[0] // 2)
        corner = torch.cartesian_prod(*[torch.arange(levels[0])] * 3)
        for resolution in levels:
            if resolution > levels[0]:
                children = torch.cartesian_prod(*[torch.arange(2)] * 3)
                corner = (corner[:, None] * 2 + children).reshape(-1, 3)
            corner = corner[carve(views, space.from_cube((corner + 0.5) / resolution), half_diagonal / resolution)]
        self.allowed = corner @ torch.tensor([self.resolution**2, self.resolution, 1])
        self.density.zero_().view(-1)[self.allowed] = UNASKED

    @torch.no_grad()
    def update(
        self, density: Callable[[Float[Tensor, "n 3"]], Float[Tensor, "n"]], generator: torch.Generator, *, full: bool
    ) -> None:
        """Ask the field at one random point in each cell, or in a random share of the cells."""
        cells, flat = self.allowed, self.density.view(-1)
        if not full:
            count = max(1, int(SHARE * len(cells)))
            cells = cells[torch.randint(len(cells), (count,), generator=generator, device=generator.device)]
        for part in cells.split(1 << 18):
            asked = density(self._cells(part, generator))
            flat[part] = torch.maximum(flat[part] * DECAY, asked)
        self.mean = flat[self.allowed].mean()

    def threshold(self, step: float, opacity: float) -> float:
        """Density below which a sample of length `step` is thinner than `opacity`, or than the average cell."""
        return min(opacity / step, float(self.mean))

    def _cells(self, index: Tensor, generator: torch.Generator) -> Float[Tensor, "n 3"]:
        """Cube coordinates of a random point in each cell."""
        r = self.resolution
        corner = torch.stack([index // (r * r), index // r % r, index % r], dim=-1).float()
        return (corner + torch.rand(corner.shape, generator=generator, device=generator.device)) / r
