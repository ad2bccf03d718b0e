"""The hierarchical student: three levels of rays, and the decoder from cells to pixels."""

import math
from collections.abc import Mapping as Table
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from nelf.core.errors import ConfigError
from nelf.student.blocks import fused_block, unet
from nelf.student.config import HierarchicalConfig, Mapping, StudentConfig
from nelf.student.deploy import Layout
from nelf.student.geometry import SceneGeometry
from nelf.student.hierarchical.channels import channel_groups, smaller_configs
from nelf.student.hierarchical.deployed import DeployedHierarchical
from nelf.student.hierarchical.feature_tables import (
    COARSE,
    CORRECTION,
    DEPTHS,
    MIDDLE,
    READERS,
    means,
    points_on,
    spread,
)
from nelf.student.hierarchical.parts import cut_in_parts, left_out_features, reach_of
from nelf.student.protocol import DepthPixels, Prediction
from nelf.student.prune import ChannelGroup
from nelf.student.ray_encoding import exact, image_plane
from nelf.student.tiles import Cut, Reach, TileParts, TileStudent


class CellDecoder(nn.Module):
    """Reduces channels, looks at neighbouring cells, and decodes colours. Plain convolutions that a shader can run."""

    def __init__(self, cell_features: int, table_features: int, width: int, blocks: int, out: int, cell: int) -> None:
        """out: channels of the image. cell: side of a cell in pixels."""
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


HIDDEN = 2.5  # hidden channels per channel of the middle level, in the layer that makes the features of its cells


