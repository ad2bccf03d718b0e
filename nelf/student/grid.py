"""Features of a place, learnt place by place, which convolutions alone can read.

Sines and cosines of a coordinate are felt everywhere: what is learnt of one place disturbs all others. A grid of
features is local, but reading it is a gather, which the Neural Engine has not. A product of a function of x, one of y
and one of z, each linear between its values at nodes (the CP decomposition of TensoRF, Chen et al. 2022, eq. 3), is
nearly as local, and each function is a 1x1 convolution of hat functions: 1 at a node, 0 from the next node on.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.student.encoder import exact
from nelf.student.frame import EXTENT

NODES = 65  # along each axis, from -EXTENT to EXTENT
SPACING = 2 * EXTENT / (NODES - 1)  # 3/64: exact in half precision, as the nodes are
GAIN = 4.0  # Muon leaves values to AdamW; so many times its rate suits them


class FactoredGrid(nn.Module):
    """`rank` features of each point: products of three piecewise linear functions, constant beyond the nodes."""

    nodes: Tensor

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.values = nn.Parameter((0.5 + 0.5 * torch.randn(3 * rank, NODES)) / GAIN)
        self.register_buffer("nodes", SPACING * torch.arange(NODES) - EXTENT, persistent=False)

    @property
    def functions(self) -> Float[Tensor, "3 rank nodes"]:
        """What each function is at each node."""
        return GAIN * self.values.view(3, self.rank, -1)

    def forward(self, points: Float[Tensor, "batch 3 h w"]) -> Float[Tensor, "batch rank h w"]:
        """No gradient reaches the points, which saves time in training: their encoding has one.

        Where they lie is computed exactly; how near a node is, is then rounded as all features are.
        """
        batch, _, height, width = points.shape
        with torch.no_grad(), exact(points.device):
            along = points.clamp(-EXTENT, EXTENT).transpose(0, 1).reshape(3, -1, 1)
            hats = (1 - (along - self.nodes).abs() / SPACING).relu()
        x, y, z = torch.bmm(hats, self.functions.mT)
        return (x * y * z).view(batch, height, width, self.rank).permute(0, 3, 1, 2)
