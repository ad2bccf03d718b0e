"""MobileR2L's network: published sizes, and any image size."""

import dataclasses

import pytest
import torch

from nelf.student import count_macs, count_parameters, make_student
from nelf.student.mobiler2l import STRIDES, MobileR2L
from tests.student.frames import cameras, frame
from tests.student.small import preset, small_student


def published(height: int, width: int, *overrides: str) -> MobileR2L:
    network = make_student(preset("mobiler2l", *overrides), frame(size=(height, width)))
    assert isinstance(network, MobileR2L)
    return network


def test_it_has_the_published_size() -> None:
    """Cao et al. 2023, table 1 and 3: 8 points, 6 octaves, 100x100 rays to 800x800 pixels."""
    network = published(800, 800)
    assert network.grid == (100, 100)
    assert count_parameters(network) == 4_305_539
    assert count_macs(network) / 1e9 == pytest.approx(50.6, abs=0.05)


def test_forward_facing_it_has_the_published_cost() -> None:
    network = published(756, 1008, "student.upscale_factor=12")
    assert network.grid == (63, 84)
    assert count_macs(network) / 1e9 == pytest.approx(26.6, abs=0.05)


@pytest.mark.parametrize("factor", STRIDES)
@pytest.mark.parametrize(("short", "narrow"), [(6, 4), (2, 0), (0, 7)])
def test_image_sizes_that_are_no_multiple_of_the_factor(factor: int, short: int, narrow: int) -> None:
    """The same camera with a smaller window sees the middle of the full image.

    Both grids are the same here, so equality is up to rounding (principal points in float32).
    """
    size = 4 * factor
    full = frame(size=(size, size))
    height, width, top, left = size - short, size - narrow, short // 2, narrow // 2
    fx, fy, cx, cy = full.intrinsics
    inner = dataclasses.replace(full, height=height, width=width, intrinsics=(fx, fy, cx - left, cy - top))
    whole, part = (small_student(one, "mobiler2l", upscale_factor=factor).eval() for one in (full, inner))
    with torch.no_grad():
        image, window = whole(cameras(2)), part(cameras(2))
    assert window.shape == (2, 3, height, width)
    assert torch.allclose(image[:, :, top : top + height, left : left + width], window, atol=1e-5)


def test_it_says_nothing_of_depth() -> None:
    network = small_student(frame(), "mobiler2l")
    assert network.depth_pixels is None
    assert network.predict(network.prepare(cameras(2), torch.tensor([network.frame.intrinsics] * 2))).depth is None
