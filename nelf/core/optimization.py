"""What every training needs: seeded random numbers, recovery from divergence, losses read without waiting."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nelf.core.errors import NelfError


class StepRandom:
    """The random numbers of one step, for a batch that `ranks` processes share evenly.

    Every process draws for all and keeps every `ranks`th: drawing is cheap compared with using the numbers. So N
    processes with n rays each see together what one process with N * n rays sees. Each step starts from its own key, so
    there is no state to save.
    """

    def __init__(self, *key: int, rank: int = 0, ranks: int = 1, device: torch.device | str = "cpu") -> None:
        """key: numbers of at least 0. device: where numbers are drawn; devices give different sequences."""
        assert 0 <= rank < ranks
        self.rank, self.ranks = rank, ranks
        # Hashed: PyTorch's CPU generator uses only 32 bits of its seed.
        seed = int(np.random.SeedSequence(key).generate_state(1, np.uint32)[0])
        self.generator = torch.Generator(device).manual_seed(seed)

    def integers(self, count: int, below: int) -> Tensor:
        """int64 [count], in [0, below): this process's share of `ranks` times as many."""
        whole = torch.randint(below, (count * self.ranks,), generator=self.generator, device=self.generator.device)
        return whole[self.rank :: self.ranks]

    def uniform(self, count: int, *shape: int) -> Tensor:
        """float32 [count, *shape], in [0, 1): this process's share of `ranks` times as many."""
        whole = torch.rand((count * self.ranks, *shape), generator=self.generator, device=self.generator.device)
        return whole[self.rank :: self.ranks]

    def shared(self, count: int, *shape: int) -> Tensor:
        """float32 [count, *shape], in [0, 1), the same for all processes."""
        return torch.rand((count, *shape), generator=self.generator, device=self.generator.device)

    def permutation(self, count: int) -> Tensor:
        """int64 [count]: 0 to count - 1 in random order, the same for all processes."""
        return torch.randperm(count, generator=self.generator, device=self.generator.device)


BAD_STEPS = 10  # failures in a row before going back
SNAPSHOT_EVERY = 200  # good steps between snapshots
SMALLEST_RATE = 2.0**-10  # if so many halvings do not help, the configuration is wrong


class DivergenceRecovery:
    """Counts bad steps, keeps the last good state, and lowers the learning rate.

    Multiply your learning rate by `rate_factor`. Processes that train together see the same losses and gradients, so
    they all decide the same.
    """

    def __init__(
        self, copy: Callable[[], Any], restore: Callable[[Any], None], echo: Callable[[str], None], advice: str
    ) -> None:
        """copy: returns the current state, independent of later training; restore: its inverse; advice: ends the
        message when training gives up."""
        self._copy, self._restore, self._echo, self._advice = copy, restore, echo, advice
        self.rate_factor = 1.0
        self.begin_from_here()

    def begin_from_here(self, rate_factor: float = 1.0) -> None:
        """Take the current state as good and forget earlier steps."""
        self.rate_factor = rate_factor
        self._bad = self._since = 0
        self._snapshot = self._copy()

    @property
    def steady(self) -> bool:
        """Whether the last step was good. Otherwise do not save: a resumed run would start from a bad state."""
        return self._bad == 0

    def good_step(self) -> None:
        """Call it before a step changes anything: the loss has shown that the current state is good."""
        self._bad = 0
        self._since += 1
        if self._since >= SNAPSHOT_EVERY:
            self._since, self._snapshot = 0, self._copy()

    def late_steps(self, steps: Iterable[bool], spoilt: Callable[[], bool] = lambda: False) -> bool:
        """Count steps whose outcome is known only now, oldest first: whether each was good. spoilt: see `failed_step`.

        Returns False when training went back: results still to come belong to a state that is gone.
        """
        for good in steps:
            if good:
                self.good_step()
                continue
            factor = self.rate_factor
            self.failed_step(spoilt())
            if self.rate_factor != factor:
                return False
        return True

    def failed_step(self, spoilt: bool = False) -> None:
        """Call it instead of a step without a finite loss or gradient. spoilt: the state itself is not finite, so
        waiting cannot help.

        Raises NelfError when no learning rate helps.
        """
        self._bad += 1
        if self._bad < BAD_STEPS and not spoilt:
            return
        self.rate_factor /= 2
        if self.rate_factor < SMALLEST_RATE:
            raise NelfError(
                f"training diverges: no finite gradient at any learning rate down to {SMALLEST_RATE:.1e} of what you "
                f"asked for; {self._advice}"
            )
        self._restore(self._snapshot)
        bad, self._bad = self._bad, 0
        self._echo(
            f"no finite gradient in the last {bad} steps: back to the last good weights, "
            f"learning rate x {self.rate_factor:g}"
        )


LATE = 16  # steps between readings on an accelerator


class Readings:
    """Takes each step's values and returns those of earlier steps, without waiting for the device.

    every: steps between readings. It is 1 on the CPU, where values are there at once. Elsewhere it is `LATE`, and each
    reading returns the copy that the reading before it started, which has long finished.
    """

    def __init__(self, device: torch.device) -> None:
        self.every = 1 if device.type == "cpu" else LATE
        self._kept: list[Tensor] = []
        self._begun: tuple[Tensor, Any] | None = None

    def add(self, values: list[Tensor]) -> list[list[float]]:
        """values: scalars on the device, of one step. Returns the values of earlier steps, oldest first."""
        self._kept.append(torch.stack([value.detach().float() for value in values]))
        if len(self._kept) < self.every:
            return []
        rows, self._kept = torch.stack(self._kept), []
        if self.every == 1:
            return [list(map(float, row)) for row in rows.tolist()]
        begun, self._begun = self._begun, _begin(rows)
        return _end(begun)

    def rest(self) -> list[list[float]]:
        """Values not read yet; waits for the device."""
        kept = [torch.stack(self._kept)] if self._kept else []
        found = _end(self._begun) + [row for rows in kept for row in rows.tolist()]
        self._begun, self._kept = None, []
        return found


def _begin(rows: Tensor) -> tuple[Tensor, Any]:
    """Start a copy to the host. Returns it with the event that marks its end."""
    if rows.device.type != "cuda":
        return rows, None  # other devices copy when asked, and wait
    copy = torch.empty(rows.shape, pin_memory=True).copy_(rows, non_blocking=True)
    return copy, torch.cuda.current_stream().record_event()


def _end(begun: tuple[Tensor, Any] | None) -> list[list[float]]:
    if begun is None:
        return []
    rows, event = begun
    if event is not None:
        event.synchronize()
    found: list[list[float]] = rows.tolist()
    return found
