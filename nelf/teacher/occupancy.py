"""Which cells of the unit cube can hold anything: a cached density a cell (Müller et al. 2022, appendix C)."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nelf.data import Views, carve
from nelf.kernels.random_numbers import Draws
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
        self._turn: int | None = None  # what `cursor` says, where the host knows it

    def carve(self, views: Views, space: Space) -> None:
        """Rule out for good every cell over which some view shows nothing (alpha 0). For bounded scenes with alpha.

        Coarse to fine: only what is left of a grid is looked at with half its cell size.
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
    def update(self, density: Callable[[Float[Tensor, "n 3"]], Float[Tensor, "n"]], draws: Draws) -> None:
        """Ask the field at one random point in each of the next cells; all have a turn before any has its second."""
        begin = int(self.cursor) if self._turn is None else self._turn
        if begin >= len(self.allowed):
            self.allowed = self.allowed[draws.permutation(len(self.allowed)).to(self.allowed.device)]
            begin = 0
        flat, turn = self.density.view(-1), self.allowed[begin : begin + CELLS_AT_ONCE]
        self._go_to(begin + CELLS_AT_ONCE)
        asked = density(self._random_points(turn, draws))
        flat[turn] = torch.maximum(flat[turn] * DECAY, asked)
        self.mean = flat[self.allowed].mean()

    def threshold(self, step: float, opacity: float) -> Float[Tensor, ""]:
        """Density below which a sample of length `step` is thinner than `opacity`, or than half the average cell."""
        return (self.mean / 2).clamp_max(opacity / step)

    def _go_to(self, cursor: int) -> None:
        """The host keeps count itself: to read `cursor` it would have to wait for the device."""
        self._turn = cursor
        self.cursor.fill_(cursor)

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:
        super()._load_from_state_dict(*arguments, **named)
        self._turn = None

    def _random_points(self, index: Tensor, draws: Draws) -> Float[Tensor, "n 3"]:
        """Cube coordinates of a random point in each cell."""
        corner = _corner(index, self.resolution).float()
        return (corner + draws.shared(len(corner), 3).to(corner.device)) / self.resolution


def _corner(index: Int[Tensor, "n"], resolution: int) -> Int[Tensor, "n 3"]:
    """Whole-number coordinates of cells, from their place in a flat grid."""
    r = resolution
    return torch.stack([index // (r * r), index // r % r, index % r], dim=-1)
