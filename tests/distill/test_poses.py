"""Pseudo poses: deterministic for each index, and inside the region that the training cameras cover."""

import math

import numpy as np
import pytest
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from nelf.bundle.region import BoxRegion, covered_region
from nelf.core.cameras import is_rigid, look_at
from nelf.core.errors import SceneError
from nelf.distill import DistillConfig, pseudo_poses
from nelf.distill.poses import CoveredDirections, generator, turn_between
from nelf.scene import SceneType
from tests.distill.fakes import make_bounds, make_scene
from tests.scenes import hemisphere_poses

UP = torch.tensor([0.0, 0.0, 1.0])


def sample(kind: SceneType, indices: range | list[int], views: int = 60, **settings: float) -> Float[Tensor, "m 3 4"]:
    scene = make_scene(kind, views)
    return pseudo_poses(scene, scene.train.c2w, DistillConfig(**settings), indices)  # type: ignore[arg-type]


def angle_between(a: Float[Tensor, "3 3"], b: Float[Tensor, "3 3"]) -> float:
    return float((Rotation.from_matrix(a.numpy()).inv() * Rotation.from_matrix(b.numpy())).magnitude())


def look_in(eyes: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 4"]:
    """Upright cameras that look at the origin."""
    return look_at(eyes.float(), torch.zeros(len(eyes), 3), UP)


def random_directions(count: int, lowest: float, azimuth: float = 2 * math.pi) -> Float[Tensor, "n 3"]:
    """Uniform over a band of the sphere above height `lowest`."""
    random = np.random.default_rng(3)
    z, angle = random.uniform(lowest, 1, count), random.uniform(0, azimuth, count)
    side = np.sqrt(1 - z**2)
    return torch.tensor(np.stack([side * np.cos(angle), side * np.sin(angle), z], 1))


@pytest.mark.parametrize("kind", list(SceneType))
def test_an_index_gives_the_same_pose_whatever_else_is_asked_for(kind: SceneType) -> None:
    whole = sample(kind, range(12))
    torch.testing.assert_close(sample(kind, [7, 3]), whole[[7, 3]], rtol=0, atol=0)
    assert not torch.equal(sample(kind, [7], seed=1), whole[[7]])
    assert all(is_rigid(pose) for pose in whole)
    assert len(torch.unique(whole[:, :, 3], dim=0)) == 12


def test_object_poses_cover_the_upper_hemisphere_evenly() -> None:
    train = look_in(4.03 * random_directions(100, 0.0))
    off = torch.tensor([0.1, 0.0, 0.3])  # the middle of the object need not be where the cameras look
    poses = pseudo_poses(make_bounds(SceneType.OBJECT, UP, off), train, DistillConfig(), range(800))
    eye, radius = poses[:, :, 3], poses[:, :, 3].norm(dim=1)
    assert radius.min() > 4.03 * 0.979
    assert radius.max() < 4.03 * 1.021
    assert radius.std() > 0.005 * 4.03
    height = (eye / radius[:, None])[:, 2]
    assert height.min() > math.sin(math.radians(-5.5))  # the margin below the lowest camera
    # Heights of a hemisphere are uniform (Archimedes): each fifth holds 160 +- 11; 40 is 3.5 sigma.
    counts = torch.histc(height[height > 0], 5, 0, 1)
    assert ((counts - len(height[height > 0]) / 5).abs() < 40).all()
    azimuths = torch.histc(torch.atan2(eye[:, 1], eye[:, 0]), 8, -math.pi, math.pi)
    assert ((azimuths - 100).abs() < 35).all()


def test_where_training_cameras_agree_object_poses_vary_in_aim_and_roll_all_the_same() -> None:
    train = look_in(4.03 * random_directions(100, 0.0))

    def poses(**settings: float) -> Float[Tensor, "n 3 4"]:
        return pseudo_poses(make_bounds(SceneType.OBJECT, UP), train, DistillConfig(**settings), range(400))  # type: ignore[arg-type]

    exact = poses(look_at_jitter=0.0, roll_degrees=0.0)
    eye = exact[:, :, 3]
    torch.testing.assert_close(exact[:, :, 2], torch.nn.functional.normalize(eye, dim=1), atol=1e-5, rtol=0)
    assert exact[:, 2, 0].abs().max() < 1e-5  # right axes are level: no roll
    assert exact[:, 2, 1].min() > 0  # up axes point up

    varied = poses()
    torch.testing.assert_close(varied[:, :, 3], eye)
    backward = varied[:, :, 2]
    missed = eye - (eye * backward).sum(dim=1, keepdim=True) * backward  # from the center to the optical axis
    # Two of three components of 0.03 x 1.2: their mean length is sqrt(pi / 2) of that; 400 of them, 5 sigma.
    assert missed.norm(dim=1).mean() == pytest.approx(0.036 * math.sqrt(math.pi / 2), rel=0.13)
    level = torch.nn.functional.normalize(torch.linalg.cross(UP.expand(400, 3), backward), dim=1)
    roll = torch.atan2((torch.linalg.cross(backward, level) * varied[:, :, 0]).sum(1), (level * varied[:, :, 0]).sum(1))
    assert roll.rad2deg().std() == pytest.approx(2.0, rel=0.18)  # 5 sigma


def test_object_poses_stay_on_the_side_that_was_photographed() -> None:
    train = look_in(3.0 * random_directions(60, 0.3, azimuth=math.pi / 2))
    poses = pseudo_poses(make_bounds(SceneType.OBJECT, UP), train, DistillConfig(), range(200))
    directions = torch.nn.functional.normalize(poses[:, :, 3], dim=1)
    to_nearest = (directions @ (train[:, :, 3] / 3).T).amax(dim=1).clamp(max=1).arccos()
    assert to_nearest.max() < math.radians(20)


def test_object_poses_vary_in_aim_and_roll_as_the_training_cameras_do() -> None:
    random = np.random.default_rng(0)
    train = look_in(4 * random_directions(80, 0.2))
    off = torch.from_numpy(Rotation.from_rotvec(random.normal(size=(80, 3)) * 0.05).as_matrix()).float()
    train = torch.cat([train[:, :, :3] @ off, train[:, :, 3:]], dim=2)
    config = DistillConfig(look_at_jitter=0.0, roll_degrees=0.0)
    poses = pseudo_poses(make_bounds(SceneType.OBJECT, UP), train, config, range(300))
    straight = look_in(poses[:, :, 3])
    turns = Rotation.from_matrix((straight[:, :, :3].mT @ poses[:, :, :3]).numpy()).as_rotvec()
    for spread in turns.std(axis=0).tolist():  # x and y: aim; z: roll
        assert 0.035 < spread < 0.065


def test_a_capture_all_around_is_covered_all_around() -> None:
    directions = torch.nn.functional.normalize(torch.randn(200, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    cover = CoveredDirections(directions.double(), UP.double(), math.radians(60), math.radians(5))
    assert cover.contains(directions.double().flip(0)).all()
    heights = torch.stack([cover.sample(generator(0, i)) for i in range(300)])[:, 2]
    assert ((torch.histc(heights, 4, -1, 1) - 75).abs() < 30).all()


def test_one_ring_of_cameras_gives_a_band() -> None:
    angle = torch.linspace(0, 2 * math.pi, 41)[:-1].double()
    ring = torch.stack([angle.cos(), angle.sin(), 0 * angle], dim=1)
    cover = CoveredDirections(ring, UP.double(), math.radians(60), math.radians(5))
    heights = torch.stack([cover.sample(generator(0, i)) for i in range(100)])[:, 2]
    assert heights.abs().max() < math.sin(math.radians(5.001))
    assert heights.std() > 0.02


def test_forward_facing_poses_fill_the_box_of_the_viewers_and_look_as_their_neighbours() -> None:
    scene = make_scene(SceneType.FORWARD_FACING, 20)
    train = scene.train.c2w
    poses = sample(SceneType.FORWARD_FACING, range(300), views=20)
    region = covered_region("forward-facing", train, torch.zeros(3), torch.tensor([0.0, 1.0, 0.0]))
    assert isinstance(region, BoxRegion)
    reference = torch.tensor(region.reference).reshape(3, 4)
    places = (poses[:, :, 3] - reference[:, 3]) @ reference[:, :3]
    low, high = torch.tensor(region.low), torch.tensor(region.high)
    share = (places - low) / (high - low)
    assert share.min() > -0.03  # half of 5 %, and a little more: both mean cameras are not quite the same
    assert share.max() < 1.03
    assert share[:, :2].amin(dim=0).max() < 0.05
    assert share[:, :2].amax(dim=0).min() > 0.95
    corner = (share[:, :2] - 0.5).abs().amin(dim=1).max()
    assert corner > 0.45  # the hull of cameras on an ellipse lacks its box's corners
    nearest = torch.cdist(poses[:, :, 3], train[:, :, 3]).argmin(dim=1)
    angles = [angle_between(p[:, :3], train[n, :, :3]) for p, n in zip(poses, nearest.tolist(), strict=True)]
    assert max(angles) < 0.12


@pytest.mark.parametrize("line", [False, True])
def test_poses_of_few_forward_facing_cameras(line: bool) -> None:
    """Two cameras, or cameras on one line: the box has no height."""
    scene = make_scene(SceneType.FORWARD_FACING, 20)
    c2w = scene.train.c2w[:2].clone()
    if line:
        c2w[:, 1:, 3] = c2w[0, 1:, 3].clone()
    for found in pseudo_poses(scene, c2w, DistillConfig(views=5), range(5)):
        assert is_rigid(found)


def test_unbounded_poses_lie_between_neighbours() -> None:
    train = make_scene(SceneType.UNBOUNDED, 60).train.c2w
    poses = sample(SceneType.UNBOUNDED, range(300))
    ways = torch.cdist(poses[:, :, 3], train[:, :, 3])
    step = (train[1:, :, 3] - train[:-1, :, 3]).norm(dim=1).mean()
    assert ways.amin(dim=1).max() < 2 * step
    nearest = ways.argmin(dim=1)
    angles = [angle_between(p[:, :3], train[n, :, :3]) for p, n in zip(poses, nearest.tolist(), strict=True)]
    assert max(angles) < 0.3
    assert len(torch.unique(nearest)) > 50


def test_unbounded_poses_are_as_dense_where_cameras_are_sparse() -> None:
    """Cameras that look the same way from a line: 30 on its first half, 10 on its second, one 50 times as far away."""
    c2w = torch.eye(3, 4).repeat(41, 1, 1)
    c2w[:, 0, 3] = torch.cat([torch.linspace(0, 1, 31)[:-1], torch.linspace(1, 2, 10), torch.tensor([100.0])])
    scene = make_scene(SceneType.UNBOUNDED, 20)
    places = pseudo_poses(scene, c2w, DistillConfig(), range(1000))[:, 0, 3]
    dense, sparse = (((places >= low) & (places < low + 1)).sum().item() for low in (0, 1))
    assert 0.6 < sparse / dense < 1.5
    assert (places > 3).sum() < 200


def test_unbounded_poses_of_cameras_in_one_place() -> None:
    c2w = torch.eye(3, 4).repeat(9, 1, 1)
    found = pseudo_poses(make_scene(SceneType.UNBOUNDED, 20), c2w, DistillConfig(), range(5))
    assert torch.allclose(found, c2w[:5])


def test_two_training_cameras_are_enough_and_one_is_not() -> None:
    for kind in SceneType:
        assert sample(kind, range(5), views=2).isfinite().all()
        with pytest.raises(SceneError, match="1 training view"):
            sample(kind, range(5), views=1)


def test_a_rotation_between_two_lies_on_the_shortest_way() -> None:
    a, b = (torch.tensor(hemisphere_poses(2)[i, :3, :3]) for i in (0, 1))

    def at(t: float, jitter: float = 0.0, last: Tensor = b) -> Tensor:
        return turn_between(a, last, t, jitter, generator(0, 0))

    torch.testing.assert_close(at(1.0), b, atol=1e-12, rtol=0)
    assert angle_between(a, at(0.25)) == pytest.approx(0.25 * angle_between(a, b))
    assert angle_between(a, at(1.25)) == pytest.approx(1.25 * angle_between(a, b))
    torch.testing.assert_close(at(0.3, jitter=0.5, last=a), a, atol=1e-12, rtol=0)
    length = np.linalg.norm(generator(0, 0).normal(size=3))
    assert angle_between(at(0.3), at(0.3, jitter=0.01)) == pytest.approx(0.01 * length * angle_between(a, b))
