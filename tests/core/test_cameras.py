"""Poses: look_at, focus point, rigidity."""

import pytest
import torch

from nelf.core.cameras import focus_point, is_rigid, look_at, orthonormalize, see_the_same, widest_gap
from tests.scenes import hemisphere_poses, pose_towards


def test_look_at_matches_the_written_out_pose() -> None:
    eye = torch.tensor([[3.0, -1.0, 2.0], [0.5, 2.0, 0.1]])
    ours = look_at(eye, torch.zeros(2, 3), torch.tensor([0.0, 0.0, 1.0]))
    for pose, position in zip(ours, eye, strict=True):
        expected = torch.tensor(pose_towards(position.numpy(), 0 * position.numpy())[:3], dtype=torch.float32)
        torch.testing.assert_close(pose, expected)
        assert is_rigid(pose)


def test_look_at_straight_down_is_still_a_pose() -> None:
    pose = look_at(torch.tensor([0.0, 0.0, 5.0]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    assert is_rigid(pose)
    torch.testing.assert_close(pose[:, 2], torch.tensor([0.0, 0.0, 1.0]))


def test_focus_point_of_converging_and_of_parallel_axes() -> None:
    poses = torch.tensor(hemisphere_poses(7), dtype=torch.float32)[:, :3]
    poses[:, :, 3] += torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(focus_point(poses), torch.tensor([1.0, 2.0, 3.0]), atol=1e-4, rtol=0)
    parallel = torch.eye(4)[:3].repeat(3, 1, 1)
    parallel[:, 0, 3] = torch.tensor([-1.0, 0.0, 4.0])
    torch.testing.assert_close(focus_point(parallel), torch.tensor([1.0, 0.0, 0.0]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", [0.5, -1.0, float("nan"), 1.02])
def test_not_rigid(scale: float) -> None:
    pose = torch.eye(4)[:3].clone()
    pose[:, :3] *= scale
    assert not is_rigid(pose)


def test_orthonormalize_gives_the_nearest_rotation() -> None:
    pose = torch.tensor(hemisphere_poses(1)[0, :3], dtype=torch.float32)
    bent = pose.clone()
    bent[:, :3] *= 1.004
    assert is_rigid(bent)
    torch.testing.assert_close(orthonormalize(bent), pose)


def test_the_widest_gap_between_cameras() -> None:
    degrees = torch.tensor([0.0, 40.0, 80.0, 200.0, 250.0, 300.0])
    eye = torch.stack([torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees)), 0 * degrees + 0.3], dim=1)
    center, up = torch.tensor([5.0, 6.0, 7.0]), torch.tensor([0.0, 0.0, 1.0])
    poses = look_at(eye + center, center.expand_as(eye), up)
    (first, second), width = widest_gap(poses, center, up)
    assert (first, second) == (2, 3)
    assert width == pytest.approx(120, abs=1e-3)
    assert widest_gap(poses, center, -up)[0] == (3, 2)  # the other way round, seen from below


def test_which_cameras_can_see_the_same() -> None:
    up, half_view = torch.tensor([0.0, 0.0, 1.0]), torch.full((5,), 0.4)
    eye = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0], [0, 1.0, 0], [0, -1.0, 0], [0, -1.1, 0]])
    towards = see_the_same(look_at(eye, torch.zeros(5, 3), up), half_view)
    assert bool(towards.all())
    away = see_the_same(look_at(eye, 2 * eye, up), half_view)
    assert away.nonzero().tolist() == [[0, 0], [1, 1], [2, 2], [3, 3], [3, 4], [4, 3], [4, 4]]
