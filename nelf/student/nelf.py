"""The neural light field: camera pose in, image out, one forward pass per ray."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.rays import rays_through
from nelf.student.body import BODIES
from nelf.student.config import StudentConfig
from nelf.student.encoder import encode_points, encode_separated, encoded_channels, ray_points, separate
from nelf.student.frame import Frame, Mapping
from nelf.student.upsampler import UPSAMPLERS


class NeLF(nn.Module):
    """Encoder, body and upsampler over a coarse grid of rays.

    The grid has one ray in the middle of every `factor` x `factor` cell of pixels. Where the image size is no multiple
    of the factor, the grid reaches beyond the image equally on both sides and the output is cropped.

    Output is RGB, or RGBA with colour premultiplied by alpha, in [0, 1].
    """

    columns: Tensor
    rows: Tensor
    depths: Tensor

    def __init__(self, config: StudentConfig, frame: Frame) -> None:
        super().__init__()
        self.config = config
        self.frame = frame
        self.body = BODIES[config.body](encoded_channels(config.points, config.octaves), config.width, config.blocks)
        self.upsampler = UPSAMPLERS[config.upsampler][0](config.width, frame.channels, config.factor)
        self.grid_height = math.ceil(frame.height / config.factor)
        self.grid_width = math.ceil(frame.width / config.factor)
        self.top = (self.grid_height * config.factor - frame.height) // 2
        self.left = (self.grid_width * config.factor - frame.width) // 2
        columns = (torch.arange(self.grid_width) + 0.5) * config.factor - self.left
        rows = (torch.arange(self.grid_height) + 0.5) * config.factor - self.top
        # Recomputed from config and frame, so not part of the state.
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("depths", frame.depths(config.points).float(), persistent=False)  # MPS has no float64

    @property
    def separable(self) -> bool:
        """Whether the encoded coordinates are affine in the pixel."""
        return self.frame.mapping != Mapping.NDC

    def forward(
        self,
        c2w: Float[Tensor, "batch 3 4"],
        intrinsics: Float[Tensor, "batch 4"] | None = None,
        jitter: torch.Generator | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """Images of the given cameras (`intrinsics` defaults to the frame's).

        jitter: where given, each point moves uniformly inside its bin, drawn anew for each ray (MobileR2L's training).
        """
        if intrinsics is None:
            intrinsics = c2w.new_tensor(self.frame.intrinsics).expand(c2w.shape[0], 4)
        return self.decode(self.encode(c2w, intrinsics, jitter))

    def encode(
        self, c2w: Float[Tensor, "batch 3 4"], intrinsics: Float[Tensor, "batch 4"], jitter: torch.Generator | None
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Encoded rays of the coarse grid; in float32 whatever autocast says."""
        with torch.autocast(c2w.device.type, enabled=False):
            if jitter is None and self.separable:
                u, v = self.plane(intrinsics)
                a, b = separate(c2w, u, v, self.depths, self.frame)
                return encode_separated(a, b, self.config.octaves)
            return self.encode_direct(c2w, intrinsics, jitter)

    def plane(
        self, intrinsics: Float[Tensor, "batch 4"]
    ) -> tuple[Float[Tensor, "batch columns"], Float[Tensor, "batch rows"]]:
        """Image-plane coordinates of the grid: u of the columns to the right, v of the rows upwards."""
        fx, fy, cx, cy = intrinsics[:, :, None].unbind(1)
        return (self.columns - cx) / fx, -(self.rows - cy) / fy

    def encode_direct(
        self,
        c2w: Float[Tensor, "batch 3 4"],
        intrinsics: Float[Tensor, "batch 4"],
        jitter: torch.Generator | None = None,
    ) -> Float[Tensor, "batch channels rows columns"]:
        """The readable form of `encode`, and the only one for NDC and for jittered points."""
        pixels = torch.stack(torch.meshgrid(self.columns, self.rows, indexing="xy"), dim=-1)
        rays = rays_through(pixels.expand(len(c2w), -1, -1, -1), c2w[:, None, None], intrinsics[:, None, None])
        depths = self.depths.to(c2w.dtype).expand(*rays.origins.shape[:-1], -1)
        if jitter is not None:
            depths = self._jittered(depths, jitter)
        return encode_points(ray_points(rays, depths, self.frame), self.config.octaves)

    def _jittered(self, depths: Tensor, generator: torch.Generator) -> Tensor:
        # Bins reach to the midpoints between neighbouring depths; the first and the last end at near and far.
        middle = (depths[..., 1:] + depths[..., :-1]) / 2
        lower = torch.cat([depths[..., :1], middle], dim=-1)
        upper = torch.cat([middle, depths[..., -1:]], dim=-1)
        uniform = torch.rand(depths.shape, generator=generator, device=generator.device).to(depths)
        return lower + (upper - lower) * uniform

    def decode(
        self, encoded: Float[Tensor, "batch encoded rows columns"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Image from encoded rays."""
        image = self.upsampler(self.body(encoded))
        return image[:, :, self.top : self.top + self.frame.height, self.left : self.left + self.frame.width]


def count_parameters(model: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in model.parameters())
