"""The three levels rebuilt for inference: one pose, one image size, table lookup by rows.

Rays are constants of the pixel and a few numbers of the pose. Positions in tables are computed in float32: at 128
nodes, half precision has steps of 1/16 node. The rows of all samples of a ray lie side by side, so a table's features
form an image. The layer that takes them becomes a sum of layers, and nothing is concatenated.
"""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nelf.student.config import Mapping
from nelf.student.deploy import TO_FIRST, Layout, Skip, pointwise, rebuild
from nelf.student.geometry import EXTENT, SceneGeometry
from nelf.student.hierarchical.feature_tables import COARSE, CORRECTION, MIDDLE, FeatureTables
from nelf.student.hierarchical.table_rows import Place
from nelf.student.ray_encoding import plane_of


@runtime_checkable
class Model(Protocol):
    """The parts of `Hierarchical` used here. It imports this module."""

    frame: SceneGeometry
    rows: Tensor
    columns: Tensor

    def __getattr__(self, name: str) -> Any: ...


class DeployedHierarchical(nn.Module):
    """Maps `pose` [1, 3, 4] to the image of the whole grid of rays, in `layout` and `dtype`."""

    def __init__(self, model: Model, layout: Layout, dtype: torch.dtype) -> None:
        super().__init__()
        self.layout = layout
        config, cells = model.config, MIDDLE // model.config.cell
        grid = model.columns.double().cpu(), model.rows.double().cpu()
        middle, coarse = (
            (_means(grid[0], size // config.cell), _means(grid[1], size // config.cell)) for size in (MIDDLE, COARSE)
        )

        _, *activation = model.coarse.head
        self.coarse_reads = reads_of(model, "coarse", layout, dtype, coarse)
        blocks = Skip(rebuild(model.coarse.blocks, layout))
        self.coarse = nn.Sequential(*activation, blocks).to(dtype)
        self.upsample = rebuild(model.upsample, layout).to(dtype)
        self.depth_logits = rebuild(nn.Sequential(model.depth_logits), layout).to(dtype)
        self.fuse = _part(model.fuse, config.middle_width, layout).to(dtype)
        self.middle_reads = reads_of(model, "middle", layout, dtype, middle)
        self.middle = rebuild(model.middle, layout).to(dtype)
        self.correct = rebuild(_scaled(model.correct[0], CORRECTION), layout).to(dtype)
        self.to_cells = rebuild(model.to_cells, layout).to(dtype)
        decoder = model.decoder
        self.narrow = _part(decoder.narrow, config.cell_features, layout).to(dtype)
        self.fine_reads = reads_of(model, "fine", layout, dtype, grid)
        self.paint = rebuild(decoder.paint, layout).to(dtype)
        self.cells = cells
        for name in ("steps", "fractions", "middle_offsets", "fine_offsets"):
            value = getattr(model, name).detach().cpu().float()
            axis = layout.value if name == "fractions" else 3
            self.register_buffer(name, value.reshape([-1 if i == axis else 1 for i in range(4)]), persistent=False)

    steps: Tensor
    fractions: Tensor
    middle_offsets: Tensor
    fine_offsets: Tensor

    def forward(self, pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 a b c"]:
        axis = self.layout.value
        features = self.upsample(self.coarse(self.coarse_reads(pose, self.steps)))
        logits = self.depth_logits(features).float().softmax(dim=axis)
        depth = (logits * self.fractions).sum(dim=axis, keepdim=True)
        rough = depth.reshape(1, *image_size(depth, self.layout), 1)
        features = self.middle(self.fuse(features) + self.middle_reads(pose, rough + self.middle_offsets))
        fine = depth_of_cells(self.correct(features).float() + depth, self.cells, self.layout)
        known = self.narrow(self.to_cells(features))
        image: Tensor = self.paint(known + self.fine_reads(pose, fine + self.fine_offsets))
        return image


def image_size(image: Float[Tensor, "n a b c"], layout: Layout) -> tuple[int, int]:
    """Rows and columns."""
    first = 2 if layout is Layout.CHANNELS_FIRST else 1
    return image.shape[first], image.shape[first + 1]


def depth_of_cells(depth: Float[Tensor, "n a b c"], cells: int, layout: Layout) -> Float[Tensor, "n rows columns 1"]:
    """One depth per cell, from the depths of a middle ray's `cells` x `cells` cells as channels."""
    rows, columns = image_size(depth, layout)
    if layout is Layout.CHANNELS_FIRST:
        depth = functional.pixel_shuffle(depth, cells)
    else:
        depth = depth.reshape(-1, columns, cells, cells).transpose(1, 2)
    return depth.reshape(-1, rows * cells, columns * cells, 1)


class Positions(nn.Module):
    """Positions of one level's samples in its tables, in float32.

    With linear spacing a coordinate is o + s d, where s is the depth. With disparity s = 1 / depth, it is
    (o s + d) / (unit s + 1). o and d depend on pose and pixel: see nelf/student/geometry.py.
    """

    def __init__(self, frame: SceneGeometry, nodes: int, rays: tuple[Tensor, Tensor] | None = None) -> None:
        """nodes: of the tables along each axis. rays: columns and rows of the rays, in pixels, where they are fixed."""
        super().__init__()
        self.frame = frame
        self.linear = frame.mapping == Mapping.LINEAR
        self.last = float(torch.nextafter(torch.tensor(nodes - 1.0), torch.tensor(0.0)))
        cells = [(nodes - 1) / (high - low) for low, high in zip(frame.low, frame.high, strict=True)]
        self.shifts = [-low * size for low, size in zip(frame.low, cells, strict=True)]
        scales = torch.tensor([EXTENT * size / (frame.unit if self.linear else 1) for size in cells])
        center = torch.cat([torch.zeros(3, 3), torch.tensor(frame.center)[:, None]], dim=1)
        self.register_buffer("center", center.reshape(1, 1, 3, 4), persistent=False)
        self.register_buffer("scales", scales.reshape(1, 1, 3, 1).repeat(1, 1, 1, 4), persistent=False)
        if rays is not None:
            u, v = plane_of(*rays, frame)
            self.register_buffer("u", u.float().reshape(1, 1, -1, 1), persistent=False)
            self.register_buffer("v", v.float().reshape(1, -1, 1, 1), persistent=False)

    center: Tensor
    scales: Tensor
    u: Tensor
    v: Tensor

    def forward(
        self,
        pose: Float[Tensor, "1 3 4"],
        fraction: Float[Tensor, "#n #rows #columns samples"],
        plane: tuple[Tensor, Tensor] | None = None,
    ) -> list[Place]:
        """Position of each sample along each axis.

        plane: image-plane coordinates of other rays, columns [n, 1, columns, 1] and rows [n, rows, 1, 1].
        """
        frame = self.frame
        u, v = (self.u, self.v) if plane is None else plane
        if self.linear:
            along = frame.depth_at(fraction)
        else:
            along = 1 / frame.near + fraction.clamp(min=0).clamp(max=1) * (1 / frame.far - 1 / frame.near)
            shrink = 1 / (frame.unit * along + 1)
        found = []
        # Four axes: LiteRT's GPU delegate cannot slice matrices. A product before the split would lose one again.
        rows = (part.split(1, dim=2) for part in (pose.reshape(1, 1, 3, 4), self.center, self.scales))
        for row, center, scale, shift in zip(*rows, self.shifts, strict=True):
            right, up, back, origin = ((row - center) * scale).split(1, dim=3)
            direction = right * u + up * v - back
            if self.linear:
                position = origin + shift + along * direction
            else:
                position = (origin * along + direction) * shrink + shift
            position = position.clamp(min=0).clamp(max=self.last)
            node = position.floor()
            found.append(Place(node, position - node))
        return found


class Reads(nn.Module):
    """Reads a level's samples from its tables and applies the layer that takes them.

    layer: its input is `known` channels, then these features. Only the part for the features is built, without bias.
    """

    def __init__(
        self,
        tables: FeatureTables,
        positions: Positions,
        layer: nn.Conv2d,
        known: int,
        samples: int,
        layout: Layout,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.positions, self.layout = positions, layout
        self.rows = tables.deploy(layout, dtype)
        weight = layer.weight.detach().cpu().float()[:, known:, 0, 0]
        parts = weight.view(len(weight), samples, -1, tables.channels).unbind(2)
        bias = layer.bias.detach().cpu().float() if known == 0 and layer.bias is not None else None
        self.layers = nn.ModuleList(
            pointwise((part * scale).flatten(1), layout, bias if number == 0 else None).to(dtype)
            for number, (part, scale) in enumerate(zip(parts, self.rows.scales, strict=True))
        )

    def forward(
        self,
        pose: Float[Tensor, "1 3 4"],
        fraction: Float[Tensor, "#n #rows #columns samples"],
        plane: tuple[Tensor, Tensor] | None = None,
    ) -> Float[Tensor, "n a b c"]:
        places = self.positions(pose, fraction, plane)
        batch, rows, columns, _ = places[0].node.shape
        total: Tensor | None = None
        for layer, features in zip(self.layers, self.rows(places), strict=True):
            image = features.reshape(batch, rows, columns, -1)
            part = layer(image.permute(TO_FIRST) if self.layout is Layout.CHANNELS_FIRST else image)
            total = part if total is None else total + part
        assert total is not None
        return total


def reads_of(
    model: Model, level: str, layout: Layout, dtype: torch.dtype, rays: tuple[Tensor, Tensor] | None = None
) -> Reads:
    """The reads of the level coarse, middle or fine. rays: their columns and rows in pixels, where they are fixed."""
    config = model.config
    layer, known, samples = {
        "coarse": (model.coarse.head[0], 0, config.points_per_ray),
        "middle": (model.fuse, config.middle_width, config.middle_samples),
        "fine": (model.decoder.narrow, config.cell_features, config.fine_samples),
    }[level]
    tables = getattr(model, f"{level}_tables")
    return Reads(tables, Positions(model.frame, tables.nodes, rays), layer, known, samples, layout, dtype)


def _part(layer: nn.Conv2d, channels: int, layout: Layout) -> nn.Module:
    """The layer restricted to its first `channels` input channels, with its bias."""
    assert layer.bias is not None
    weight, bias = layer.weight.detach().cpu().float()[:, :channels, 0, 0], layer.bias.detach().cpu().float()
    return pointwise(weight, layout, bias)


def _scaled(layer: nn.Conv2d, factor: float) -> nn.Sequential:
    """The layer with its output multiplied by `factor`."""
    twin = nn.Conv2d(layer.in_channels, layer.out_channels, 1)
    assert twin.bias is not None
    assert layer.bias is not None
    twin.weight.data = factor * layer.weight.detach().cpu().float()
    twin.bias.data = factor * layer.bias.detach().cpu().float()
    return nn.Sequential(twin)


def _means(positions: Tensor, size: int) -> Tensor:
    """The mean of each `size` positions along an axis."""
    return positions.view(-1, size).mean(dim=1)
