"""Vanilla NeRF: importance sampling draws from the given density; renders are correct."""

import math

import pytest
import torch

from nelf.core.cameras import Rays
from nelf.teacher.nerf import positional_encoding, sample_piecewise
from nelf.teacher.stage import build_field
from tests.kernels.spaces import SPACES, some_rays
from tests.teacher import tiny


def test_samples_follow_the_density() -> None:
    edges = torch.tensor([0.0, 0.1, 0.4, 0.5, 1.0])
    weights = torch.tensor([[1.0, 0.0, 6.0, 3.0], [0.0, 1.0, 0.0, 0.0]])
    uniform = torch.rand(2, 50_000, generator=torch.Generator().manual_seed(0))
    drawn = sample_piecewise(edges, weights, uniform)
    share = torch.stack([torch.histogram(row, edges).hist / row.numel() for row in drawn])
    # sd of a share of 0.6 among 50,000 is 0.002
    assert torch.allclose(share, weights / weights.sum(dim=1, keepdim=True), atol=0.01)
    within = drawn[0][(drawn[0] > 0.5)]
    assert within.mean().item() == pytest.approx(0.75, abs=0.01)  # even within a bin


def test_even_quantiles_ascend_through_the_bins() -> None:
    edges, weights = torch.linspace(0, 1, 5), torch.ones(1, 4)
    uniform = (torch.arange(8)[None] + 0.5) / 8
    assert torch.allclose(sample_piecewise(edges, weights, uniform), uniform, atol=1e-4)


def test_all_bins_empty_is_even() -> None:
    uniform = torch.tensor([[0.0, 0.25, 0.5, 1 - 2**-24]])
    drawn = sample_piecewise(torch.linspace(0, 1, 5), torch.zeros(1, 4), uniform)
    assert torch.allclose(drawn, uniform, atol=1e-4)


def test_positional_encoding() -> None:
    """NeRF, eq. 4."""
    x = torch.tensor([[0.25, -0.5, 1.0]])
    found = positional_encoding(x, 2)[0]
    expected = [*x[0].tolist()]
    expected += [math.sin(2**k * math.pi * v) for k in range(2) for v in x[0].tolist()]
    expected += [math.cos(2**k * math.pi * v) for k in range(2) for v in x[0].tolist()]
    assert torch.allclose(found, torch.tensor(expected), atol=1e-6)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("opaque", [True, False])
def test_untrained_renders_are_sound(name: str, opaque: bool) -> None:
    field, rays = build_field(tiny.nerf(), SPACES[name](), opaque=opaque), some_rays(name, 200)
    seen = field.render(rays)
    for value in (seen.rgb, seen.alpha, seen.depth):
        assert torch.isfinite(value).all()
    assert (seen.rgb >= 0).all()
    assert (seen.rgb <= 1).all()
    if opaque:
        assert (seen.alpha == 1).all()
    else:
        assert (seen.rgb <= seen.alpha[:, None] + 1e-5).all()  # premultiplied
    assert (seen.depth >= field.space.near * 0.99).all()
    assert (seen.depth <= field.space.far * 1.01).all()


def test_rays_that_miss_see_nothing() -> None:
    field = build_field(tiny.nerf(), SPACES["box"](), opaque=False)
    seen = field.render(Rays(torch.tensor([[9.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])))
    assert seen.alpha.tolist() == [0]
    assert seen.depth.item() == pytest.approx(field.space.far)


def test_a_solid_ball_is_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a known field in place of the network, colour, alpha and depth are those of the ball."""
    field = build_field(tiny.nerf(coarse_samples=64, fine_samples=128), SPACES["box"](), opaque=False)

    def ball(points: torch.Tensor, directions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hit = field.space.from_cube(points).norm(dim=-1) < 0.8
        return hit * 500.0, hit[..., None] * torch.tensor([0.2, 0.5, 0.9])

    monkeypatch.setattr(field, "forward", ball)
    rays = Rays(torch.tensor([[0.0, 0.0, 4.0], [0.5, 0.0, 4.0], [1.0, 0.0, 4.0]]), torch.tensor([[0.0, 0.0, -1.0]] * 3))
    seen = field.render(rays)
    assert torch.allclose(seen.alpha, torch.tensor([1.0, 1.0, 0.0]), atol=1e-3)
    assert torch.allclose(seen.rgb[:2], torch.tensor([0.2, 0.5, 0.9]).expand(2, 3), atol=1e-3)
    surface = torch.tensor([4 - 0.8, 4 - math.sqrt(0.8**2 - 0.5**2)])
    assert torch.allclose(seen.depth[:2], surface, atol=0.05)  # the fine samples are some 0.02 apart
