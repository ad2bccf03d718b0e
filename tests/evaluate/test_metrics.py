"""Each metric against its definition, written out slowly, or against known properties."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from nelf.evaluate import config
from nelf.evaluate.metrics import (
    METRICS,
    PSNR_CAP,
    MetricUnavailable,
    flip,
    flip_map,
    ground_truth,
    lpips_alex,
    psnr,
    read_picture,
    ssim,
    to_8bit,
    write_picture,
)

from .views import make_views


def pair(noise: float = 0.1, height: int = 40, width: int = 48) -> tuple[Tensor, Tensor]:
    truth = ground_truth(make_views(1, height, width, channels=3), 0)
    random = torch.Generator().manual_seed(0)
    return to_8bit(truth.float() / 255 + noise * torch.randn(truth.shape, generator=random)), truth


def slow_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, equations 13 to 16, window by window, [height, width] in [0, 1]."""
    at = np.arange(11) - 5
    window = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            mp, mq = (window * p).sum(), (window * q).sum()
            vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
            cov = (window * (p - mp) * (q - mq)).sum()
            values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


def test_psnr_is_the_formula() -> None:
    truth = torch.zeros(4, 5, 3, dtype=torch.uint8)
    assert psnr(truth + 51, truth) == pytest.approx(-20 * math.log10(0.2), abs=1e-9)
    one_pixel = truth.clone()
    one_pixel[0, 0, 0] = 255
    assert psnr(one_pixel, truth) == pytest.approx(10 * math.log10(4 * 5 * 3), abs=1e-9)


def test_psnr_of_identical_pictures_is_capped() -> None:
    _, truth = pair()
    assert psnr(truth, truth) == PSNR_CAP


def test_ssim_is_the_papers() -> None:
    picture, truth = pair()
    slow = np.mean(
        [slow_ssim(picture[..., c].double().numpy() / 255, truth[..., c].double().numpy() / 255) for c in range(3)]
    )
    assert ssim(picture, truth) == pytest.approx(slow, abs=2e-5)  # float32 sums of 121 products


def test_ssim_of_nhwc_images_would_be_another_figure() -> None:
    """A mistake in published figures: rows taken for channels, windows over 11 columns and the three colours."""
    picture, truth = (x[None].double() / 255 for x in pair())
    at = torch.arange(11.0, dtype=torch.float64) - 5
    line = torch.exp(-(at**2) / (2 * 1.5**2)) / torch.exp(-(at**2) / (2 * 1.5**2)).sum()
    window = (line[:, None] * line).expand(picture.shape[1], 1, 11, 11)

    def blur(x: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(x, window, padding=5, groups=x.shape[1])

    mp, mq = blur(picture), blur(truth)
    vp, vq = blur(picture**2) - mp**2, blur(truth**2) - mq**2
    cov = blur(picture * truth) - mp * mq
    wrong = (2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4))
    assert abs(float(wrong.mean()) - ssim(*pair())) > 0.05


def test_ssim_needs_its_window() -> None:
    small = torch.zeros(10, 40, 3, dtype=torch.uint8)
    with pytest.raises(MetricUnavailable, match="11x11"):
        ssim(small, small)


def test_flip_is_zero_for_identical_and_grows_with_noise() -> None:
    picture, truth = pair(0.05)
    worse, _ = pair(0.3)
    assert flip(truth, truth) == 0
    assert 0 < flip(picture, truth) < flip(worse, truth) < 1


def test_flip_of_black_and_white_is_large() -> None:
    black = torch.zeros(40, 48, 3, dtype=torch.uint8)
    assert flip(255 - black, black) > 0.9


def test_flip_map_is_black_where_nothing_differs() -> None:
    _, truth = pair()
    picture = truth.clone()
    picture[30:, 38:] = 255 - picture[30:, 38:]
    error = flip_map(picture, truth)
    assert error.shape == truth.shape
    assert error.dtype == torch.uint8
    assert int(error[:15, :15].max()) <= 4  # magma begins at (0, 0, 4)
    assert int(error[35:, 43:].max()) > 150


def test_lpips_refuses_pictures_too_small_for_its_network() -> None:
    small = torch.zeros(16, 16, 3, dtype=torch.uint8)
    with pytest.raises(MetricUnavailable, match="32x32"):
        lpips_alex(small, small)


def test_names_are_those_of_metrics_json() -> None:
    assert list(METRICS) == ["psnr", "ssim", "flip", "lpips_alex", "lpips_vgg"] == list(config.METRICS)


def test_premultiplied_renders_are_composited_over_white() -> None:
    image = torch.tensor([[[0.25, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0]]])
    assert to_8bit(image).tolist() == [[[191, 128, 128], [255, 255, 255]]]


def test_a_stored_view_and_its_premultiplied_render_agree() -> None:
    views = make_views(1)
    straight = views.image(0).float() / 255
    premultiplied = torch.cat([straight[..., :3] * straight[..., 3:], straight[..., 3:]], dim=-1)
    assert torch.equal(to_8bit(premultiplied), ground_truth(views, 0))


def test_overshooting_renders_are_clamped() -> None:
    assert to_8bit(torch.tensor([[[-0.5, 0.5, 1.5]]])).tolist() == [[[0, 128, 255]]]


def test_pictures_are_lossless(tmp_path) -> None:
    picture, _ = pair()
    write_picture(tmp_path / "a" / "b.png", picture)
    assert torch.equal(read_picture(tmp_path / "a" / "b.png"), picture)
