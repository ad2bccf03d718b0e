"""The world of an imported scene, and the alignment in benchmarks/captures.py."""

import math

import numpy as np
import pytest
import torch

from benchmarks.captures import compare, similarity
from nelf.capture.write import looked_at, moved, world_frame
from nelf.core.cameras import look_at, orthonormalize


def random_rotation(seed: int) -> np.ndarray:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def ring(count: int = 24, height: float = 0.7) -> np.ndarray:
    """Cameras around the origin, z up, looking at it."""
    angle = torch.arange(count) * 2 * math.pi / count
    eye = torch.stack([2 * angle.cos(), 2 * angle.sin(), torch.full_like(angle, height)], dim=1)
    return orthonormalize(look_at(eye, torch.zeros_like(eye), torch.tensor([0.0, 0.0, 1.0])).double()).numpy()


def transformed(c2w: np.ndarray, scale: float, rotation: np.ndarray, shift: np.ndarray) -> np.ndarray:
    centers = scale * c2w[:, :, 3] @ rotation.T + shift
    return np.concatenate([rotation @ c2w[:, :, :3], centers[:, :, None]], axis=2)


@pytest.mark.parametrize("seed", range(4))
def test_up_becomes_z_and_the_cameras_stand_around_the_origin(seed: int) -> None:
    rotation, shift = random_rotation(seed), np.array([3.0, -7.0, 11.0])
    c2w = transformed(ring(), 5.0, rotation, shift)
    points = 5.0 * np.random.default_rng(seed).uniform(-1, 1, (500, 3)) @ rotation.T + shift
    found = moved(c2w, world_frame(c2w, [True] * len(c2w), points))
    assert np.allclose(np.linalg.det(found[:, :, :3]), 1)
    assert np.allclose(found[:, 2, 0], 0, atol=1e-5)  # right-hand axes are level
    assert (found[:, 2, 1] > 0.5).all()  # and up is up
    assert np.allclose(found[:, :, 3].mean(0)[:2], 0, atol=1e-5)
    assert np.median(np.linalg.norm(found[:, :, 3], axis=1)) == pytest.approx(1)


def test_photos_on_their_side_have_no_say_in_what_is_up() -> None:
    c2w = ring()
    on_side = c2w[:, :, [1, 0, 2, 3]] * [1, -1, 1, 1]
    mixed = np.concatenate([c2w[:14], on_side[14:]])
    found = moved(mixed, world_frame(mixed, [True] * 14 + [False] * 10, np.zeros((0, 3))))
    assert np.allclose(found[:14, 2, 0], 0, atol=1e-5)


def test_where_cameras_look_nowhere_in_common_the_points_are_the_middle() -> None:
    c2w = ring()
    outwards = c2w * np.array([-1.0, 1.0, -1.0, 1.0])
    points = np.random.default_rng(0).uniform(-8, 10, (999, 3))
    assert np.allclose(looked_at(outwards, points), np.median(points, axis=0))
    assert np.allclose(looked_at(c2w, np.concatenate([points, -points])), 0, atol=1e-4)


def test_similarity_finds_what_was_done_and_no_mirror() -> None:
    source = np.random.default_rng(3).normal(size=(20, 3))
    rotation, shift = random_rotation(5), np.array([1.0, 2.0, 3.0])
    scale, found, translation = similarity(source, 2.5 * source @ rotation.T + shift)
    assert scale == pytest.approx(2.5)
    assert np.allclose(found, rotation)
    assert np.allclose(translation, shift)
    mirrored = similarity(source, source * [1, 1, -1])[1]
    assert np.linalg.det(mirrored) == pytest.approx(1)


def test_errors_are_degrees_and_per_cent_of_the_radius() -> None:
    given = ring(height=0.0)
    turn = math.radians(0.2)
    about_x = np.array([[1, 0, 0], [0, math.cos(turn), -math.sin(turn)], [0, math.sin(turn), math.cos(turn)]])
    found = transformed(given, 0.3, random_rotation(1), np.array([4.0, 5.0, 6.0]))
    assert max(compare(found, given).values()) < 1e-6
    found[:, :, :3] = found[:, :, :3] @ about_x
    errors = compare(found, given)
    assert errors["rotation_median_degrees"] == pytest.approx(0.2, rel=1e-3)
    found[7, 2, 3] += 0.3 * 0.1  # a twentieth of the radius 2
    errors = compare(found, given)
    assert errors["position_largest_percent"] == pytest.approx(5, rel=0.2)
    assert errors["position_median_percent"] < 1
