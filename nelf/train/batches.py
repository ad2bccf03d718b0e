"""Batches of whole views: decoded in the background, cached within a memory budget, in an order fixed by the seed."""

import dataclasses
import functools
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from nelf.core.errors import SceneError
from nelf.core.processes import usable_cores
from nelf.scene import Views
from nelf.student import DepthPixels

AHEAD = 3  # batches prepared in advance; with more threads, one per thread
MOST_THREADS = 16  # for decoding


@dataclass(frozen=True)
class Batch:
    """Some views as stored: 8 bits, straight alpha, on the CPU.

    depths: at the student's `depth_pixels`, along the view axis, world units, 0 if unknown; None for students without.
    """

    c2w: Float[Tensor, "batch 3 4"]
    intrinsics: Float[Tensor, "batch 4"]
    images: UInt8[Tensor, "batch channels height width"]
    depths: Float[Tensor, "batch depth_rows depth_columns"] | None = None


FIELDS = tuple(field.name for field in dataclasses.fields(Batch))


class MemoryBudget:
    """Bytes that all caches of a run may hold together."""

    def __init__(self, gigabytes: float) -> None:
        self.left = int(gigabytes * 1e9)
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Reserve `count` bytes; returns False if too few are left."""
        with self._lock:
            if count > self.left:
                return False
            self.left -= count
            return True


class CachedViews:
    """Views whose decoded images stay in memory as long as the budget lasts.

    The first ones stay: every pass is shuffled, so no other choice would be read more often.
    """

    def __init__(
        self, views: Views, channels: int, budget: MemoryBudget, depth_pixels: DepthPixels | None = None
    ) -> None:
        """depth_pixels: where depths are needed; None if nowhere."""
        self.views = views
        self.channels = channels
        self.budget = budget
        self.depth_pixels = depth_pixels
        self._images: dict[int, np.ndarray] = {}
        self._depths: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.views)

    def image(self, index: int) -> np.ndarray:
        """One image, uint8 [channels, height, width]. Raises SceneError if it has another size."""
        if (image := self._images.get(index)) is not None:
            return image
        image = self.views.read(index)
        expected = (self.views.height, self.views.width, self.channels)
        if image.shape != expected:
            raise SceneError(
                f"view '{self.views.names[index]}' is {_shape(image.shape)}, but the student needs "
                f"{_shape(expected)} (height x width x channels); give all views the same size and channels"
            )
        return self._kept(self._images, index, np.ascontiguousarray(image.transpose(2, 0, 1)))

    def depth(self, index: int, pixels: DepthPixels) -> np.ndarray:
        """One depth map, float32 [depth_rows, depth_columns]; 0 (unknown) if the views have no depth."""
        if (depth := self._depths.get(index)) is not None:
            return depth
        if self.views.read_depth is None:
            return np.zeros((len(pixels.rows), len(pixels.columns)), np.float32)
        depth = self.views.read_depth(index)[np.ix_(pixels.rows, pixels.columns)]
        return self._kept(self._depths, index, depth)

    def _kept(self, cache: dict[int, np.ndarray], index: int, value: np.ndarray) -> np.ndarray:
        """The cached value, after caching `value` if the budget allows. Threads may have read the same view at once."""
        with self._lock:
            if index not in cache and self.budget.take(value.nbytes):
                cache[index] = value
            return cache.get(index, value)

    def batch(self, indices: Sequence[int]) -> Batch:
        """The views at `indices`."""
        images = torch.from_numpy(np.stack([self.image(i) for i in indices]))
        depths = None
        if self.depth_pixels is not None:
            depths = torch.from_numpy(np.stack([self.depth(i, self.depth_pixels) for i in indices]))
        chosen = list(indices)
        return Batch(self.views.c2w[chosen].float(), self.views.intrinsics[chosen].float(), images, depths)


class ShuffledOrder:
    """Endless random order of 0..count-1; each pass has its own permutation.

    A pure function of seed and position, so resuming needs no state.
    """

    def __init__(self, count: int, seed: Sequence[int]) -> None:
        self.count = count
        # Neighbouring batches span at most two passes; batches prepared ahead need a few more.
        self._pass = functools.lru_cache(maxsize=8)(
            lambda number: np.random.default_rng([*seed, number]).permutation(count)
        )

    def at(self, position: int) -> int:
        """The number that stands at this position."""
        return int(self._pass(position // self.count)[position % self.count])


@dataclass(frozen=True)
class Source:
    """`count` views of `views` in every batch."""

    views: CachedViews
    count: int


class BatchLoader:
    """The batch of each step. Use it as a context manager: it owns threads."""

    def __init__(
        self, sources: Sequence[Source], seed: Sequence[int], *, rank: int = 0, ranks: int = 1, pin: bool = False
    ) -> None:
        """
        rank, ranks: of this process; all processes share one order. pin: page-locked memory, for CUDA.
        """
        self.sources = sources
        self.rank, self.ranks = rank, ranks
        self.pin = pin
        self._orders = [ShuffledOrder(len(source.views), [*seed, i]) for i, source in enumerate(sources)]
        self._ahead: dict[int, Future[Batch]] = {}
        threads = min(usable_cores(), MOST_THREADS)
        self._count_ahead = max(AHEAD, threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="views")

    def __enter__(self) -> "BatchLoader":
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def get(self, step: int) -> Batch:
        """The batch of `step`. Ask for steps in order: the next ones are prepared ahead."""
        for ahead in range(step, step + self._count_ahead):
            if ahead not in self._ahead:
                self._ahead[ahead] = self._threads.submit(self._make, ahead)
        return self._ahead.pop(step).result()

    def indices(self, step: int) -> list[list[int]]:
        """Indices of each source's views in the batch of `step`."""
        return [
            # Every `ranks`th view belongs to this process, as in `StepRandom`: so random numbers stay with their view.
            [order.at((step * source.count + i) * self.ranks + self.rank) for i in range(source.count)]
            for source, order in zip(self.sources, self._orders, strict=True)
        ]

    def _make(self, step: int) -> Batch:
        parts = [s.views.batch(i) for s, i in zip(self.sources, self.indices(step), strict=True)]
        return Batch(**{name: self._joined([getattr(part, name) for part in parts]) for name in FIELDS})

    def _joined(self, parts: list[Any]) -> Any:
        if parts[0] is None:
            return None
        # In numpy: torch.cat would start OpenMP threads for this thread. With more of those than cores, each small
        # operation of the optimizer waits until the system wakes them.
        joined = parts[0] if len(parts) == 1 else torch.from_numpy(np.concatenate([part.numpy() for part in parts]))
        return joined.pin_memory() if self.pin else joined


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
