"""The region that training cameras cover."""

import pytest
import torch

from nelf.bundle import BoxRegion, OrbitRegion, covered_region
from nelf.core.cameras import look_at

UP = torch.tensor([0.0, 0.0, 1.0])


def circle(degrees: torch.Tensor, height: float, radius: float = 3.0) -> torch.Tensor:
    angle = torch.deg2rad(degrees.float())
    eye = torch.stack([radius * angle.cos(), radius * angle.sin(), torch.full_like(angle, height)], dim=1)
    return look_at(eye, torch.zeros(3).expand_as(eye), UP)


def test_all_around() -> None:
    region = covered_region("object", torch.cat([circle(torch.arange(0, 360, 30), h) for h in (0.0, 3.0)]), UP * 0, UP)
    assert isinstance(region, OrbitRegion)
    assert region.azimuth_width == 360
    assert region.elevation == pytest.approx([0, 45], abs=1e-4)
    assert region.radius == pytest.approx([3, 18**0.5], abs=1e-5)


def test_an_arc_across_zero() -> None:
    region = covered_region("object", circle(torch.tensor([350, 5, 20, 40]), 1.0), UP * 0, UP)
    assert isinstance(region, OrbitRegion)
    assert region.azimuth_zero == pytest.approx([1, 0, 0])
    assert region.azimuth_start == pytest.approx(350, abs=1e-3)
    assert region.azimuth_width == pytest.approx(50, abs=1e-3)


def test_side_by_side() -> None:
    eye = torch.tensor([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.5, 0.2], [0.0, -0.5, -0.2]])
    c2w = look_at(eye, eye - torch.tensor([0.0, 0.0, 5.0]), torch.tensor([0.0, 1.0, 0.0]))
    region = covered_region("forward-facing", c2w, torch.zeros(3), torch.tensor([0.0, 1.0, 0.0]))
    assert isinstance(region, BoxRegion)
    assert region.low == pytest.approx([-1, -0.5, -0.2], abs=1e-6)
    assert region.high == pytest.approx([1, 0.5, 0.2], abs=1e-6)
    assert region.angle == pytest.approx(0, abs=1e-3)


def test_cameras_that_look_all_around() -> None:
    degrees = torch.deg2rad(torch.arange(0, 360, 45).float())
    outwards = torch.stack([degrees.cos(), degrees.sin(), torch.zeros_like(degrees)], dim=1)
    region = covered_region("unbounded", look_at(0.1 * outwards, outwards, UP), torch.zeros(3), UP)
    assert isinstance(region, BoxRegion)
    assert region.angle > 130
    rotation = torch.tensor(region.reference).reshape(3, 4)[:, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-5, rtol=0)


def test_an_open_scene_lists_cameras() -> None:
    c2w = circle(torch.arange(0, 360, 3), 1.0)
    region = covered_region("unbounded", c2w, torch.zeros(3), UP)
    assert isinstance(region, BoxRegion)
    assert region.cameras is not None
    assert len(region.cameras) == 64
    eyes = torch.tensor(region.cameras)[:, [3, 7, 11]]
    assert (
        float(torch.cdist(c2w[:, :, 3].double(), eyes.double()).amin(1).max()) <= region.max_distance
    )  # all are covered
    assert 3 <= region.max_angle <= 12  # degrees between neighbours of 64 around a circle


@pytest.mark.parametrize("count", [1, 2])
def test_an_open_scene_of_few_cameras(count: int) -> None:
    region = covered_region("unbounded", circle(torch.arange(count) * 90.0, 1.0), torch.zeros(3), UP)
    assert isinstance(region, BoxRegion)
    assert len(region.cameras or []) == count
    assert region.max_distance == pytest.approx(0 if count == 1 else 18**0.5, abs=1e-5)
