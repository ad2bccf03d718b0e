"""Occupancy: carved cells are empty, dense ones are found, and nothing is skipped before it was sampled."""

import pytest
import torch

from nelf.core.optimization import StepRandom
from nelf.kernels.ray_marching import march
from nelf.kernels.unit_cube import UnitCubeMapping
from nelf.teacher.instant_ngp import OccupancyGrid
from nelf.teacher.stage import space_of
from tests.kernels.spaces import SPACES, some_rays
from tests.scenes import BALL_RADIUS
from tests.teacher import tiny


def centres(grid: OccupancyGrid) -> torch.Tensor:
    """[resolution^3, 3] in the unit cube, in the order of density.view(-1)."""
    return (torch.cartesian_prod(*[torch.arange(grid.resolution)] * 3) + 0.5) / grid.resolution


@pytest.fixture(scope="module")
def carved() -> tuple[OccupancyGrid, UnitCubeMapping]:
    scene = tiny.scene("object")
    space, grid = space_of(scene), OccupancyGrid(64)
    grid.carve(scene.train, space)
    return grid, space


def test_carving_keeps_the_ball_and_removes_most_of_the_rest(carved: tuple[OccupancyGrid, UnitCubeMapping]) -> None:
    grid, space = carved
    distance = space.from_cube(centres(grid)).norm(dim=1)
    kept = grid.density.view(-1) > 0
    half_diagonal = 3**0.5 / grid.resolution * float(space.parameters[3])
    assert kept[distance < BALL_RADIUS + half_diagonal].all()  # every cell that the ball may touch
    # A pixel is 0.12 wide at the ball, and alpha reaches a pixel beyond its edge.
    clear = distance > BALL_RADIUS + 0.3
    assert clear.float().mean() > 0.3
    assert kept[clear].float().mean() < 0.25
    assert torch.equal(grid.allowed.sort().values, kept.nonzero()[:, 0])


def test_carved_cells_stay_empty(carved: tuple[OccupancyGrid, UnitCubeMapping]) -> None:
    grid = carved[0]
    before = grid.density.view(-1) > 0
    draws = StepRandom(0)
    for _ in range(12):
        grid.update(lambda points: torch.full((len(points),), 7.0), draws)
    assert torch.equal(grid.density.view(-1) > 0, before)
    assert (grid.density.view(-1)[before] == 7).all()
    assert grid.mean.item() == pytest.approx(7)


def test_update_finds_what_is_dense_and_forgets_what_was() -> None:
    grid, draws = OccupancyGrid(16), StepRandom(0)
    inside = (centres(grid) - 0.5).norm(dim=1) < 0.2

    def ball(points: torch.Tensor) -> torch.Tensor:
        return torch.where((points - 0.5).norm(dim=1) < 0.3, 50.0, 0.0)

    for _ in range(200):
        grid.update(ball, draws)
    density = grid.density.view(-1)
    threshold = grid.threshold(0.01, 0.01)
    assert (density[inside] > 40).all()
    assert (density[(centres(grid) - 0.5).norm(dim=1) > 0.4] <= threshold).all()
    for _ in range(400):
        grid.update(lambda points: torch.zeros(len(points)), draws)
    assert density[inside].max() < 1


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize(("steps", "opacity"), [(64, 0.01), (256, 0.01), (1024, 0.01)])
def test_cells_that_were_not_asked_are_marched_through(name: str, steps: int, opacity: float) -> None:
    grid, space, rays = OccupancyGrid(32), SPACES[name](), some_rays(name, 100)
    middle = torch.full((len(rays),), 0.5)
    found = march(rays, space, grid.density, steps, middle, grid.threshold(2 / steps, opacity))
    wanted = march(rays, space, torch.full_like(grid.density, 1e-4), steps, middle, 0.0)
    # Many thin cells one behind the other end a ray; until then no sample is missing.
    seen = found.offsets.diff() > 0
    assert torch.equal(seen, wanted.offsets.diff() > 0)
    assert seen.float().mean() > 0.3


def test_the_threshold_is_never_above_the_average() -> None:
    grid = OccupancyGrid(4)
    grid.update(lambda points: torch.full((len(points),), 1e-4), StepRandom(0))
    for _ in range(400):
        grid.update(lambda points: torch.full((len(points),), 1e-4), StepRandom(0))
    assert grid.threshold(1e-3, 0.01) < grid.density.max()  # a field that is thin everywhere is still looked at


def test_training_samples_move_the_means_of_their_cells() -> None:
    generator = torch.Generator().manual_seed(0)
    points, density = torch.rand(500, 3, generator=generator), 100 * torch.rand(500, generator=generator)
    density[3] = torch.nan
    valid = torch.arange(500) < 400
    grid = OccupancyGrid(4, means=True)
    grid.observe(points, density, valid, lambda sums: sums)
    cells = (points * 4).long().tolist()
    expected = torch.full((4, 4, 4), 1.0)
    for x, y, z in {tuple(cell) for cell in cells}:
        there = [float(density[i]) for i in range(400) if cells[i] == [x, y, z] and i != 3]
        if there:
            share = 1 - 0.9 ** len(there)
            expected[x, y, z] += share * (sum(there) / len(there) - 1)
    torch.testing.assert_close(grid.density, expected)


def test_several_processes_take_in_each_others_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    points, density = torch.rand(400, 3, generator=generator), torch.rand(400, generator=generator)
    valid = torch.ones(400, dtype=torch.bool)
    halves, shares = (slice(200), slice(200, 400)), list[torch.Tensor]()

    def note(sums: torch.Tensor) -> torch.Tensor:
        shares.append(sums)
        return sums

    whole = OccupancyGrid(4, means=True)
    whole.observe(points, density, valid, lambda sums: sums)
    for half in halves:
        OccupancyGrid(4, means=True).observe(points[half], density[half], valid[half], note)
    for half in halves:
        grid = OccupancyGrid(4, means=True)
        grid.observe(points[half], density[half], valid[half], lambda _: shares[0] + shares[1])
        torch.testing.assert_close(grid.density, whole.density)


def test_means_forget_what_is_air_now() -> None:
    grid, upper, draws = OccupancyGrid(8, means=True), OccupancyGrid(8), StepRandom(0)
    for one in (grid, upper):
        for _ in range(4):
            one.update(lambda points: torch.full((len(points),), 100.0), draws)
        for _ in range(8):
            one.update(lambda points: torch.zeros(len(points)), draws)
    assert float(grid.density.max()) < 1
    assert float(upper.density.min()) > 50


def test_training_samples_leave_carved_cells_empty() -> None:
    grid = OccupancyGrid(2, means=True)
    grid.density[0] = 0.0
    points = torch.tensor([[0.25, 0.25, 0.25], [0.75, 0.25, 0.25]])
    grid.observe(points, torch.tensor([9.0, 9.0]), torch.tensor([True, True]), lambda sums: sums)
    assert (float(grid.density[0].max()), float(grid.density[1, 0, 0])) == (0.0, pytest.approx(1.8))
