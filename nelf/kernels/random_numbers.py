"""Random numbers that are hashes: of a key, of how many draws came before, and of a place in the draw.

The same numbers come out on every device, nothing is copied to one, and there is no state to save. Hash: PCG's output
function over its congruential step (O'Neill 2014; as a hash: Jarzynski and Olano 2020).
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nelf import draws

ALL = (1 << 32) - 1  # the reference counts in int64, since PyTorch cannot multiply unsigned 32-bit numbers


class HashedDraws:
    """`nelf.draws.Draws` for accelerators: the same interface, other numbers."""

    def __init__(self, *key: int, rank: int = 0, ranks: int = 1, device: torch.device | str) -> None:
        """key: numbers of at least 0."""
        assert 0 <= rank < ranks
        self.rank, self.ranks, self.device = rank, ranks, torch.device(device)
        seed = np.random.SeedSequence(key).generate_state(1, np.uint32).view(np.int32)[0]
        self.key = torch.full((1,), int(seed), dtype=torch.int32, device=device)
        self.drawn = 0

    def integers(self, count: int, below: int) -> Int[Tensor, "count"]:
        """See `Draws.integers`."""
        return draw_integers(self.key, self._next(), count, self.rank, self.ranks, below)

    def uniform(self, count: int, *shape: int) -> Float[Tensor, "count *shape"]:
        """See `Draws.uniform`."""
        width = int(np.prod(shape))
        if width == 1:
            return draw_uniform(self.key, self._next(), count, self.rank, self.ranks).reshape(count, *shape)
        drawn = [draw_uniform(self.key, self._next(), count, self.rank, self.ranks) for _ in range(width)]
        return torch.stack(drawn, dim=1).reshape(count, *shape)

    def shared(self, count: int, *shape: int) -> Float[Tensor, "count *shape"]:
        """See `Draws.shared`."""
        return draw_uniform(self.key, self._next(), count * int(np.prod(shape)), 0, 1).reshape(count, *shape)

    def permutation(self, count: int) -> Int[Tensor, "count"]:
        """See `Draws.permutation`."""
        return self.shared(count).argsort()

    def _next(self) -> int:
        self.drawn += 1
        return self.drawn


Draws = draws.Draws | HashedDraws
"""On the CPU, and elsewhere."""


def draws_on(device: torch.device, *key: int, rank: int = 0, ranks: int = 1) -> Draws:
    """The random numbers of one step, made where they are used."""
    if device.type == "cpu":
        return draws.Draws(*key, rank=rank, ranks=ranks)
    return HashedDraws(*key, rank=rank, ranks=ranks, device=device)


def draw_uniform(key: Int[Tensor, "1"], draw: int, count: int, first: int, step: int) -> Float[Tensor, "count"]:
    """In [0, 1), 24 bits each, of the places first, first + step, ... of the `draw`th draw from `key`."""
    return (_bits(key, draw, count, first, step) >> 8).float() * 2.0**-24


def draw_integers(
    key: Int[Tensor, "1"], draw: int, count: int, first: int, step: int, below: int
) -> Int[Tensor, "count"]:
    """int64 in [0, below), below at most 2^31; places as in `draw_uniform`."""
    return _bits(key, draw, count, first, step) * below >> 32


def _bits(key: Int[Tensor, "1"], draw: int, count: int, first: int, step: int) -> Int[Tensor, "count"]:
    """int64, 32 random bits each."""
    place = torch.arange(count, device=key.device) * step + first
    return _hash(_hash(_hash(key.long() & ALL) + draw & ALL) + place & ALL)


def _hash(x: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
    state = x * 747796405 + 2891336453 & ALL
    word = (state >> (state >> 28) + 4 ^ state) * 277803737 & ALL
    return word >> 22 ^ word
