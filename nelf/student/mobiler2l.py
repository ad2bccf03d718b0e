"""MobileR2L as published: encoded rays, a backbone of 1x1 convolutions, transposed convolutions to the image."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.core.cameras import rays_through
from nelf.core.optimization import StepRandom
from nelf.student.blocks import Body, pointwise_block
from nelf.student.config import Mapping, MobileR2LConfig
from nelf.student.deploy import Layout, rebuild
from nelf.student.geometry import SceneGeometry
from nelf.student.protocol import Prediction, Student
from nelf.student.ray_encoding import (
    NdcEncoding,
    SeparatedEncoding,
    encode_points,
    encode_separated,
    encoded_channels,
    exact,
    image_plane,
    ray_points,
    separate,
)

STRIDES = {8: (2, 2, 2), 12: (2, 2, 3)}
"""Image pixels per ray -> strides of the transposed convolutions."""


class MobileR2L(Student):
    """Encoder, backbone and decoder over a coarse grid of rays (Cao et al., CVPR 2023, sec. 3).

    The grid has one ray in the middle of every `upscale_factor` x `upscale_factor` pixels. If the image size is not a
    multiple of that, the grid extends beyond the image equally on both sides, and the output is cropped. `prepare`
    returns encoded points, [batch, channels, rows, columns].
    """

    config: MobileR2LConfig
    columns: Tensor
    rows: Tensor
    depths: Tensor

    def __init__(self, config: MobileR2LConfig, frame: SceneGeometry) -> None:
        super().__init__(config, frame)
        channels = encoded_channels(config.points_per_ray, config.num_frequencies)
        self.body = Body(channels, config.width, [pointwise_block(config.width) for _ in range(config.blocks)])
        self.upsampler = _upsampler(config.width, frame.channels, config.upscale_factor)
        self.grid = math.ceil(frame.height / config.upscale_factor), math.ceil(frame.width / config.upscale_factor)
        top, left = self.margins
        # Recomputed from config and geometry, so not part of the state.
        columns = (torch.arange(self.grid[1]) + 0.5) * config.upscale_factor - left
        rows = (torch.arange(self.grid[0]) + 0.5) * config.upscale_factor - top
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("rows", rows, persistent=False)
        depths = frame.depths(config.points_per_ray).float()  # MPS has no float64
        self.register_buffer("depths", depths, persistent=False)

    @property
    def margins(self) -> tuple[int, int]:
        rows, columns = (n * self.config.upscale_factor for n in self.grid)
        return (rows - self.frame.height) // 2, (columns - self.frame.width) // 2

    def draw_jitter(self, draws: StepRandom, batch: int) -> Float[Tensor, "batch rows columns points"]:
        return draws.uniform(batch, len(self.rows), len(self.columns), len(self.depths))

    def prepare(
        self,
        c2w: Float[Tensor, "batch 3 4"],
        intrinsics: Float[Tensor, "batch 4"],
        jitter: Float[Tensor, "batch rows columns points"] | None = None,
    ) -> Float[Tensor, "batch encoded rows columns"]:
        with exact(c2w.device):
            if jitter is None and self.frame.mapping != Mapping.NDC:  # coordinates are affine in the pixel
                u, v = image_plane(self.columns, self.rows, intrinsics)
                a, b = separate(c2w, u, v, self.depths, self.frame)
                return encode_separated(a, b, self.config.num_frequencies)
            return self.encode_direct(c2w, intrinsics, jitter)

    def encode_direct(
        self,
        c2w: Float[Tensor, "batch 3 4"],
        intrinsics: Float[Tensor, "batch 4"],
        jitter: Float[Tensor, "batch rows columns points"] | None = None,
    ) -> Float[Tensor, "batch channels rows columns"]:
        """The readable form of `prepare`, and the only one for NDC and for jittered points."""
        pixels = torch.stack(torch.meshgrid(self.columns, self.rows, indexing="xy"), dim=-1)
        rays = rays_through(pixels.expand(len(c2w), -1, -1, -1), c2w[:, None, None], intrinsics[:, None, None])
        depths = self.depths.to(c2w.dtype).expand(*rays.origins.shape[:-1], -1)
        if jitter is not None:
            depths = _jittered(depths, jitter)
        return encode_points(ray_points(rays, depths, self.frame), self.config.num_frequencies)

    def predict(self, rays: Float[Tensor, "batch encoded rows columns"]) -> Prediction:
        return Prediction(self.crop(self.upsampler(self.body(rays))), None)

    def deploy(self, layout: Layout, dtype: torch.dtype) -> nn.Module:
        encoding = NdcEncoding if self.frame.mapping == Mapping.NDC else SeparatedEncoding
        network = nn.Sequential(rebuild(self.body, layout), rebuild(self.upsampler, layout)).to(dtype)
        frame, config = self.frame, self.config
        grid = self.columns, self.rows, frame.depths(config.points_per_ray)
        return nn.Sequential(encoding(frame, *grid, config.num_frequencies, layout, dtype), network)


def _jittered(depths: Tensor, jitter: Tensor) -> Tensor:
    # Bins end at the midpoints between depths; the first and the last end at near and far.
    middle = (depths[..., 1:] + depths[..., :-1]) / 2
    lower = torch.cat([depths[..., :1], middle], dim=-1)
    upper = torch.cat([middle, depths[..., -1:]], dim=-1)
    return lower + (upper - lower) * jitter.to(depths)


def _upsampler(width: int, channels: int, factor: int) -> nn.Sequential:
    """Transposed convolutions to 64, 64 and 16 channels, each followed by two residual blocks; then to the image."""
    layers: list[nn.Module] = []
    for stride, out in zip(STRIDES[factor], (64, 64, 16), strict=True):
        kernel, padding = (4, 1) if stride == 2 else (3, 0)
        layers += [nn.ConvTranspose2d(width, out, kernel, stride, padding), pointwise_block(out), pointwise_block(out)]
        width = out
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 1), nn.Sigmoid())
