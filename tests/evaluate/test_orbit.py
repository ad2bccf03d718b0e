"""Orbit paths: rigid, upright, closed, near the training cameras."""

import math

import pytest
import torch
from torch import Tensor

from nelf.core.cameras import is_rigid, look_at
from nelf.evaluate import orbit_poses
from nelf.scene.scene import SceneType

UP = torch.tensor([0.0, 0.0, 1.0])
CENTER = torch.tensor([1.0, -2.0, 0.5])


def ring(azimuth: Tensor, elevation: float = 0.5, radius: float = 4.0, outwards: bool = False) -> Tensor:
    level = torch.stack([azimuth.cos(), azimuth.sin(), torch.zeros_like(azimuth)], dim=-1)
    eye = CENTER + radius * (math.cos(elevation) * level + math.sin(elevation) * UP)
    return look_at(eye, eye + level if outwards else CENTER.expand_as(eye), UP)


def wall() -> Tensor:
    """Forward-facing: 5 x 4 cameras that look along +y."""
    x, z = torch.meshgrid(torch.linspace(-1, 1, 5), torch.linspace(-0.5, 0.5, 4), indexing="ij")
    eye = torch.stack([x.flatten(), torch.zeros(20), z.flatten()], dim=-1)
    return look_at(eye, eye + torch.tensor([0.0, 1.0, 0.0]), UP)


FULL = ring(torch.arange(24) * (2 * math.pi / 24))
ARC = ring(torch.linspace(-1.0, 1.0, 24))
CASES = {
    "object": (SceneType.OBJECT, FULL),
    "object, an arc": (SceneType.OBJECT, ARC),
    "forward-facing": (SceneType.FORWARD_FACING, wall()),
    "unbounded": (SceneType.UNBOUNDED, FULL),
    "unbounded, an arc": (SceneType.UNBOUNDED, ARC),
    "unbounded, looking out": (
        SceneType.UNBOUNDED,
        ring(torch.arange(24) * (2 * math.pi / 24), 0.0, 0.3, outwards=True),
    ),
    "one camera": (SceneType.UNBOUNDED, FULL[:1]),
    "one forward-facing camera": (SceneType.FORWARD_FACING, wall()[:1]),
    "one camera of an object": (SceneType.OBJECT, FULL[:1]),
}


@pytest.mark.parametrize(("kind", "c2w"), CASES.values(), ids=CASES)
def test_every_path_is_rigid_upright_and_closed(kind: SceneType, c2w: Tensor) -> None:
    path = orbit_poses(kind, c2w, CENTER, UP, 60)
    assert path.shape == (60, 3, 4)
    assert all(is_rigid(pose) for pose in path)
    assert bool((path[:, 2, 1] > 0.3).all())  # the image's up points upwards
    assert bool((path[:, 2, 0].abs() < 1e-5).all())  # and its horizon is level
    steps = (path - path.roll(1, 0)).flatten(1).norm(dim=1)
    assert float(steps.max()) < 4 * float(steps.mean()) + 1e-5  # from the last to the first as from any to the next


def test_object_is_seen_from_all_around() -> None:
    path = orbit_poses(SceneType.OBJECT, FULL, CENTER, UP, 36)
    offset = path[:, :, 3] - CENTER
    assert torch.allclose(offset.norm(dim=-1), torch.tensor(4.0), atol=1e-4)
    assert torch.allclose(offset[:, 2], torch.tensor(4.0 * math.sin(0.5)), atol=1e-4)
    assert torch.allclose(-path[:, :, 2] * 4, -offset, atol=1e-4)  # looks at the centre
    turns = torch.atan2(offset[:, 1], offset[:, 0]).diff().remainder(2 * math.pi)
    assert torch.allclose(turns, torch.tensor(2 * math.pi / 36), atol=1e-4)


@pytest.mark.parametrize("kind", [SceneType.OBJECT, SceneType.UNBOUNDED])
def test_a_gap_is_not_crossed(kind: SceneType) -> None:
    offset = orbit_poses(kind, ARC, CENTER, UP, 36)[:, :, 3] - CENTER
    azimuth = torch.atan2(offset[:, 1], offset[:, 0])
    assert 0.8 < float(azimuth.max()) <= 1.001
    assert -1.001 <= float(azimuth.min()) < -0.8


def test_forward_facing_stays_in_the_hull_and_looks_ahead() -> None:
    path = orbit_poses(SceneType.FORWARD_FACING, wall(), torch.tensor([0.0, 5.0, 0.0]), UP, 40)
    eye = path[:, :, 3]
    assert float(eye[:, 0].abs().max()) < 1
    assert float(eye[:, 2].abs().max()) < 0.5
    assert float(eye[:, 0].max() - eye[:, 0].min()) > 0.7
    assert bool((-path[:, 1, 2] > 0.95).all())
    target = eye - path[:, :, 2] * (5 / -path[:, 1, 2])[:, None]
    assert torch.allclose(target, torch.tensor([0.0, 5.0, 0.0]), atol=1e-4)


def test_forward_facing_ellipse_fits_a_diagonal_hull() -> None:
    """Cameras along a diagonal span a large box but a thin hull: the ellipse must stay in the hull."""
    along = torch.linspace(-1, 1, 9)
    eye = torch.stack([along, torch.zeros(9), along], dim=-1)
    path = orbit_poses(SceneType.FORWARD_FACING, look_at(eye, eye + torch.tensor([0.0, 1.0, 0.0]), UP), CENTER, UP, 20)
    assert float((path[:, 0, 3] - path[:, 2, 3]).abs().max()) < 1e-3


def test_unbounded_stays_near_the_cameras() -> None:
    c2w = torch.cat([ring(torch.arange(24) * (2 * math.pi / 24), elevation) for elevation in (0.2, 0.6)])
    path = orbit_poses(SceneType.UNBOUNDED, c2w, CENTER, UP, 48)
    height = path[:, 2, 3] - CENTER[2]
    assert bool((height > 4 * math.sin(0.2) - 1e-3).all())
    assert bool((height < 4 * math.sin(0.6) + 1e-3).all())
    radius = (path[:, :2, 3] - CENTER[:2]).norm(dim=-1)
    assert bool((radius > 4 * math.cos(0.6) - 1e-3).all())
    assert bool((radius < 4 * math.cos(0.2) + 1e-3).all())


def test_any_up() -> None:
    """Rotating the whole scene rotates the path, whatever the up axis."""
    turn = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    for kind, c2w in (CASES["object"], CASES["forward-facing"], CASES["unbounded"]):
        straight = orbit_poses(kind, c2w, CENTER, UP, 30)
        turned = orbit_poses(kind, turn @ c2w, turn @ CENTER, turn @ UP, 30)
        nearest = torch.cdist((turn @ straight)[:, :, 3], turned[:, :, 3]).amin(1)
        assert float(nearest.max()) < 0.5  # the same curve, whatever frame it starts at
