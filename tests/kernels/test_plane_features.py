"""Planes, lines and volumes of features: the compiled kernels against the readable forms, values and gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nelf.kernels.dispatch import find
from nelf.kernels.plane_features import (
    read_lines,
    read_lines_reference,
    read_planes,
    read_planes_reference,
    read_volume,
    read_volume_reference,
)

NODES = 9
FORMS = {
    "planes": (read_planes, read_planes_reference, (3, NODES, NODES, 4)),
    "lines": (read_lines, read_lines_reference, (3, NODES, 5)),
    "volume": (read_volume, read_volume_reference, (NODES, NODES, NODES, 4)),
}


def some_points() -> Tensor:
    """Inside, beyond every border (where the reference has no slope), on nodes and on borders."""
    generator = torch.Generator().manual_seed(0)
    spread = (NODES + 3) * torch.rand(500, 3, generator=generator) - 2
    nodes = torch.randint(0, NODES, (100, 3), generator=generator).float()
    return torch.cat([spread, nodes, torch.zeros(1, 3), torch.full((1, 3), NODES - 1.0)])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", FORMS)
def test_kernel_agrees_with_its_reference(name: str, threads: int) -> None:
    form, reference, shape = FORMS[name]
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        points, tables = some_points().requires_grad_(), torch.randn(shape).requires_grad_()
        found, expected = form(points, tables), reference(points, tables)
        weight = torch.randn_like(expected)
        gradients = torch.autograd.grad((found * weight).sum(), (points, tables))
        references = torch.autograd.grad((expected * weight).sum(), (points, tables))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)  # the order of a few sums differs
    strictly_between = (some_points() % 1 != 0).all(dim=1)  # on a node the slope is that of either side
    torch.testing.assert_close(gradients[0][strictly_between], references[0][strictly_between], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients[1], references[1], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", FORMS)
def test_values_at_nodes_are_the_tables(name: str) -> None:
    form, _, shape = FORMS[name]
    torch.manual_seed(0)
    tables = torch.randn(shape)
    x, y, z = 3, 5, 7
    if name == "planes":
        expected = torch.cat([tables[0, y, x], tables[1, z, x], tables[2, z, y]])
    elif name == "volume":
        expected = tables[z, y, x]
    else:
        expected = tables[0, x] * tables[1, y] * tables[2, z]
    torch.testing.assert_close(form(torch.tensor([[float(x), y, z]]), tables)[0], expected)


@pytest.mark.parametrize("name", FORMS)
def test_no_gradient_for_points_that_need_none(name: str) -> None:
    form, _, shape = FORMS[name]
    tables = torch.randn(shape, requires_grad=True)
    (gradient,) = torch.autograd.grad(form(some_points(), tables).sum(), tables)
    assert gradient.abs().sum() > 0


def test_devices_without_a_kernel_get_the_reference() -> None:
    reference: Callable[..., Tensor] = read_planes_reference
    assert find("read_planes", torch.device("cpu"), reference) is not reference
    assert find("read_planes", torch.device("meta"), reference) is reference
    assert find("unheard_of", torch.device("cpu"), reference) is reference
