"""Which views a step sees, and what stays in memory."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from nelf.scene import Views
from nelf.student import DepthPixels
from nelf.train.batches import BatchLoader, CachedViews, MemoryBudget, ShuffledOrder, Source
from tests.train import tiny

IMAGE_BYTES = tiny.SIZE * tiny.SIZE * 4


def cached(views: Views, gigabytes: float = 1.0) -> CachedViews:
    return CachedViews(views, 4, MemoryBudget(gigabytes))


def test_each_pass_sees_each_view_once() -> None:
    order = ShuffledOrder(10, (0, 1))
    passes = [[order.at(p * 10 + i) for i in range(10)] for p in range(3)]
    assert all(sorted(p) == list(range(10)) for p in passes)
    assert passes[0] != passes[1]
    assert passes[2] == [ShuffledOrder(10, (0, 1)).at(20 + i) for i in range(10)]
    assert passes[0] != [ShuffledOrder(10, (1, 1)).at(i) for i in range(10)]


def test_batch_is_what_its_indices_say() -> None:
    views, other = tiny.views(7, 1), tiny.views(5, 2)
    with BatchLoader([Source(cached(views), 3), Source(cached(other), 2)], (0,)) as feed:
        for step in range(6):
            batch = feed.get(step)
            first, second = feed.indices(step)
            assert torch.equal(batch.c2w, torch.cat([views.c2w[first], other.c2w[second]]))
            stored = [views.read(i) for i in first] + [other.read(i) for i in second]
            assert torch.equal(batch.images, torch.from_numpy(np.stack(stored)).permute(0, 3, 1, 2))


def test_processes_share_one_order() -> None:
    views = cached(tiny.views(12))
    with BatchLoader([Source(views, 6)], (0,)) as whole:
        parts = [BatchLoader([Source(views, 3)], (0,), rank=rank, ranks=2) for rank in (0, 1)]
        for step in range(4):
            indices = whole.indices(step)[0]
            assert [part.indices(step)[0] for part in parts] == [indices[0::2], indices[1::2]]


def test_memory_stays_within_the_budget() -> None:
    lock, reads = threading.Lock(), [0] * 10
    original = tiny.views(10)

    def read(index: int) -> np.ndarray:
        with lock:
            reads[index] += 1
        return original.read(index)

    views = cached(dataclasses.replace(original, read=read), 4.5 * IMAGE_BYTES / 1e9)
    for _ in range(3):
        views.batch(range(10))
    assert reads == [1] * 4 + [3] * 6
    assert views.budget.left < IMAGE_BYTES


def test_a_view_that_is_read_twice_at_once_is_kept_once() -> None:
    """Threads make several batches, and between two passes the same view may be in two of them."""
    together, original = threading.Barrier(2), tiny.views(1)

    def read(index: int) -> np.ndarray:
        together.wait(10)
        return original.read(index)

    views = cached(dataclasses.replace(original, read=read), 2 * IMAGE_BYTES / 1e9)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(views.image, [0, 0])
    assert np.array_equal(first, second)
    assert views.budget.left == IMAGE_BYTES


def test_depths_are_those_of_the_pixels_and_are_kept_too() -> None:
    read, views = [0], tiny.views(3)
    depths = np.random.default_rng(0).random((3, tiny.SIZE, tiny.SIZE), np.float32)

    def read_depth(index: int) -> np.ndarray:
        read[0] += 1
        return depths[index]

    pixels = DepthPixels(np.array([1, 5, 9]), np.array([0, 0, 7, 15]))
    deep = CachedViews(dataclasses.replace(views, read_depth=read_depth), 4, MemoryBudget(1.0), pixels)
    for _ in range(2):
        found = deep.batch([2, 0]).depths
        assert found is not None
        assert np.array_equal(found.numpy(), depths[[2, 0]][:, [1, 5, 9]][:, :, [0, 0, 7, 15]])
    assert read == [2]
    unknown = CachedViews(views, 4, MemoryBudget(1.0), pixels).batch([0]).depths
    assert unknown is not None
    assert unknown.shape == (1, 3, 4)
    assert not unknown.any()
    assert cached(views).batch([0]).depths is None


def test_two_caches_share_one_budget() -> None:
    budget = MemoryBudget(3 * IMAGE_BYTES / 1e9)
    first, second = CachedViews(tiny.views(2), 4, budget), CachedViews(tiny.views(2), 4, budget)
    first.batch([0, 1])
    second.batch([0, 1])
    assert budget.left == 0
    assert len(first._images) + len(second._images) == 3


def test_a_view_that_cannot_be_read_is_reported_by_the_step_that_needs_it() -> None:
    def read(index: int) -> np.ndarray:
        raise OSError(f"r_{index}.png is broken")

    with (
        BatchLoader([Source(cached(dataclasses.replace(tiny.views(3), read=read)), 2)], (0,)) as feed,
        pytest.raises(OSError, match="is broken"),
    ):
        feed.get(0)
