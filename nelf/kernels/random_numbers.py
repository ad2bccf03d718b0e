"""Random numbers that are hashes: of a key, of how many draws came before, and of a place in the draw.

The same numbers come out on every device, nothing is copied to one, and there is no state to save. Hash: PCG's output
function over its congruential step (O'Neill 2014; as a hash: Jarzynski and Olano 2020).
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nelf.core import optimization
from nelf.kernels.compile import constants, launch
from nelf.kernels.dispatch import GPU, find, kernel

MOST = (1 << 31) - 1  # what a 32-bit number with a sign holds
LOW_BITS = 20
ALL = (1 << 32) - 1  # the reference counts in int64, since PyTorch cannot multiply unsigned 32-bit numbers


class HashedRandom:
    """`nelf.core.optimization.Draws` for accelerators: the same interface, other numbers."""

    def __init__(self, *key: int, rank: int = 0, ranks: int = 1, device: torch.device | str) -> None:
        """key: numbers of at least 0."""
        assert 0 <= rank < ranks
        self.rank, self.ranks, self.device = rank, ranks, torch.device(device)
        seed = np.random.SeedSequence(key).generate_state(1, np.uint32).view(np.int32)[0]
        self.key = torch.full((1,), int(seed), dtype=torch.int32, device=device)
        self.drawn = 0

    def integers(self, count: int, below: int) -> Int[Tensor, "count"]:
        """See `StepRandom.integers`."""
        if below > MOST:  # in two parts, and around; of 2^31 numbers none is likelier than another by more than 5e-4
            high = self.integers(count, (below >> LOW_BITS) + 1)
            return ((high << LOW_BITS) + self.integers(count, 1 << LOW_BITS)) % below
        form = find("draw_integers", self.device, draw_integers_reference)
        return form(self.key, (self._next(), self.rank, self.ranks, 1, count, below)).long()

    def uniform(self, count: int, *shape: int) -> Float[Tensor, "count *shape"]:
        """See `StepRandom.uniform`."""
        return self._uniform(self.rank, self.ranks, count, *shape)

    def shared(self, count: int, *shape: int) -> Float[Tensor, "count *shape"]:
        """See `StepRandom.shared`."""
        return self._uniform(0, 1, count, *shape)

    def permutation(self, count: int) -> Int[Tensor, "count"]:
        """See `StepRandom.permutation`."""
        return self.shared(count).argsort()

    def _uniform(self, first: int, step: int, count: int, *shape: int) -> Tensor:
        width = math.prod(shape)
        form = find("draw_uniform", self.device, draw_uniform_reference)
        return form(self.key, (self._next(), first, step, width, count * width, 0)).reshape(count, *shape)

    def _next(self) -> int:
        self.drawn += 1
        return self.drawn


StepRandom = optimization.StepRandom | HashedRandom
"""On the CPU, and elsewhere."""


def draws_on(device: torch.device, *key: int, rank: int = 0, ranks: int = 1) -> StepRandom:
    """The random numbers of one step, made where they are used."""
    if device.type == "cpu":
        return optimization.StepRandom(*key, rank=rank, ranks=ranks)
    return HashedRandom(*key, rank=rank, ranks=ranks, device=device)


What = tuple[int, int, int, int, int, int]
"""draw: number of the draw from its key. first, step: the rows that are wanted, of `width` numbers each. count: of all
numbers. below: exclusive limit of whole numbers, at most `MOST`."""


def draw_uniform_reference(key: Int[Tensor, "1"], what: What) -> Float[Tensor, "count"]:
    """In [0, 1), 24 bits each."""
    return (_bits(key, what) >> 8).float() * 2.0**-24


def draw_integers_reference(key: Int[Tensor, "1"], what: What) -> Int[Tensor, "count"]:
    """In [0, below)."""
    return (_bits(key, what) * what[5] >> 32).int()


@kernel("draw_uniform", GPU)
def _draw_uniform(key: Tensor, what: What) -> Tensor:
    out = torch.empty(what[4], device=key.device)
    launch("draw_uniform", what[4], {"RANDOM": 1}, key, constants(what, key.device), out)
    return out


@kernel("draw_integers", GPU)
def _draw_integers(key: Tensor, what: What) -> Tensor:
    out = torch.empty(what[4], dtype=torch.int32, device=key.device)
    launch("draw_integers", what[4], {"RANDOM": 1}, key, constants(what, key.device), out)
    return out


def _bits(key: Int[Tensor, "1"], what: What) -> Int[Tensor, "count"]:
    """int64, 32 random bits each."""
    draw, first, step, width, count, _ = what
    number = torch.arange(count, device=key.device)
    place = (number // width * step + first) * width + number % width
    return _hash(_hash(_hash(key.long() & ALL) + draw & ALL) + place & ALL)


def _hash(x: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
    state = x * 747796405 + 2891336453 & ALL
    word = (state >> (state >> 28) + 4 ^ state) * 277803737 & ALL
    return word >> 22 ^ word
