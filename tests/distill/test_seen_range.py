"""The part of an open scene's depths that pseudo views show."""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from nelf.distill import seen_range
from nelf.scene import Views


def showing(depths: list[float] | None) -> Views:
    """Views of 40x40 pixels whose depths are drawn from `depths`; 0 is unknown."""
    pixels: Tensor = torch.zeros(40, 40, 3, dtype=torch.uint8)
    views = Views(("0", "1"), torch.eye(3, 4).repeat(2, 1, 1), torch.ones(2, 4), 40, 40, lambda i: pixels.numpy())
    if depths is None:
        return views
    chosen = np.random.default_rng(0).choice(np.array(depths, np.float32), (2, 40, 40))
    return dataclasses.replace(views, read_depth=lambda i: chosen[i])


def test_the_range_has_a_margin_in_disparity() -> None:
    near, far = seen_range(showing([2.0, 4.0]), 0.05, 100.0)
    assert np.allclose([1 / near, 1 / far], [0.525, 0.225], rtol=1e-6)


def test_the_scene_limits_it() -> None:
    assert np.allclose(seen_range(showing([1.0, 1.2, 90.0]), 1.0, 100.0), (1.0, 100.0))


def test_without_known_depths_it_is_the_range_of_the_scene() -> None:
    for depths in (None, [0.0]):
        assert seen_range(showing(depths), 0.5, 8.0) == (0.5, 8.0)


def test_a_flat_scene_has_no_range_of_its_own() -> None:
    assert seen_range(showing([3.0]), 0.5, 8.0) == (0.5, 8.0)


def test_few_stray_pixels_do_not_widen_it() -> None:
    near, far = seen_range(showing([2.0, 4.0] * 2000 + [0.06]), 0.05, 100.0)
    assert near > 1.9
    assert far < 4.5