class Hierarchical(TileStudent):
    """Three levels of rays, coarse to fine. `prepare` returns the rays of cells, [batch, rows, columns, 6]: position
    minus the geometry's center, and unnormalised direction.
    """

    config: HierarchicalConfig
    columns: Tensor
    rows: Tensor
    steps: Tensor
    fractions: Tensor
    middle_offsets: Tensor
    fine_offsets: Tensor

    def __init__(self, config: HierarchicalConfig, frame: SceneGeometry) -> None:
        super().__init__(config, frame)
        if frame.mapping == Mapping.NDC:
            raise ConfigError("this student needs depths, but normalised device coordinates have none; use another")
        cells = MIDDLE // config.cell
        width, hidden = config.middle_width, int(HIDDEN * config.middle_width)
        bits = config.table_bits
        self.coarse_tables = READERS[config.coarse_reader](config.coarse_nodes, config.coarse_channels, bits)
        self.middle_tables = READERS[config.middle_reader](config.middle_nodes, config.middle_channels, bits)
        self.fine_tables = READERS[config.fine_reader](config.fine_nodes, config.fine_channels, bits)
        self.coarse = unet(config.points_per_ray * self.coarse_tables.features, config.width, config.blocks)
        self.upsample = nn.Sequential(nn.Conv2d(config.width, 4 * width, 1), nn.PixelShuffle(2), nn.GELU())
        self.depth_logits = nn.Conv2d(width, DEPTHS, 1)
        self.fuse = nn.Conv2d(width + config.middle_samples * self.middle_tables.features, width, 1)
        self.middle = nn.Sequential(
            nn.GELU(),
            *[fused_block(width, config.middle_blocks) for _ in range(config.middle_blocks)],
            nn.GELU(),
            nn.Conv2d(width, hidden, 3, padding=1),
            nn.GELU(),
        )
        self.correct = nn.Sequential(nn.Conv2d(hidden, cells**2, 1), nn.PixelShuffle(cells))
        self.to_cells = nn.Sequential(nn.Conv2d(hidden, config.cell_features * cells**2, 1), nn.PixelShuffle(cells))
        read = config.fine_samples * self.fine_tables.features
        size = config.decoder_width, config.decoder_blocks
        self.decoder = CellDecoder(config.cell_features, read, *size, frame.channels, config.cell)

        self.grid = math.ceil(frame.height / COARSE), math.ceil(frame.width / COARSE)
        top, left = self.margins
        height, columns = (n * COARSE // config.cell for n in self.grid)
        # Recomputed from config and geometry, so not part of the state.
        constants = {
            "columns": (torch.arange(columns) + 0.5) * config.cell - left,
            "rows": (torch.arange(height) + 0.5) * config.cell - top,
            "steps": torch.linspace(0, 1, config.points_per_ray),
            "fractions": torch.linspace(0, 1, DEPTHS),
            "middle_offsets": torch.tensor(spread(config.middle_spread, config.middle_samples)),
            "fine_offsets": torch.tensor(spread(config.fine_spread, config.fine_samples)),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    @property
    def margins(self) -> tuple[int, int]:
        rows, columns = self.grid
        return (rows * COARSE - self.frame.height) // 2, (columns * COARSE - self.frame.width) // 2

    @property
    def depth_pixels(self) -> DepthPixels:
        """Centres of the cells; cells outside the image use its outermost pixels."""
        rows = self.rows.long().clamp(0, self.frame.height - 1)
        columns = self.columns.long().clamp(0, self.frame.width - 1)
        return DepthPixels(rows.cpu().numpy(), columns.cpu().numpy())

    def prepare(
        self,
        c2w: Float[Tensor, "batch 3 4"],
        intrinsics: Float[Tensor, "batch 4"],
        jitter: Float[Tensor, "batch rows columns points"] | None = None,
    ) -> Float[Tensor, "batch rows columns 6"]:
        with exact(c2w.device):
            u, v = image_plane(self.columns, self.rows, intrinsics)
            right, up, back, eye = (column[:, None, None] for column in c2w.unbind(2))
            directions = right * u[:, None, :, None] + up * v[:, :, None, None] - back
            origins = (eye - c2w.new_tensor(self.frame.center)).expand_as(directions)
            return torch.cat([origins, directions], dim=-1)

    def predict(self, rays: Float[Tensor, "batch rows columns 6"]) -> Prediction:
        cells = MIDDLE // self.config.cell
        middle_rays = means(rays, cells)
        with exact(rays.device):
            read = self.coarse_tables(points_on(self.frame, means(middle_rays, COARSE // MIDDLE), self.steps))
        features = self.upsample(self.coarse(read))
        logits = self.depth_logits(features)
        with exact(rays.device):
            depth = (logits.float().softmax(dim=1) * self.fractions[:, None, None]).sum(dim=1)[..., None]
            read = self.middle_tables(points_on(self.frame, middle_rays, depth + self.middle_offsets))
        features = self.middle(self.fuse(torch.cat([features, read.to(features.dtype)], dim=1)))
        correction = self.correct(features)
        with exact(rays.device):
            rough = depth.repeat_interleave(cells, 1).repeat_interleave(cells, 2)
            fine = rough + CORRECTION * correction.float().permute(0, 2, 3, 1)
            read = self.fine_tables(points_on(self.frame, rays, fine + self.fine_offsets))
        image = self.decoder(self.to_cells(features), read)
        return Prediction(self.crop(image), torch.cat([rough, fine], dim=-1).permute(0, 3, 1, 2))

    def deploy(self, layout: Layout, dtype: torch.dtype) -> nn.Module:
        return DeployedHierarchical(self, layout, dtype)

    def channel_groups(self) -> Sequence[ChannelGroup]:
        """See `Prunable`."""
        return channel_groups(self.config, self, HIDDEN)

    def smaller_configs(self, config: StudentConfig) -> Table[str, StudentConfig]:
        """See `Prunable`."""
        assert isinstance(config, HierarchicalConfig)
        return smaller_configs(config)

    @property
    def reach(self) -> Reach:
        return reach_of(self.config)

    @property
    def state_features(self) -> int:
        return self.config.width

    def left_out_features(
        self, poses: Float[Tensor, "n 3 4"], needed: Bool[Tensor, "n rows columns"]
    ) -> list[Float[Tensor, "features"]]:
        return left_out_features(self, poses, needed)

    def cut(self, cut: Cut, layout: Layout, dtype: torch.dtype) -> TileParts:
        return cut_in_parts(self, cut, layout, dtype)
