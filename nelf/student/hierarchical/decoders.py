"""The last level: features and samples of each cell of pixels to the colours of its pixels."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.student.blocks import fused_block


class CellDecoder(nn.Module):
    """Narrow, look at neighbouring cells, paint. A plain network of convolutions over cells, which a shader can run."""

    def __init__(self, cell_features: int, table_features: int, width: int, blocks: int, out: int, cell: int) -> None:
        """out: channels of the image. cell: pixels of a cell in each direction."""
        super().__init__()
        self.narrow = nn.Conv2d(cell_features + table_features, width, 1)
        self.paint = nn.Sequential(
            nn.GELU(),
            *[fused_block(width, blocks) for _ in range(blocks)],
            *([nn.GELU()] if blocks else []),
            nn.Conv2d(width, out * cell**2, 1),
            nn.PixelShuffle(cell),
            nn.Sigmoid(),
        )

    def forward(
        self,
        cell_features: Float[Tensor, "batch features rows columns"],
        table_features: Float[Tensor, "batch samples rows columns"],
    ) -> Float[Tensor, "batch out height width2"]:
        known = torch.cat([cell_features, table_features.to(cell_features.dtype)], dim=1)
        image: Tensor = self.paint(self.narrow(known))
        return image
