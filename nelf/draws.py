"""Random numbers that depend on a key alone, such as (seed, step), and not on how many processes share a batch."""

import numpy as np
import torch
from torch import Tensor


class Draws:
    """The random numbers of one step, for a batch that `ranks` processes share evenly.

    Every process draws for all of them and keeps every `ranks`th: what is drawn is cheap beside what is done with it.
    So N processes with n rays each see together what one process with N * n rays sees. And since each step begins anew
    from its key, there is no state to save.
    """

    def __init__(self, *key: int, rank: int = 0, ranks: int = 1, device: torch.device | str = "cpu") -> None:
        """key: numbers of at least 0. device: where numbers are drawn; the sequences of devices differ."""
        assert 0 <= rank < ranks
        self.rank, self.ranks = rank, ranks
        # Hashed: PyTorch's generator on the CPU looks at 32 bits of its seed only.
        seed = int(np.random.SeedSequence(key).generate_state(1, np.uint32)[0])
        self.generator = torch.Generator(device).manual_seed(seed)

    def integers(self, count: int, below: int) -> Tensor:
        """int64 [count]: this process's of `ranks` times as many, each in [0, below)."""
        whole = torch.randint(below, (count * self.ranks,), generator=self.generator, device=self.generator.device)
        return whole[self.rank :: self.ranks]

    def uniform(self, count: int, *shape: int) -> Tensor:
        """float32 [count, *shape]: this process's of `ranks` times as many, each in [0, 1)."""
        whole = torch.rand((count * self.ranks, *shape), generator=self.generator, device=self.generator.device)
        return whole[self.rank :: self.ranks]

    def shared(self, count: int, *shape: int) -> Tensor:
        """float32 [count, *shape]: in [0, 1), the same for all processes."""
        return torch.rand((count, *shape), generator=self.generator, device=self.generator.device)

    def permutation(self, count: int) -> Tensor:
        """int64 [count]: 0 to count - 1 in random order, the same for all processes."""
        return torch.randperm(count, generator=self.generator, device=self.generator.device)
