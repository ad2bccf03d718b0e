"""Each step's values come out once, in order: at once on the CPU, one reading later elsewhere."""

import torch

from nelf.core.optimization import LATE, Readings


def values(step: int) -> list[torch.Tensor]:
    return [torch.tensor(float(step)), torch.tensor(2 * step)]


def test_at_once_on_the_cpu() -> None:
    readings = Readings(torch.device("cpu"))
    assert [readings.add(values(step)) for step in range(3)] == [[[0.0, 0.0]], [[1.0, 2.0]], [[2.0, 4.0]]]
    assert readings.rest() == []


def test_later_elsewhere() -> None:
    readings = Readings(torch.device("cuda"))
    assert readings.every == LATE
    readings.every = 4
    found = [readings.add(values(step)) for step in range(10)]
    assert found == [*[[]] * 7, [[float(step), 2.0 * step] for step in range(4)], [], []]
    assert readings.rest() == [[float(step), 2.0 * step] for step in range(4, 10)]
    assert readings.rest() == []
