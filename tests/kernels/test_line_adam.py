"""Adam of the lines of a table that have a gradient."""

import pytest
import torch
from torch import Tensor

from nelf.kernels.line_adam import LINE, LineAdam, LineGradient, line_gradient

SHAPE = (3, 50, 4)  # 37.5 lines
SETTINGS = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-15}


def rows(seed: int, count: int = 40) -> Tensor:
    """A gradient of some rows, zeros elsewhere."""
    generator = torch.Generator().manual_seed(seed)
    gradient = torch.zeros(SHAPE)
    flat = torch.randperm(SHAPE[0] * SHAPE[1], generator=generator)[:count]
    gradient.view(-1, SHAPE[2])[flat] = torch.randn(count, SHAPE[2], generator=generator)
    return gradient


def add(table: Tensor, gradient: Tensor) -> None:
    """As a kernel does it."""
    kept = line_gradient(table)
    assert kept is not None
    values, marks = kept.begin()
    values += gradient.numpy()
    for place in gradient.flatten().nonzero()[:, 0].tolist():
        marks[place // LINE] = True


def trained(steps: int, table: Tensor, **settings: float) -> tuple[Tensor, LineAdam]:
    parameter = torch.nn.Parameter(table.clone())
    adam = LineAdam([parameter], **SETTINGS, **settings)  # type: ignore[arg-type]
    adam.work_by_lines(parameter, keep=True)
    for step in range(steps):
        add(parameter, rows(step))
        adam.step()
    return parameter.detach(), adam


@pytest.mark.parametrize("threads", [1, 2])
def test_it_is_the_sparse_adam_of_torch(threads: int) -> None:
    table, before = torch.randn(SHAPE), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found, adam = trained(5, table)
    finally:
        torch.set_num_threads(before)
    parameter = torch.nn.Parameter(table.clone())
    theirs = torch.optim.SparseAdam([parameter], **SETTINGS)  # type: ignore[arg-type]
    for step in range(5):
        parameter.grad = rows(step).to_sparse(2)
        theirs.step()
    torch.testing.assert_close(found, parameter.detach(), atol=1e-6, rtol=1e-5)
    assert float(next(iter(adam.state.values()))["step"]) == 5


def test_what_has_no_gradient_stays_and_decay_is_that_of_adam() -> None:
    table, gradient = torch.randn(SHAPE), rows(0)
    found, _ = trained(1, table, weight_decay=0.1)
    dense = torch.nn.Parameter(table.clone())
    adam = torch.optim.Adam([dense], **SETTINGS, weight_decay=0.1)  # type: ignore[arg-type]
    dense.grad = gradient
    adam.step()
    touched = gradient != 0
    assert torch.equal(found[~touched], table[~touched])
    torch.testing.assert_close(found[touched], dense.detach()[touched])


def test_other_gradients_take_the_way_of_torch_and_share_the_state() -> None:
    one, two = (torch.nn.Parameter(torch.ones(SHAPE)) for _ in range(2))
    ours, theirs = LineAdam([one], **SETTINGS), torch.optim.Adam([two], **SETTINGS)  # type: ignore[arg-type]
    for parameter, adam in ((one, ours), (two, theirs)):
        parameter.grad = rows(0)
        adam.step()
    assert torch.equal(one, two)
    one.grad = None
    ours.work_by_lines(one, keep=True)
    add(one, rows(1))
    ours.step()
    ours.step()  # nothing new
    assert float(ours.state[one]["step"]) == 2
    ours.load_state_dict(theirs.state_dict())
    assert float(ours.state[one]["step"]) == 1


def test_a_gradient_that_no_step_used_is_lost() -> None:
    gradient = LineGradient(torch.zeros(SHAPE))
    values, marks = gradient.begin()
    values[0, 0], marks[0] = 1, True
    values, marks = gradient.begin()
    assert not values.any()
    assert not marks.any()


def test_a_whole_gradient_does_the_same() -> None:
    """As several processes have it."""
    table = torch.randn(SHAPE)
    found, _ = trained(3, table, weight_decay=0.1)
    parameter = torch.nn.Parameter(table.clone())
    adam = LineAdam([parameter], **SETTINGS, weight_decay=0.1)  # type: ignore[arg-type]
    adam.work_by_lines(parameter, keep=False)
    for step in range(3):
        parameter.grad = rows(step)
        adam.step()
    assert torch.equal(found, parameter.detach())
