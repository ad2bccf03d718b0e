"""Sharpness, motion, the choice of video frames, and the pairs to match."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from nelf.capture.structure_from_motion import KEYS, NEIGHBOURS, all_pairs, choose_pairs, sequential_pairs
from nelf.capture.video import BLURRED, STEP, Judged, ViewChange, block_motion, choose, parallax, sharpness, to_grey
from tests.capture.room import poses, render


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Speckles of a few pixels, float32 in [0, 255]."""
    values = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.uint8)
    return np.asarray(Image.fromarray(values).filter(ImageFilter.GaussianBlur(1.0)), dtype=np.float32) * 2


def test_blur_lowers_sharpness_whatever_is_shown() -> None:
    photo = Image.fromarray(render(poses(3)[1]))
    values = [sharpness(to_grey(np.asarray(photo.filter(ImageFilter.GaussianBlur(r))), 640)) for r in (0, 1, 2, 5)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < BLURRED
    assert sharpness(noise(64, 64)) > BLURRED
    assert sharpness(np.full((64, 64), 77, dtype=np.float32)) == 0  # plain: no detail to match


def test_motion_blur_in_one_direction_counts() -> None:
    picture = noise(96, 96)
    swept = np.mean([np.roll(picture, i, axis=1) for i in range(9)], axis=0)
    assert sharpness(swept.astype(np.float32)) < 0.7 * sharpness(picture)


@pytest.mark.parametrize(("x", "y"), [(5, -3), (0, 0), (-12, 7)])
def test_block_motion_of_a_shifted_picture(x: int, y: int) -> None:
    picture = noise(192, 256)
    flow = block_motion(picture, np.roll(picture, (y, x), axis=(0, 1)))
    assert len(flow) == 12
    assert np.median(flow[:, 2]) == x
    assert np.median(flow[:, 3]) == y
    assert parallax(flow) < 0.5


def test_parallax_is_what_no_affine_map_explains() -> None:
    at = np.stack(np.meshgrid(np.arange(8.0), np.arange(6.0)), axis=-1).reshape(-1, 2)
    turned = np.concatenate([at, 0.1 * at @ np.array([[0, 1], [-1, 0]]) + [3, 4]], axis=1)
    assert parallax(turned) < 1e-9
    deep = turned.copy()
    deep[::2, 2] += 4.0  # every other block is nearer
    assert parallax(deep) > 1.0


def test_slow_motion_adds_up_and_stillness_does_not() -> None:
    picture, change = noise(192, 600), ViewChange()
    values = [change.since_start(picture[:, i // 4 : 256 + i // 4]) for i in range(200)]  # a quarter pixel a frame
    assert values == sorted(values)
    assert values[-1] == pytest.approx(49 / 256, rel=0.15)
    still = ViewChange()
    assert [still.since_start(picture[:, :256]) for _ in range(5)] == [0.0] * 5


def test_frames_are_apart_in_view_and_sharp() -> None:
    still, walk = np.zeros(50), np.linspace(0, 20 * STEP, 400)
    change = np.concatenate([still, walk, np.full(50, walk[-1])])
    values = np.full(500, 0.6)
    values[::3] = 0.2  # every third frame is shaken
    chosen = choose(Judged(change, values), 120)
    assert len(chosen) == 21
    assert all(values[i] == 0.6 for i in chosen)
    gaps = np.diff(change[chosen])
    assert gaps.min() > 0.3 * STEP
    assert gaps.max() < 1.8 * STEP
    assert len(choose(Judged(change, values), 7)) == 7
    assert len(choose(Judged(np.zeros(30), np.arange(30.0)), 10)) == 1


def test_pairs() -> None:
    assert choose_pairs(30, "auto", ordered=False) == all_pairs(30)
    assert (
        choose_pairs(30, "sequential", ordered=False) == choose_pairs(30, "auto", ordered=True) == sequential_pairs(30)
    )
    assert choose_pairs(300, "auto", ordered=False) == sequential_pairs(300)
    pairs = sequential_pairs(300)
    assert len(pairs) == len(set(pairs)) < len(all_pairs(300)) / 5
    assert all(0 <= i < j < 300 for i, j in pairs)
    assert {(i, i + 1) for i in range(299)} <= set(pairs)  # no photo is without its neighbours
    assert (0, 299) in pairs  # what closes the loop
    assert len(pairs) < 300 * (NEIGHBOURS + 6) + KEYS**2
    assert sequential_pairs(1) == []
    assert sequential_pairs(2) == [(0, 1)]
