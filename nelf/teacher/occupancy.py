"""Which cells of the unit cube can hold anything: a cached density a cell (Müller et al. 2022, appendix C)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.data import Views, carve
from nelf.teacher.space import Space

UNASKED = 1.0  # density of a cell that was not asked yet: what an untrained field says
DECAY = 0.95  # a cell's density fades by this much an update, so that one that was emptied is found out
COARSEST_CARVED = 32  # cells across the grid that carving starts with
CELLS_AT_ONCE = 1 << 16  # asked in one update


class OccupancyGrid(nn.Module):
    """density: last known upper estimate a cell, per cube unit (see Samples.lengths). Carved cells hold 0 for good.

    allowed: indices of the cells that were not carved, in the order in which they are asked. cursor: whose turn it is.
    mean: density over all allowed cells.
    """

    density: Tensor
    allowed: Tensor
    mean: Tensor
    cursor: Tensor

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.register_buffer("density", torch.full((resolution,) * 3, UNASKED))
        self.register_buffer("allowed", torch.arange(resolution**3))
        self.register_buffer("mean", torch.tensor(UNASKED))
        self.register_buffer("cursor", torch.tensor(resolution**3))

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
        self.cursor.fill_(len(self.allowed))

    @torch.no_grad()
    def update(self, density: Callable[[Float[Tensor, "n 3"]], Float[Tensor, "n"]], generator: torch.Generator) -> None:
        """Ask the field at one random point in each of the next cells; all have a turn before any has its second."""
        if int(self.cursor) >= len(self.allowed):
            self.allowed = self.allowed[torch.randperm(len(self.allowed), generator=generator).to(self.allowed.device)]
            self.cursor.zero_()
        flat, turn = self.density.view(-1), self.allowed[int(self.cursor) : int(self.cursor) + CELLS_AT_ONCE]
        self.cursor += CELLS_AT_ONCE
        asked = density(self._random_points(turn, generator))
        flat[turn] = torch.maximum(flat[turn] * DECAY, asked)
        self.mean = flat[self.allowed].mean()

    def threshold(self, step: float, opacity: float) -> float:
        """Density below which a sample of length `step` is thinner than `opacity`, or than half the average cell."""
        return min(opacity / step, float(self.mean) / 2)

    def _random_points(self, index: Tensor, generator: torch.Generator) -> Float[Tensor, "n 3"]:
        """Cube coordinates of a random point in each cell."""
        r = self.resolution
        corner = torch.stack([index // (r * r), index // r % r, index % r], dim=-1).float()
        return (corner + torch.rand(corner.shape, generator=generator).to(corner.device)) / r
