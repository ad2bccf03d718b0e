"""Rays against an explicit projection; both must follow docs/conventions.md."""

import math

import pytest
import torch

from nelf.core.cameras import image_rays, look_at, pixel_grid, rays_through
from tests.scenes import hemisphere_poses


def project(point: torch.Tensor, c2w: torch.Tensor, intrinsics: torch.Tensor) -> tuple[float, float, float]:
    """Image x, y and depth of a world point, by definition of the axes (OpenGL: -z forwards, y up)."""
    x, y, z = (c2w[:, :3].T @ (point - c2w[:, 3])).tolist()
    fx, fy, cx, cy = intrinsics.tolist()
    return cx + fx * x / -z, cy - fy * y / -z, -z


def test_ray_through_projection_passes_the_point_at_its_depth() -> None:
    intrinsics = torch.tensor([30.0, 33.0, 11.0, 7.5])
    point = torch.tensor([0.3, -0.2, 0.4])
    for pose in torch.tensor(hemisphere_poses(5), dtype=torch.float32):
        x, y, depth = project(point, pose[:3], intrinsics)
        rays = rays_through(torch.tensor([x, y]), pose[:3], intrinsics)
        torch.testing.assert_close(rays.origins + depth * rays.directions, point, atol=1e-5, rtol=0)


def test_pixel_centres_are_at_one_half() -> None:
    grid = pixel_grid(2, 3)
    assert grid[0, 0].tolist() == [0.5, 0.5]
    assert grid[1, 2].tolist() == [2.5, 1.5]


def test_directions_have_unit_depth_along_the_view_axis() -> None:
    c2w = look_at(torch.tensor([3.0, 1.0, 2.0]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    rays = image_rays(c2w, torch.tensor([20.0, 20.0, 8.0, 6.0]), 12, 16)
    torch.testing.assert_close(-(rays.directions @ c2w[:, 2]), torch.ones(12, 16))
    assert rays.directions[0, 0] @ c2w[:, 1] > 0  # the first row looks upwards
    assert rays.directions[0, 0] @ c2w[:, 0] < 0  # the first column looks to the left
    assert rays.flatten().origins.shape == (192, 3)
    assert len(rays.flatten()[torch.arange(5)]) == 5


def test_corner_ray_is_half_the_field_of_view_away() -> None:
    c2w = torch.eye(4)[:3]
    ray = rays_through(torch.tensor([16.0, 4.0]), c2w, torch.tensor([8.0, 8.0, 8.0, 4.0]))
    assert math.atan2(ray.directions[0].item(), 1.0) == pytest.approx(math.pi / 4)
