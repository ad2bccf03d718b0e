"""Sharing a batch between threads changes only the time of a step."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from nelf.core.devices import DeviceConfig, make_fabric
from nelf.train.batches import CachedViews, MemoryBudget
from nelf.train.trainer import PerCoreBackward, StudentTrainer
from tests.student.small import all_levels
from tests.train import tiny

pytestmark = pytest.mark.slow


def learner(precision: str = "32-true", reader: str = "planes", **changes: object) -> StudentTrainer:
    model = tiny.student(**all_levels(reader=reader))
    device = DeviceConfig(accelerator="cpu", threads=2, precision=precision)
    return StudentTrainer(model, tiny.config(**changes), make_fabric(device))


@pytest.fixture(autouse=True)
def _threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("batch", [2, 3, 4])
@pytest.mark.parametrize("reader", ["planes", "lines", "volume"])
def test_gradients_are_those_of_the_whole_batch(batch: int, reader: str) -> None:
    shared = learner(reader=reader, batch_size=batch)
    assert shared.shards is not None
    assert torch.get_num_threads() == 2
    whole = copy.copy(shared)
    whole.shards = None
    near = dataclasses.replace(tiny.views(batch, 1), read_depth=lambda i: np.full((tiny.SIZE,) * 2, 3.0, np.float32))
    views = CachedViews(near, 4, MemoryBudget(1.0), shared.model.depth_pixels).batch(range(batch))
    gradients, losses = [], []
    for one in (whole, shared):
        one.optimizer.zero_grad()
        result = one.step(views, 0.0, key=(0,))  # rate 0: nothing changes but the gradients
        assert result is not None
        losses.append(result[0])
        assert result[1].shape == result[2].shape == (batch, 4, tiny.SIZE, tiny.SIZE)
        gradients.append([p.grad.clone() for p in one.parameters if p.grad is not None])
    torch.testing.assert_close(losses[0], losses[1])
    assert len(gradients[0]) == len(whole.parameters)
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-7)  # sums in another order


def test_in_bfloat16_each_thread_rounds() -> None:
    """Autocast is per thread; gradients agree with float32 to eight bits."""
    single, mixed = learner(batch_size=2), learner("bf16-mixed", batch_size=2)
    assert mixed.shards is not None
    views = CachedViews(tiny.views(2, 1), 4, MemoryBudget(1.0)).batch(range(2))
    gradients = []
    for one in (single, mixed):
        result = one.step(views, 0.0, key=(0,))
        assert result is not None
        assert result[1].dtype == torch.float32
        gradients.append(torch.cat([p.grad.flatten() for p in one.parameters if p.grad is not None]))
    assert not torch.allclose(*gradients, rtol=1e-4)
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.999


def test_each_thread_works_alone() -> None:
    """Operations that split themselves further would start more threads than cores."""

    def share(numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        threads = torch.full((len(numbers),), torch.get_num_threads())
        return (numbers * weight).sum(), threads

    weight = torch.nn.Parameter(torch.ones(()))
    for others in (2, 3):  # a change after the threads have started must not reach them
        torch.set_num_threads(2)
        shards = PerCoreBackward([weight], share)
        torch.set_num_threads(others)
        _, threads = shards.backward(torch.ones(4))
        assert threads.tolist() == [1, 1, 1, 1]
        assert torch.get_num_threads() == others


def test_networks_with_batchnorm_are_not_divided() -> None:
    model = tiny.student(family="mobiler2l")
    one = StudentTrainer(model, tiny.config(), make_fabric(DeviceConfig(accelerator="cpu", threads=2)))
    assert one.shards is None


def test_it_ends_the_same_each_time(tmp_path: object) -> None:
    first, second = learner(), learner()
    views = CachedViews(tiny.views(4, 1), 4, MemoryBudget(1.0)).batch(range(4))
    for step in range(5):
        for one in (first, second):
            one.step(views, 5e-3, key=(step,))
    assert tiny.same_weights(first.model, second.model)
