"""Space: a map to the unit cube and back, the same in torch and in the compiled marcher."""

import math

import numpy as np
import pytest
import torch

from nelf.core.cameras import look_at, mean_pose
from nelf.kernels.unit_cube import UnitCubeMapping, cube_at, depth_at
from tests.kernels.spaces import SPACES, cameras


@pytest.fixture(params=SPACES)
def space(request: pytest.FixtureRequest) -> UnitCubeMapping:
    return SPACES[request.param]()


def test_there_and_back(space: UnitCubeMapping) -> None:
    torch.manual_seed(0)
    # Beyond 0.95 of the contraction's shell a world point is 20 radii away or more, and float32 has few digits left.
    cube = torch.rand(4000, 3) * 0.9 + 0.05
    world = space.from_cube(cube)
    assert torch.isfinite(world).all()
    assert torch.allclose(space.to_cube(world), cube, atol=2e-5)


def test_depths_ascend_from_near_to_far(space: UnitCubeMapping) -> None:
    depth = space.depth(torch.linspace(0, 1, 1001))
    assert (depth.diff() > 0).all()
    assert depth[0].item() == pytest.approx(space.near)
    assert depth[-1].item() == pytest.approx(space.far, rel=1e-5)


@pytest.mark.parametrize(("near", "far"), [(0.2, 1.0), (0.2, 3.0), (5.0, 80.0), (3.5, 4.5), (1e-3, 2e-3)])
def test_depths_ascend_wherever_near_and_far_are_to_the_ball(near: float, far: float) -> None:
    """scene.near and scene.far may both lie inside the contraction's ball, or both outside."""
    space = UnitCubeMapping.contraction(torch.zeros(3), 1.5, near, far)
    s = torch.linspace(0, 1, 101)
    compiled = [depth_at(float(value), space.for_loops) for value in s]
    for depth in (space.depth(s), torch.tensor(compiled)):
        assert (depth.diff() > 0).all()
        assert depth[0].item() == pytest.approx(near)
        assert depth[-1].item() == pytest.approx(far, rel=1e-5)


def test_compiled_functions_are_the_torch_ones(space: UnitCubeMapping) -> None:
    torch.manual_seed(1)
    world = torch.randn(300, 3) * 3
    expected = space.to_cube(world).numpy()
    found = np.array([cube_at(*map(float, point), space.for_loops) for point in world])
    assert np.allclose(found, expected, atol=1e-4, rtol=1e-4)
    s = torch.linspace(0, 1, 101)
    depths = [depth_at(float(value), space.for_loops) for value in s]
    assert np.allclose(depths, space.depth(s).numpy(), rtol=1e-5)


def test_box_is_the_cube_with_a_margin() -> None:
    space = UnitCubeMapping.box(torch.tensor([1.0, 2.0, 3.0]), 2.0, 1.0, 9.0)
    corners = torch.tensor([[-1.0, 0.0, 1.0], [3.0, 4.0, 5.0]])
    assert torch.allclose(space.to_cube(torch.tensor([[1.0, 2.0, 3.0]])), torch.full((1, 3), 0.5))
    assert torch.allclose(space.to_cube(corners), torch.tensor([[0.5 - 0.5 / 1.02] * 3, [0.5 + 0.5 / 1.02] * 3]))


def test_contraction_keeps_the_inner_cube_and_holds_everything() -> None:
    space = UnitCubeMapping.contraction(torch.zeros(3), 2.0, 0.1, 200.0)
    assert torch.allclose(space.to_cube(torch.tensor([[2.0, -1.0, 0.0]])), torch.tensor([[0.75, 0.375, 0.5]]))
    far = space.to_cube(1e4 * torch.randn(100, 3))
    assert (far > 0).all()
    assert (far < 1).all()
    assert (far - 0.5).abs().amax(dim=1).min() > 0.49


def test_frustum_holds_what_every_camera_sees() -> None:
    space, poses = SPACES["frustum"](), cameras()
    for camera in poses:
        for depth in (space.near, 3.0, space.far):
            for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.0, 0.5)):
                point = camera[:, 3] + camera[:, :3] @ torch.tensor([x * depth, y * depth, -depth])
                cube = space.to_cube(point[None])
                assert (cube >= 0).all(), (depth, x, y)
                assert (cube <= 1 + 1e-5).all(), (depth, x, y)


def test_an_odd_camera_loses_only_itself() -> None:
    """find_type accepts a few odd cameras in a forward-facing capture."""
    poses = cameras().repeat(4, 1, 1)
    sound = UnitCubeMapping.frustum(mean_pose(poses), 0.5, poses, 2.0, 30.0)
    for degrees in (60.0, 90.0, 180.0):
        angle = math.radians(degrees)
        turn = torch.tensor(
            [[math.cos(angle), 0.0, math.sin(angle)], [0.0, 1.0, 0.0], [-math.sin(angle), 0.0, math.cos(angle)]]
        )
        odd = torch.cat([turn @ poses[:1, :, :3], torch.tensor([[[0.0], [0.0], [40.0]]])], dim=2)
        everyone = torch.cat([poses, odd])
        # The mean camera is still that of all, so a little wider it is.
        assert float(UnitCubeMapping.frustum(mean_pose(everyone), 0.5, everyone, 2.0, 30.0).parameters[3]) < 2 * float(
            sound.parameters[3]
        )


def test_a_frustum_ends_before_it_is_a_half_space() -> None:
    poses = cameras()
    wide = UnitCubeMapping.frustum(mean_pose(poses), 30.0, poses, 2.0, 30.0)  # lenses of 176 degrees
    assert wide.parameters[3] < 10
    ring = torch.stack([look_at(3 * eye, torch.zeros(3), torch.tensor([0.0, 1.0, 0.0])) for eye in torch.eye(3)[::2]])
    backwards = look_at(torch.zeros(3), torch.tensor([9.0, 0.0, 9.0]), torch.tensor([0.0, 1.0, 0.0]))
    nobody = UnitCubeMapping.frustum(
        backwards, 0.5, ring, 2.0, 30.0
    )  # scene.type=forward-facing of what is nothing like it
    assert torch.isfinite(nobody.parameters).all()
