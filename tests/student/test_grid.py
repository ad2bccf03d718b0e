"""Features of places: what they are between nodes, and whom they teach."""

import numpy as np
import torch

from nelf.student.frame import EXTENT
from nelf.student.grid import NODES, SPACING, FactoredGrid


def random_points(*size: int) -> torch.Tensor:
    return EXTENT * (2 * torch.rand(*size, generator=torch.Generator().manual_seed(0)) - 1)


@torch.no_grad()
def test_products_of_what_lies_linearly_between_nodes() -> None:
    grid, points = FactoredGrid(5), random_points(2, 3, 4, 6)
    nodes, functions = np.linspace(-EXTENT, EXTENT, NODES), grid.functions.numpy()
    found = grid(points)
    assert found.shape == (2, 5, 4, 6)
    for feature in range(5):
        expected = np.prod([np.interp(points[:, a].numpy(), nodes, functions[a, feature]) for a in range(3)], axis=0)
        np.testing.assert_allclose(found[:, feature].numpy(), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_beyond_the_nodes_the_outermost_hold() -> None:
    grid, points = FactoredGrid(5), random_points(1, 3, 4, 4)
    points[:, 1] = -EXTENT
    at_the_edge = grid(points)
    points[:, 1] = -1.1 * EXTENT
    assert torch.equal(grid(points), at_the_edge)
    assert at_the_edge.abs().max() > 0


def test_nodes_are_exact_in_half_precision() -> None:
    nodes = FactoredGrid(1).nodes
    assert torch.equal(nodes.half().float(), nodes)
    assert torch.equal(nodes, torch.linspace(-EXTENT, EXTENT, NODES))
    assert float(torch.tensor(SPACING).half()) == SPACING


def test_values_learn_and_points_stay() -> None:
    grid, points = FactoredGrid(5), random_points(1, 3, 4, 4).requires_grad_()
    grid(points).square().sum().backward()
    assert points.grad is None
    assert grid.values.grad is not None
    touched = grid.values.grad.view(3, 5, NODES) != 0
    assert (touched.any(1).sum(1) <= 2 * 16).all(), "a point teaches the two nodes beside it, on each axis"
    assert touched.any()
