"""Importance sampling: the compiled draw against the readable one, in every space, and where samples go."""

import dataclasses

import pytest
import torch

from nelf.core.cameras import Rays
from nelf.core.errors import ConfigError
from nelf.kernels.importance_sampling import UNIFORM, resample, resample_reference
from nelf.kernels.samples import Samples
from nelf.kernels.unit_cube import UnitCubeMapping
from tests.kernels.spaces import SPACES, some_rays
from tests.kernels.test_ray_marching import JUST_BELOW_ONE, grid_of
from tests.teacher import tiny

BOTH = pytest.mark.parametrize("draw", [resample, resample_reference])


def through_the_middle(density: torch.Tensor, count: int, draw: object) -> Samples:
    """Samples of one ray along -z from z = 4 through a box whose cube reaches from z = -1 to 1."""
    space = UnitCubeMapping.box(torch.zeros(3), 1.0, 1.0, 7.0)
    rays = Rays(torch.tensor([[0.1, 0.2, 4.0]]), torch.tensor([[0.0, 0.0, -1.0]]))
    return draw(rays, space, density, 240, count, torch.tensor([0.5]))  # type: ignore[operator, no-any-return]


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("density", ["full", "empty", "random"])
@pytest.mark.parametrize("jitter", [0.0, 0.37, JUST_BELOW_ONE])
def test_compiled_is_the_reference(name: str, density: str, jitter: float) -> None:
    rays = some_rays(name)
    arguments = (SPACES[name](), grid_of(32, density), 96, 16, torch.full((len(rays),), jitter))
    found, expected = resample(rays, *arguments), resample_reference(rays, *arguments)
    # Rounding puts an interval's middle into the neighbouring cell here and there, which shifts all of that ray.
    assert torch.equal(found.offsets, expected.offsets)
    assert torch.equal(found.ray, expected.ray)
    for quantity in ("points", "lengths", "depths"):
        differ = (getattr(found, quantity) - getattr(expected, quantity)).abs().reshape(len(found.ray), -1).amax(1)
        assert (differ > 1e-3 * (1 + expected.depths.mean(1))).float().mean() < 0.02
    assert 0 < len(found.ray) <= 16 * len(rays)
    assert (found.lengths >= 0).all()


@BOTH
def test_samples_tile_the_ray(draw: object) -> None:
    """Whatever the weights, lengths add up to the path through the cube: nothing is missing or counted twice."""
    found = through_the_middle(grid_of(8, "random"), 40, draw)
    assert found.lengths.sum().item() == pytest.approx(2, abs=2 * 6 / 240)
    assert torch.allclose(found.depths[1:, 0], found.depths[:-1, 1])
    assert (found.depths.diff(dim=1) > 0).all()


@BOTH
def test_samples_crowd_where_the_ray_ends(draw: object) -> None:
    density = torch.zeros(16, 16, 16)
    density[:, :, 8] = 500.0  # a wall of one cell
    found = through_the_middle(density, 50, draw)
    cell = 2 * 1.02 / 16
    behind = 4 - (8 / 16 * 2 - 1) * 1.02  # depth of the wall's far side: z falls along the ray
    depth = found.depths.mean(1)
    near_wall = ((depth > behind - 1.5 * cell) & (depth < behind + 0.5 * cell)).float().mean().item()
    assert near_wall > 0.9 * (1 - UNIFORM)
    assert near_wall < 1


@BOTH
def test_what_the_grid_calls_empty_is_still_asked(draw: object) -> None:
    found = through_the_middle(torch.zeros(8, 8, 8), 30, draw)
    assert len(found.ray) == 30
    assert found.lengths.max() < 2 * found.lengths.min() * 1.5


@BOTH
def test_a_ray_that_misses_the_cube_gets_none(draw: object) -> None:
    rays = Rays(torch.tensor([[4.0, 0, 0], [0.1, 0.2, 4.0]]), torch.tensor([[1.0, 0, 0], [0.0, 0.0, -1.0]]))
    found = draw(rays, SPACES["box"](), grid_of(8, "full"), 64, 10, torch.full((2,), 0.5))  # type: ignore[operator]
    assert found.offsets.tolist() == [0, 0, 10]


@pytest.mark.slow
def test_a_teacher_learns_with_a_fixed_number_of_samples(tmp_path: object) -> None:
    views = tiny.scene("forward-facing")
    config = tiny.instant_ngp(importance_samples=24, max_steps=150)
    field = tiny.train("forward-facing", config, tmp_path)  # type: ignore[arg-type]
    untrained = tiny.train("forward-facing", dataclasses.replace(config, max_steps=1), tmp_path / "one")  # type: ignore[operator]
    assert tiny.mean_psnr(field, views.test)[0] > tiny.mean_psnr(untrained, views.test)[0] + 5


def test_too_few_samples() -> None:
    with pytest.raises(ConfigError, match=r"teacher\.importance_samples=1 is too small; use a whole number from 2 to "):
        tiny.instant_ngp(importance_samples=1)
