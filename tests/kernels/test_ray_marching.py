"""Marching: the compiled walk against the readable one, in every space."""

import math

import pytest
import torch

from nelf.core.cameras import Rays
from nelf.kernels.ray_marching import OPAQUE, march, march_reference, max_pool
from nelf.kernels.samples import Samples
from nelf.kernels.unit_cube import UnitCubeMapping
from tests.kernels.spaces import SPACES, some_rays

JUST_BELOW_ONE = 1 - 2**-24


def grid_of(resolution: int, kind: str) -> torch.Tensor:
    if kind == "full":
        return torch.full((resolution,) * 3, 0.3)
    if kind == "empty":
        return torch.zeros(resolution, resolution, resolution)
    random = torch.Generator().manual_seed(5)
    density = torch.rand(resolution, resolution, resolution, generator=random) * 20
    return torch.where(torch.rand(density.shape, generator=random) < 0.3, density, 0.0)


def same(found: Samples, expected: Samples, rays: int) -> None:
    """Equal, except for a few rays where rounding puts a sample into the neighbouring cell."""
    counts, wanted = found.offsets.diff(), expected.offsets.diff()
    assert len(counts) == len(wanted) == rays
    assert (counts != wanted).float().mean() < 0.01
    for samples in (found, expected):
        assert torch.equal(samples.ray, torch.repeat_interleave(torch.arange(rays), samples.offsets.diff()))
        assert samples.offsets[-1] == len(samples.points) == len(samples.lengths) == len(samples.depths)
    equal = counts == wanted
    if len(expected.ray) == 0:
        return
    keep, keep_wanted = equal[found.ray], equal[expected.ray]
    near = (found.depths[keep] - expected.depths[keep_wanted]).abs() < 1e-3 * expected.depths[keep_wanted]
    close = near.all(1)
    assert close.float().mean() > 0.999
    points, wanted_points = found.points[keep][close], expected.points[keep_wanted][close]
    assert torch.allclose(points, wanted_points, atol=1e-4)
    # A length is a difference of two nearby points: fewer digits are left.
    assert torch.allclose(found.lengths[keep][close], expected.lengths[keep_wanted][close], atol=1e-4, rtol=1e-2)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("density", ["full", "empty", "random"])
@pytest.mark.parametrize("jitter", [0.0, 0.37, JUST_BELOW_ONE])
def test_compiled_is_the_reference(name: str, density: str, jitter: float) -> None:
    rays = some_rays(name)
    arguments = (SPACES[name](), grid_of(32, density), 96, torch.full((len(rays),), jitter), 0.1)
    found = march(rays, *arguments)
    same(found, march_reference(rays, *arguments), len(rays))
    if density == "empty":
        assert len(found.ray) == 0
    else:
        assert len(found.ray) > len(rays)
        assert (found.points >= 0).all()
        assert (found.points < 1).all()
        assert (found.lengths > 0).all()


@pytest.mark.parametrize("resolution", [1, 4, 10, 30, 33])
def test_any_grid(resolution: int) -> None:
    """The coarse grid, which is checked first, covers the last cells too."""
    rays = some_rays("box", 200)
    arguments = (SPACES["box"](), grid_of(resolution, "full"), 64, torch.rand(len(rays)), 0.1)
    same(march(rays, *arguments), march_reference(rays, *arguments), len(rays))


def test_rays_that_miss_the_box() -> None:
    space = SPACES["box"]()
    origins = torch.tensor([[4.0, 0, 0], [4.0, 0, 0], [0, 0, 4.0], [0.0, 5.0, 0.0]])
    directions = torch.tensor([[1.0, 0, 0], [-1.0, 1.0, 0], [0.0, 1.0, -0.01], [1.0, 0.0, 0.0]])
    rays = Rays(origins, directions)
    for one in (march, march_reference):
        assert one(rays, space, grid_of(8, "full"), 64, torch.full((4,), 0.5), 0.1).offsets.tolist() == [0] * 5


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_rays_along_the_axes(name: str, axis: int, sign: float) -> None:
    """Directions with zeros: no division by zero, nothing lost."""
    origins = torch.tensor([[0.123, 0.217, -0.351]]).repeat(20, 1) + 0.011 * torch.arange(20)[:, None]
    origins[:, axis] = -4 * sign
    directions = torch.zeros(20, 3)
    directions[:, axis] = sign
    rays = Rays(origins, directions)
    arguments = (SPACES[name](), grid_of(32, "full"), 128, torch.full((20,), 0.4), 0.1)
    found = march(rays, *arguments)
    same(found, march_reference(rays, *arguments), 20)
    if name == "box":
        assert (found.offsets.diff() > 20).all()


def test_samples_tile_the_ray() -> None:
    """Through a full box the intervals are contiguous, and their lengths add up to the path through it."""
    space = UnitCubeMapping.box(torch.zeros(3), 1.0, 1.0, 7.0)
    rays = Rays(torch.tensor([[0.1, 0.2, 4.0]]), torch.tensor([[0.0, 0.0, -1.0]]))
    found = march(rays, space, torch.full((8, 8, 8), 1e-3), 200, torch.tensor([0.3]), 0.0)
    assert torch.allclose(found.depths[1:, 0], found.depths[:-1, 1])
    steps = found.depths.diff(dim=1)
    assert torch.allclose(steps, torch.full_like(steps, 6 / 200), atol=1e-5)
    assert found.lengths.sum().item() == pytest.approx(2, abs=2 * 6 / 200)


@pytest.mark.parametrize("walk", [march, march_reference])
def test_a_ray_ends_where_it_is_opaque(walk: object) -> None:
    space = UnitCubeMapping.box(torch.zeros(3), 1.0, 1.0, 7.0)
    rays = Rays(torch.tensor([[0.1, 0.2, 4.0]]), torch.tensor([[0.0, 0.0, -1.0]]))
    density = torch.full((8, 8, 8), 20.0)
    found = walk(rays, space, density, 200, torch.tensor([0.5]), 0.1)  # type: ignore[operator]
    needed = -math.log(OPAQUE) / (20 * 6 / 200 / 1.02)  # the cube has a margin of 1.02
    assert len(found.ray) == math.ceil(needed) < 30


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(threads: int) -> None:
    rays = some_rays("box", 101)
    arguments = (SPACES["box"](), grid_of(32, "random"), 96, torch.full((101,), 0.5), 0.1)
    before = torch.get_num_threads()
    expected = march(rays, *arguments)
    torch.set_num_threads(threads)
    try:
        found = march(rays, *arguments)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found.points, expected.points)
    assert torch.equal(found.offsets, expected.offsets)


@pytest.mark.parametrize(
    ("resolution", "size", "padding", "ceil_mode"), [(33, 4, 0, True), (32, 12, 4, False), (7, 4, 0, True)]
)
def test_max_pool_is_that_of_torch(resolution: int, size: int, padding: int, ceil_mode: bool) -> None:
    grid = grid_of(resolution, "random")
    expected = torch.nn.functional.max_pool3d(grid[None], size, 4, padding, ceil_mode=ceil_mode)[0]
    assert torch.equal(max_pool(grid, size, 4, padding, ceil_mode=ceil_mode), expected)
