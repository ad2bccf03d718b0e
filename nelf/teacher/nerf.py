"""NeRF as published (Mildenhall et al., ECCV 2020): the readable reference, with one MLP and dense samples."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.core.cameras import Rays
from nelf.kernels.compositing import median_depths
from nelf.kernels.random_numbers import StepRandom
from nelf.kernels.unit_cube import UnitCubeMapping
from nelf.teacher.config import NeRFConfig
from nelf.teacher.field import RadianceField

POINT_OCTAVES, DIRECTION_OCTAVES = 10, 4


class NeRF(RadianceField):
    """Stratified coarse samples guide the fine ones; colour comes from both together.

    One network serves both (the paper trains two). Coordinates are those of the unit cube, scaled to [-1, 1].
    """

    def __init__(
        self,
        config: NeRFConfig,
        space: UnitCubeMapping,
        *,
        opaque: bool,
        background: Float[Tensor, "3"] | None = None,
    ) -> None:
        super().__init__(space, opaque=opaque, background=background)
        self.config = config
        inputs, width = 3 + 6 * POINT_OCTAVES, config.width
        self.skip = config.depth // 2
        self.layers = nn.ModuleList(
            nn.Linear(inputs if i == 0 else width + (inputs if i == self.skip else 0), width)
            for i in range(config.depth)
        )
        self.density_head = nn.Linear(width, 1)
        self.feature = nn.Linear(width, width)
        self.color = nn.Sequential(
            nn.Linear(width + 3 + 6 * DIRECTION_OCTAVES, width // 2), nn.ReLU(), nn.Linear(width // 2, 3), nn.Sigmoid()
        )

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.parameters())}]

    def forward(
        self, points: Float[Tensor, "n s 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n s"], Float[Tensor, "n s 3"]]:
        """Density per half cube side, and colour, at points of the unit cube."""
        encoded = positional_encoding(points * 2 - 1, POINT_OCTAVES)
        hidden = encoded
        for i, layer in enumerate(self.layers):
            hidden = torch.relu(layer(torch.cat([hidden, encoded], dim=-1) if i == self.skip else hidden))
        unit = torch.nn.functional.normalize(directions, dim=-1)[:, None].expand(points.shape)
        seen_from = positional_encoding(unit, DIRECTION_OCTAVES)
        color = self.color(torch.cat([self.feature(hidden), seen_from], dim=-1))
        return torch.nn.functional.softplus(self.density_head(hidden)[..., 0] * 10 - 1), color

    def render_train(self, rays: Rays, draws: StepRandom | None) -> tuple[Float[Tensor, "n 4"], int | Tensor]:
        s = self._drawn(rays, draws)
        optical, color, _ = self._along(rays, s)
        return _blended(optical, color), s.numel()

    def render_eval(self, rays: Rays) -> Float[Tensor, "n 5"]:
        optical, color, depth = self._along(rays, self._drawn(rays, None))
        count = optical.shape[1]
        ray = torch.arange(len(rays), device=optical.device).repeat_interleave(count)
        offsets = torch.arange(len(rays) + 1, device=optical.device) * count
        depths = torch.stack([depth, torch.cat([depth[:, 1:], depth[:, -1:]], dim=1)], dim=2)
        median = median_depths(optical.flatten(), depths.flatten(0, 1), ray, offsets)
        return torch.cat([_blended(optical, color), median[:, None]], dim=1)

    def _drawn(self, rays: Rays, draws: StepRandom | None) -> Float[Tensor, "n s"]:
        """Ray parameters of the samples, ascending: even ones, and more where these find weight."""
        coarse, fine = self.config.coarse_samples, self.config.fine_samples
        edges = torch.linspace(0, 1, coarse + 1, device=rays.origins.device)
        inside = _random((len(rays), coarse), draws).to(edges)
        s = edges[:-1] + (edges[1:] - edges[:-1]) * inside
        with torch.no_grad():
            weights = _weights(self._along(rays, s)[0])
            drawn = sample_piecewise(edges, weights, _random((len(rays), fine), draws, spread=True).to(edges))
        return torch.cat([s, drawn], dim=1).sort(dim=1).values

    def _along(
        self, rays: Rays, s: Float[Tensor, "n s"]
    ) -> tuple[Float[Tensor, "n s"], Float[Tensor, "n s 3"], Float[Tensor, "n s"]]:
        """Optical depths, colours and depths at the ascending ray parameters `s`."""
        depth = self.space.depth(s)
        cube = self.space.to_cube(rays.origins[:, None] + depth[..., None] * rays.directions[:, None])
        density, color = self(cube.clamp(0, 1), rays.directions)
        inside = ((cube >= 0) & (cube <= 1)).all(dim=-1)
        length = 2 * (cube[:, 1:] - cube[:, :-1]).norm(dim=-1)
        optical = density * inside * torch.cat([length, length[:, -1:]], dim=1)
        return optical, color, depth


def _weights(optical: Float[Tensor, "n s"]) -> Float[Tensor, "n s"]:
    """Rendering weights of samples (NeRF, eq. 3)."""
    before = optical.cumsum(dim=1) - optical
    return torch.exp(-before) * (1 - torch.exp(-optical))


def _blended(optical: Float[Tensor, "n s"], color: Float[Tensor, "n s 3"]) -> Float[Tensor, "n 4"]:
    """Premultiplied colour and alpha of rays."""
    values = torch.cat([color, torch.ones_like(color[..., :1])], dim=-1)
    return (_weights(optical)[..., None] * values).sum(dim=1)


def positional_encoding(x: Float[Tensor, "*batch 3"], octaves: int) -> Float[Tensor, "*batch channels"]:
    """NeRF, eq. 4, with x itself prepended."""
    scaled = torch.cat([x * (torch.pi * 2**octave) for octave in range(octaves)], dim=-1)
    return torch.cat([x, scaled.sin(), scaled.cos()], dim=-1)


def sample_piecewise(
    edges: Float[Tensor, "bins_plus_1"], weights: Float[Tensor, "n bins"], uniform: Float[Tensor, "n m"]
) -> Float[Tensor, "n m"]:
    """Draw from the piecewise constant density `weights` between `edges`, by the inverse distribution function."""
    share = (weights + 1e-5) / (weights + 1e-5).sum(dim=1, keepdim=True)
    upto = torch.cat([torch.zeros_like(share[:, :1]), share.cumsum(dim=1)], dim=1)
    bin_ = (torch.searchsorted(upto, uniform.contiguous(), right=True) - 1).clamp(0, share.shape[1] - 1)
    within = (uniform - upto.gather(1, bin_)) / share.gather(1, bin_)
    return edges[bin_] + within.clamp(0, 1) * (edges[bin_ + 1] - edges[bin_])


def _random(shape: tuple[int, int], draws: StepRandom | None, *, spread: bool = False) -> Tensor:
    """Uniform in [0, 1). Without draws: the middle of each sample's bin, or evenly spread over all samples."""
    if draws is not None:
        return draws.uniform(*shape)
    if spread:
        return ((torch.arange(shape[1]) + 0.5) / shape[1]).expand(shape)
    return torch.full(shape, 0.5)
