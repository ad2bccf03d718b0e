"""Advice on captures: each fault has its own line."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from nelf.capture import advice
from nelf.capture.photos import WorkingPhoto
from nelf.capture.prepare import Prepared
from nelf.capture.structure_from_motion import Evidence, Solution, opengl_pose, widest_angle
from nelf.scene import SceneType

COUNT = 24


def prepared(blurred: int = 0, count: int = COUNT) -> Prepared:
    photos = [WorkingPhoto(i, f"IMG_{i}", True, 0.1 if i < blurred else 0.6) for i in range(count)]
    return Prepared(photos, None, (480, 640), [])


def evidence(features: int = 2000, inliers: int = 200) -> Evidence:
    return Evidence(np.full(COUNT, features), np.full((COUNT, COUNT), inliers) * (1 - np.eye(COUNT, dtype=int)))


GOOD = Solution(
    placed=list(range(COUNT)),
    c2w=np.zeros((COUNT, 3, 4)),
    intrinsics=(500.0, 500.0, 320.0, 240.0),
    distortion=(0.0,) * 5,
    points=np.zeros((500, 3)),
    angle=12.0,
    error=0.6,
    others=[],
)


def lines(found: list) -> str:
    return "\n".join(map(str, found))


def test_of_a_good_capture_nothing_is_said() -> None:
    assert advice.of_photos(prepared()) == []
    assert advice.of_solution(prepared(), evidence(), GOOD) == []


def test_blurred_and_few_photos() -> None:
    found = lines(advice.of_photos(prepared(blurred=2, count=9)))
    assert "2 photos (IMG_0, IMG_1) are blurred; retake them" in found
    assert "9 photos are few" in found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"angle": 0.8}, "differ by only 0.8 degrees: too little parallax; move sideways"),
        ({"error": 2.3}, "points are seen 2.3 pixels from where they should be; keep the scene still"),
        (
            {"others": [6, 3], "placed": list(range(15))},
            "fall into 3 parts that do not overlap; only the largest, 15 photos",
        ),
    ],
)
def test_a_poor_solution(changes: dict, expected: str) -> None:
    assert expected in lines(advice.of_solution(prepared(), evidence(), replace(GOOD, **changes)))


def test_each_photo_without_a_pose_has_its_reason() -> None:
    found = evidence()
    found.features[1] = 40
    found.inliers[2] = found.inliers[:, 2] = 9
    placed = replace(GOOD, placed=[i for i in range(COUNT) if i not in (0, 1, 2, 3)])
    text = lines(advice.of_solution(prepared(blurred=1), found, placed))
    assert "(IMG_0) is not placed: blurred" in text
    assert "(IMG_1) is not placed: hardly any detail in them" in text
    assert "(IMG_2) is not placed: too little in common with the others" in text
    assert "(IMG_3) is not placed: their matches contradict each other" in text


@pytest.mark.parametrize(
    ("blurred", "features", "inliers", "expected"),
    [
        (20, 2000, 200, "20 of 24 photos are blurred"),
        (0, 30, 200, "24 of 24 photos show hardly any detail"),
        (0, 2000, 5, "24 of 24 photos match no other photo"),
        (0, 2000, 200, "walk around the scene instead of turning on the spot"),
    ],
)
def test_why_nothing_was_found(blurred: int, features: int, inliers: int, expected: str) -> None:
    assert expected in advice.why_nothing(prepared(blurred), evidence(features, inliers))


def circle(degrees: list[float]) -> torch.Tensor:
    c2w = torch.zeros(len(degrees), 3, 4)
    for i, angle in enumerate(degrees):
        c2w[i, :, 3] = torch.tensor([math.cos(math.radians(angle)), math.sin(math.radians(angle)), 0.3])
    return c2w


def test_gaps_in_the_circle() -> None:
    names = [f"IMG_{i}" for i in range(36)]
    whole = [10.0 * i for i in range(36)]
    assert advice.of_circle(SceneType.OBJECT, circle(whole), names) == []
    gap = [a for a in whole if not 100 < a < 190]
    found = lines(advice.of_circle(SceneType.OBJECT, circle(gap), names))
    assert "no photo over 90 degrees of the circle, between IMG_10 and IMG_11; take photos there" in found
    assert advice.of_circle(SceneType.FORWARD_FACING, circle(gap), names) == []
    assert advice.of_circle(SceneType.OBJECT, circle([a for a in whole if a < 170]), names) == []  # one side: a choice


def test_angles_and_axes() -> None:
    assert widest_angle(np.array([[1.0, 0, 0], [2.0, 0, 0], [0, 3.0, 0]])) == pytest.approx(90)
    pose = opengl_pose(np.concatenate([np.eye(3), [[0.0], [0.0], [2.0]]], axis=1))
    assert pose[:, 3].tolist() == [0, 0, -2]  # COLMAP's camera looks along +z at the origin
    assert pose[:, 2].tolist() == [0, 0, -1]
    assert pose[:, 1].tolist() == [0, -1, 0]
