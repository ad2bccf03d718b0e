"""Properties of the reference camera that no list of vectors can test."""

import json
import math
import random
from typing import Any

import pytest

from nelf.bundle import Manifest
from tests.vectors.manifests import MANIFESTS
from tests.vectors.reference_camera import OrbitCamera

SLACK = 1e-9


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def minus(a: list[float], b: list[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def angle(a: list[float], b: list[float]) -> float:
    return math.degrees(math.acos(max(-1.0, min(1.0, dot(a, b)))))


def assert_rigid(pose: list[float]) -> None:
    rows = [pose[4 * i : 4 * i + 3] for i in range(3)]
    for i in range(3):
        for j in range(3):
            assert dot(rows[i], rows[j]) == pytest.approx(float(i == j), abs=SLACK)


def assert_inside(manifest: dict[str, Any], pose: list[float]) -> None:
    """Uses the region's definition (nelf/export/region.py), not the camera's code."""
    region, eye, back = manifest["region"], pose[3::4], pose[2::4]
    if region["type"] == "orbit":
        offset = minus(eye, region["center"])
        radius = math.sqrt(dot(offset, offset))
        assert region["radius"][0] - SLACK <= radius <= region["radius"][1] + SLACK
        if radius > 1e-6:
            elevation = math.degrees(math.asin(max(-1.0, min(1.0, dot(offset, region["up"]) / radius))))
            assert region["elevation"][0] - 1e-5 <= elevation <= region["elevation"][1] + 1e-5
            if abs(elevation) < 89:
                up, zero = region["up"], region["azimuth_zero"]
                side = [
                    up[1] * zero[2] - up[2] * zero[1],
                    up[2] * zero[0] - up[0] * zero[2],
                    up[0] * zero[1] - up[1] * zero[0],
                ]
                azimuth = math.degrees(math.atan2(dot(offset, side), dot(offset, zero)))
                assert (azimuth - region["azimuth_start"] + 1e-5) % 360 <= region["azimuth_width"] + 2e-5
    elif "cameras" in region:
        near = [
            camera
            for camera in region["cameras"]
            if math.dist(eye, camera[3::4]) <= region["max_distance"] + SLACK
            and angle(back, camera[2::4]) <= region["max_angle"] + 1e-5
        ]
        assert near
    else:
        reference = region["reference"]
        offset = minus(eye, reference[3::4])
        local = [dot(offset, reference[i::4]) for i in range(3)]
        for low, value, high in zip(region["low"], local, region["high"], strict=True):
            assert low - 1e-7 <= value <= high + 1e-7  # the reference has nine decimals
        assert angle(back, reference[2::4]) <= region["angle"] + 1e-4


@pytest.mark.parametrize("name", MANIFESTS)
def test_it_stays_inside(name: str) -> None:
    manifest, chance = MANIFESTS[name], random.Random(name)
    Manifest.model_validate_json(json.dumps(manifest))  # refuses what contradicts itself
    camera = OrbitCamera(manifest)
    camera.resize(390.0, 844.0)
    assert_inside(manifest, camera.c2w)
    for _ in range(400):
        far = 10 ** chance.uniform(0, 4)
        dt = chance.choice([0.0, 1e-7, 0.004, 0.0166, 0.5])
        calls = {
            "begin": (),
            "drag": (chance.uniform(-far, far), chance.uniform(-far, far), dt),
            "pan": (chance.uniform(-far, far), chance.uniform(-far, far), dt),
            "pinch": (math.exp(chance.uniform(-3, 3)), dt),
            "end": (dt,),
            "step": (dt,),
        }
        call = chance.choice(list(calls))
        getattr(camera, call)(*calls[call])
        assert_rigid(camera.c2w)
        assert_inside(manifest, camera.c2w)


@pytest.mark.parametrize("name", ["around", "arc", "window", "poles"])
def test_inertia_does_not_depend_on_the_frame_rate(name: str) -> None:
    poses = []
    for steps in (1, 7, 500):
        camera = OrbitCamera(MANIFESTS[name])
        camera.resize(300.0, 300.0)
        camera.begin()
        camera.drag(2.0, 1.0, 0.016)
        camera.end(0.0)
        for _ in range(steps):
            camera.step(0.9 / steps)
        poses.append(camera.c2w)
    assert poses[1] == pytest.approx(poses[0], abs=1e-9)
    assert poses[2] == pytest.approx(poses[0], abs=1e-9)


def test_it_comes_to_rest_and_stays() -> None:
    camera = OrbitCamera(MANIFESTS["around"])
    camera.begin()
    camera.drag(0.01, 0.0, 0.016)
    camera.end(0.0)
    assert camera.moving
    assert not camera.step(60.0)
    rest = camera.c2w
    camera.step(60.0)
    assert camera.c2w == rest
