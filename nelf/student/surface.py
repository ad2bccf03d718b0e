"""An upsampler that first says where the surface is: geometry before colour.

Features of the coarse rays give, between two sub-pixel convolutions, a depth for each finer ray. The point at that
depth is encoded as the points of the coarse rays are, with features learnt of its place beside (`nelf.student.grid`),
and what follows paints it. The same place of the scene then enters with the same numbers from wherever it is seen, and
its texture is learnt once, not once a view. Training holds the depth to the teacher's where that is known
(`nelf.train`).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.errors import ConfigError
from nelf.student.body import fused_block
from nelf.student.encoder import encode_points, encoded_channels, exact
from nelf.student.frame import Frame, Mapping
from nelf.student.grid import FactoredGrid

STRIDES = {4: (1, 4), 8: (2, 4), 12: (3, 4), 16: (4, 4)}
"""Image pixels per coarse ray -> finer rays per coarse ray, and image pixels per finer ray."""

NO_DEPTH = "student.mapping=ndc has no depths, which student.upsampler=surface needs; use student.mapping=auto"
DEPTHS = 32  # depths of which the surface's is a mean
PAINT = 2.5  # hidden channels, for one of the tail, of which a cell's pixels are made


class SurfaceUpsampler(nn.Module):
    """Features [batch, width, rows, columns] and the lines of the finer rays to an image, and where their surface is.

    lines: [batch, 6, finer rows, finer columns], of each ray the position less the frame's center, and the direction,
    unnormalised. The surface is given as the fraction of the way from near to far (`Frame.depth_at`), [batch, finer
    rows, finer columns].
    """

    fractions: Tensor

    def __init__(
        self, width: int, tail_width: int, tail_blocks: int, factor: int, octaves: int, rank: int, frame: Frame
    ) -> None:
        super().__init__()
        if frame.mapping == Mapping.NDC:
            raise ConfigError(NO_DEPTH)
        self.frame = frame
        self.octaves = octaves
        first, last = STRIDES[factor]
        self.finer = nn.Sequential(nn.Conv2d(width, tail_width * first**2, 1), nn.PixelShuffle(first), nn.GELU())
        self.likelihood = nn.Conv2d(tail_width, DEPTHS, 1)
        self.grid = FactoredGrid(rank) if rank else None
        self.mix = nn.Conv2d(tail_width + encoded_channels(1, octaves) + rank, tail_width, 1)
        self.paint = nn.Sequential(
            nn.GELU(),
            *[fused_block(tail_width, tail_blocks) for _ in range(tail_blocks)],
            nn.GELU(),
            nn.Conv2d(tail_width, int(PAINT * tail_width), 3, padding=1),
            nn.GELU(),
            nn.Conv2d(int(PAINT * tail_width), frame.channels * last**2, 1),
            nn.PixelShuffle(last),
            nn.Sigmoid(),
        )
        self.register_buffer("fractions", torch.linspace(0, 1, DEPTHS), persistent=False)

    def forward(
        self,
        features: Float[Tensor, "batch width rows columns"],
        lines: Float[Tensor, "batch 6 finer_rows finer_columns"],
    ) -> tuple[Float[Tensor, "batch channels height width2"], Float[Tensor, "batch finer_rows finer_columns"]]:
        features = self.finer(features)
        likelihood = self.likelihood(features)
        with exact(features.device):
            fraction = (likelihood.float().softmax(dim=1) * self.fractions[:, None, None]).sum(dim=1)
            points = self.frame.points_at(lines[:, :3], lines[:, 3:], fraction[:, None])
            encoded = encode_points(points, self.octaves)
        known = [features, encoded.to(features.dtype)]
        if self.grid is not None:
            known.append(self.grid(points).to(features.dtype))
        return self.paint(self.mix(torch.cat(known, dim=1))), fraction
