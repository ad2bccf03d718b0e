"""Hash grid: the compiled kernels against the readable form."""

import pytest
import torch

from nelf.kernels.hash_encoding import FEATURES, HashGrid, encode_reference
from nelf.kernels.line_adam import LINE, LineAdam, line_gradient

# Levels of 4, 8 and 16 cells; 5^3 and 9^3 corners fit into 1024 entries, 17^3 do not and are hashed.
LEVELS, LOG2_ENTRIES = 3, 10


def make_grid() -> HashGrid:
    torch.manual_seed(0)
    grid = HashGrid(LEVELS, LOG2_ENTRIES, coarsest=4, finest=16)
    torch.nn.init.normal_(grid.table)
    return grid


def some_points() -> torch.Tensor:
    """Inside, on the faces, edges and corners of the cube, and on the borders between cells."""
    inside = torch.rand(500, 3)
    face = torch.rand(120, 3)
    face[torch.arange(120), torch.arange(120) % 3] = (torch.arange(120) % 2).float()
    corner = torch.tensor([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)]).float()
    border = torch.randint(0, 17, (200, 3)) / 16
    return torch.cat([inside, face, corner, border])


def test_levels_grow_evenly() -> None:
    grid = HashGrid(4, 6, coarsest=16, finest=128)
    assert grid.resolutions == (16, 32, 64, 128)
    assert grid.channels == 4 * FEATURES


@pytest.mark.parametrize("threads", [1, 2])
def test_values(threads: int) -> None:
    grid, points = make_grid(), some_points()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = grid(points)
    finally:
        torch.set_num_threads(before)
    expected = encode_reference(points, grid.table, grid.resolutions)
    assert torch.allclose(found, expected, atol=1e-5)  # sums of 8 products of O(1) in float32


@pytest.mark.parametrize("threads", [1, 2])
def test_table_gradient(threads: int) -> None:
    grid, points = make_grid(), some_points()
    towards = torch.randn(len(points), grid.channels)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        (found,) = torch.autograd.grad((grid(points) * towards).sum(), grid.table)
    finally:
        torch.set_num_threads(before)
    loss = (encode_reference(points, grid.table, grid.resolutions) * towards).sum()
    (expected,) = torch.autograd.grad(loss, grid.table)
    kept = LineAdam([grid.table])
    kept.work_by_lines(grid.table, keep=True)
    (grid(points) * towards).sum().backward()
    lines = line_gradient(grid.table)
    assert lines is not None
    assert grid.table.grad is None
    assert torch.equal(lines.values, found)
    assert (found.view(-1, LINE)[~lines.marks] == 0).all()
    assert torch.allclose(found, expected, atol=1e-4)  # an entry adds up to 800 terms, in another order
    used = (expected != 0).any(dim=-1).sum(dim=1)
    assert used[0] == 5**3  # the coarsest level is indexed directly: all its corners, nothing else
    assert used[2] > 900  # the finest is hashed: over nearly all entries


def test_corners_give_the_table_itself() -> None:
    grid = make_grid()
    found = grid(torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.25, 0.5, 0.75]]))[:, :FEATURES]
    entries = [0, 4 + 5 * (4 + 5 * 4), 1 + 5 * (2 + 5 * 3)]
    assert torch.allclose(found, grid.table[0, entries], atol=1e-6)


def test_between_corners_it_is_trilinear() -> None:
    """On a table that is a linear function of the corner, the encoding is that function."""
    grid = make_grid()
    corner = torch.arange(5**3)
    place = torch.stack([corner % 5, corner // 5 % 5, corner // 25], dim=1).float() / 4
    slope = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 2.0], [0.0, 0.0, 1.0, -3.0]])
    with torch.no_grad():
        grid.table[0, : 5**3] = place @ slope
    points = some_points()
    assert torch.allclose(grid(points)[:, :FEATURES], points @ slope, atol=1e-5)
