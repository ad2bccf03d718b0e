"""The neural light field: camera pose in, image out, one forward pass."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.draws import Draws
from nelf.rays import rays_through
from nelf.student.body import BODIES
from nelf.student.config import SURFACE, StudentConfig
from nelf.student.encoder import encode_points, encode_separated, encoded_channels, exact, ray_points, separate
from nelf.student.frame import Frame, Mapping
from nelf.student.surface import STRIDES, SurfaceUpsampler
from nelf.student.upsampler import UPSAMPLERS


class Encoded(NamedTuple):
    """What is known of a frame's rays before any weight: the coarse ones encoded, the finer ones as lines.

    lines: see SurfaceUpsampler; None for students without a surface.
    """

    rays: Float[Tensor, "batch encoded rows columns"]
    lines: Float[Tensor, "batch 6 finer_rows finer_columns"] | None


class NeLF(nn.Module):
    """Encoder, body and upsampler over a coarse grid of rays.

    The grid has one ray in the middle of every `factor` x `factor` cell of pixels. Where the image size is no multiple
    of the factor, the grid reaches beyond the image equally on both sides and the output is cropped.

    Output is RGB, or RGBA with colour premultiplied by alpha, in [0, 1].
    """

    columns: Tensor
    rows: Tensor
    depths: Tensor
    finer_columns: Tensor
    finer_rows: Tensor
    upsampler: nn.Sequential | SurfaceUpsampler

    def __init__(self, config: StudentConfig, frame: Frame) -> None:
        super().__init__()
        self.config = config
        self.frame = frame
        self.body = BODIES[config.body](encoded_channels(config.points, config.octaves), config.width, config.blocks)
        if config.upsampler == SURFACE:
            tail, surface = (config.tail_width, config.tail_blocks), (config.tail_octaves, config.tail_rank)
            self.upsampler = SurfaceUpsampler(config.width, *tail, config.factor, *surface, frame)
        else:
            self.upsampler = UPSAMPLERS[config.upsampler][0](config.width, frame.channels, config.factor)
        self.grid_height = math.ceil(frame.height / config.factor)
        self.grid_width = math.ceil(frame.width / config.factor)
        self.top = (self.grid_height * config.factor - frame.height) // 2
        self.left = (self.grid_width * config.factor - frame.width) // 2
        finer = STRIDES[config.factor][0] if config.upsampler == SURFACE else 1
        # Recomputed from config and frame, so not part of the state.
        for name, per_ray in (("", 1), ("finer_", finer)):
            cell = config.factor / per_ray  # in pixels
            columns = (torch.arange(self.grid_width * per_ray) + 0.5) * cell - self.left
            rows = (torch.arange(self.grid_height * per_ray) + 0.5) * cell - self.top
            self.register_buffer(f"{name}columns", columns, persistent=False)
            self.register_buffer(f"{name}rows", rows, persistent=False)
        self.register_buffer("depths", frame.depths(config.points).float(), persistent=False)  # MPS has no float64

    @property
    def separable(self) -> bool:
        """Whether the encoded coordinates are affine in the pixel."""
        return self.frame.mapping != Mapping.NDC

    def forward(
        self,
        c2w: Float[Tensor, "batch 3 4"],
        intrinsics: Float[Tensor, "batch 4"] | None = None,
        jitter: Float[Tensor, "batch rows columns points"] | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """Images of the given cameras (`intrinsics` defaults to the frame's).

        jitter: where given, how far in [0, 1) each point lies inside its bin (MobileR2L's training; see `draw_jitter`).
        """
        if intrinsics is None:
            intrinsics = c2w.new_tensor(self.frame.intrinsics).expand(c2w.shape[0], 4)
        return self.decode(self.encode(c2w, intrinsics, jitter))[0]

    def draw_jitter(self, draws: Draws, batch: int) -> Float[Tensor, "batch rows columns points"]:
        """Uniform for each point of each ray, for `batch` views."""
        return draws.uniform(batch, len(self.rows), len(self.columns), len(self.depths))

    def encode(
        self,
        c2w: Float[Tensor, "batch 3 4"],
        intrinsics: Float[Tensor, "batch 4"],
        jitter: Float[Tensor, "batch rows columns points"] | None,
    ) -> Encoded:
        """The frame's rays; in float32 whatever autocast says."""
        with exact(c2w.device):
            if jitter is None and self.separable:
                u, v = plane(self.columns, self.rows, intrinsics)
                a, b = separate(c2w, u, v, self.depths, self.frame)
                rays = encode_separated(a, b, self.config.octaves)
            else:
                rays = self.encode_direct(c2w, intrinsics, jitter)
            lines = self._lines(c2w, intrinsics) if self.has_surface else None
        return Encoded(rays, lines)

    @property
    def has_surface(self) -> bool:
        """Whether it says where the surface is before it paints it."""
        return isinstance(self.upsampler, SurfaceUpsampler)

    def _lines(
        self, c2w: Float[Tensor, "batch 3 4"], intrinsics: Float[Tensor, "batch 4"]
    ) -> Float[Tensor, "batch 6 finer_rows finer_columns"]:
        u, v = plane(self.finer_columns, self.finer_rows, intrinsics)
        right, up, back, eye = (column[:, :, None, None] for column in c2w.unbind(2))
        directions = right * u[:, None, None, :] + up * v[:, None, :, None] - back
        origins = eye - c2w.new_tensor(self.frame.center)[:, None, None]
        return torch.cat([origins.expand_as(directions), directions], dim=1)

    def encode_direct(
        self,
        c2w: Float[Tensor, "batch 3 4"],
        intrinsics: Float[Tensor, "batch 4"],
        jitter: Float[Tensor, "batch rows columns points"] | None = None,
    ) -> Float[Tensor, "batch channels rows columns"]:
        """The readable form of `encode`, and the only one for NDC and for jittered points."""
        pixels = torch.stack(torch.meshgrid(self.columns, self.rows, indexing="xy"), dim=-1)
        rays = rays_through(pixels.expand(len(c2w), -1, -1, -1), c2w[:, None, None], intrinsics[:, None, None])
        depths = self.depths.to(c2w.dtype).expand(*rays.origins.shape[:-1], -1)
        if jitter is not None:
            depths = self._jittered(depths, jitter)
        return encode_points(ray_points(rays, depths, self.frame), self.config.octaves)

    def _jittered(self, depths: Tensor, jitter: Tensor) -> Tensor:
        # Bins reach to the midpoints between neighbouring depths; the first and the last end at near and far.
        middle = (depths[..., 1:] + depths[..., :-1]) / 2
        lower = torch.cat([depths[..., :1], middle], dim=-1)
        upper = torch.cat([middle, depths[..., -1:]], dim=-1)
        return lower + (upper - lower) * jitter.to(depths)

    def decode(
        self, encoded: Encoded
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, "batch finer_rows finer_columns"] | None]:
        """Image from encoded rays, and where the surface is (see SurfaceUpsampler), for students with one."""
        features, surface = self.body(encoded.rays), None
        if isinstance(self.upsampler, SurfaceUpsampler):
            image, surface = self.upsampler(features, encoded.lines)
        else:
            image = self.upsampler(features)
        image = image[:, :, self.top : self.top + self.frame.height, self.left : self.left + self.frame.width]
        return image, surface


def plane(
    columns: Float[Tensor, "width"], rows: Float[Tensor, "height"], intrinsics: Float[Tensor, "batch 4"]
) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch height"]]:
    """Image-plane coordinates of pixel positions: u of the columns to the right, v of the rows upwards."""
    fx, fy, cx, cy = intrinsics[:, :, None].unbind(1)
    return (columns - cx) / fx, -(rows - cy) / fy


def count_parameters(model: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in model.parameters())
