"""Losses against explicit compositing."""

import pytest
import torch

from nelf.train.losses import CHARBONNIER_WIDTH, LOSSES, depth_loss, image_loss, over_white, premultiplied, psnr


def composite(premultiplied_image: torch.Tensor, background: float) -> torch.Tensor:
    return premultiplied_image[:, :3] + (1 - premultiplied_image[:, 3:]) * background


def random_rgba(seed: int) -> torch.Tensor:
    stored = torch.randint(0, 256, (2, 4, 5, 6), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return premultiplied(stored)


@pytest.mark.parametrize("name", list(LOSSES))
def test_rgba_is_compared_over_white_and_black(name: str) -> None:
    predicted, truth = random_rgba(0), random_rgba(1)
    expected = sum(LOSSES[name](composite(predicted, b) - composite(truth, b)) for b in (0.0, 1.0)) / 2
    assert image_loss(name, predicted, truth) == pytest.approx(float(expected), rel=1e-5)  # float32 sums


def test_alpha_and_colour_are_both_determined() -> None:
    """Black and transparent look alike over black, white and transparent over white; both together tell all apart."""
    clear = torch.zeros(1, 4, 1, 1)
    black = torch.tensor([0.0, 0, 0, 1]).reshape(1, 4, 1, 1)
    white = torch.ones(1, 4, 1, 1)
    assert image_loss("mse", clear, black) > 0.1
    assert image_loss("mse", clear, white) > 0.1
    assert image_loss("mse", white, white) == 0


def test_charbonnier_is_l1_for_large_differences() -> None:
    difference = torch.linspace(-1, 1, 100)
    assert LOSSES["charbonnier"](difference) == pytest.approx(float(LOSSES["l1"](difference)), abs=CHARBONNIER_WIDTH)


def test_depth_of_every_level_counts_where_it_is_known() -> None:
    predicted = torch.tensor([[0.5, 0.2], [0.7, 0.9]]).reshape(1, 2, 1, 2)  # two levels, two pixels
    truth = torch.tensor([0.4, -1.0]).reshape(1, 1, 2)
    assert depth_loss(predicted, truth) == pytest.approx((0.1 + 0.3) / 4)
    assert depth_loss(predicted, -torch.ones(1, 1, 2)) == 0


def test_premultiplied() -> None:
    stored = torch.tensor([255, 51, 0, 51], dtype=torch.uint8).reshape(1, 4, 1, 1)
    assert torch.allclose(premultiplied(stored).flatten(), torch.tensor([0.2, 0.04, 0.0, 0.2]))
    rgb = torch.tensor([255, 51, 0], dtype=torch.uint8).reshape(1, 3, 1, 1)
    assert torch.allclose(premultiplied(rgb).flatten(), torch.tensor([1.0, 0.2, 0.0]))


def test_psnr() -> None:
    truth = torch.full((2, 3, 4, 4), 0.5)
    predicted = truth + torch.tensor([0.1, 0.01]).reshape(2, 1, 1, 1)
    assert psnr(predicted, truth).tolist() == pytest.approx([20.0, 40.0], abs=1e-3)
    clear = torch.zeros(1, 4, 2, 2)
    assert torch.equal(over_white(clear), torch.ones(1, 3, 2, 2))
    assert psnr(clear, clear).item() == pytest.approx(100.0)
