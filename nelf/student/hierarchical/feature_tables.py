"""Points on rays, and the feature tables that are read there."""

import abc
from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.kernels.plane_features import read_lines, read_planes, read_volume
from nelf.student.config import Mapping
from nelf.student.deploy import Layout
from nelf.student.geometry import SceneGeometry
from nelf.student.hierarchical.table_rows import LineHats, LineRows, PlaneRows, TableRows, VolumeRows

COARSE, MIDDLE = 8, 4
"""Image pixels per coarse ray and per middle ray, in each direction."""

DEPTHS = 32  # candidate depths, whose weighted mean is the middle level's depth
CORRECTION = 0.05  # change of a cell's depth by an output of 1, as a share of the range from near to far


def spread(reach: float, count: int) -> list[float]:
    """`count` offsets, evenly from -reach to reach."""
    return [reach * (2 * i / (count - 1) - 1) for i in range(count)] if count > 1 else [0.0]


def points_on(
    frame: SceneGeometry, rays: Float[Tensor, "batch rows columns 6"], fractions: Float[Tensor, "*#shape samples"]
) -> Float[Tensor, "batch rows columns samples 3"]:
    """Points at `fractions` of the range from near to far, as shares of the box that tables cover.

    For disparity, fractions are clamped to 0..1: infinity lies beyond the far end.
    """
    if frame.mapping == Mapping.DISPARITY:
        fractions = fractions.clamp(0, 1)
    return frame.in_box(frame.points_at(rays[..., None, :3], rays[..., None, 3:], fractions[..., None]))


def means(rays: Float[Tensor, "batch rows columns 6"], size: int) -> Float[Tensor, "batch rows2 columns2 6"]:
    """The ray in the middle of each `size` x `size` rays."""
    if size == 1:
        return rays
    batch, rows, columns, numbers = rays.shape
    return rays.view(batch, rows // size, size, columns // size, size, numbers).mean(dim=(2, 4))


FLOAT_BITS = 32
STEP = 0.5  # distance of neighbouring values with few bits, in units of their root mean square
LEAST_STEP = 1e-8
GAIN = 4.0  # Adam moves every value by its learning rate; tables need this many times the rate of biases


class FeatureTables(nn.Module, abc.ABC):
    """Feature tables over the box of the scene's geometry, in which points have coordinates from 0 to 1.

    nodes: along each axis. channels: per table. bits: of each value; with fewer than 32 they are rounded from the first
    step on, so that the network learns with them (quantisation-aware training, Jacob et al. 2018).
    """

    tables: ClassVar[int]
    """How many tables `values` holds, one after the other."""

    def __init__(self, nodes: int, channels: int, values: Float[Tensor, "rows channels"], bits: int) -> None:
        super().__init__()
        self.nodes, self.channels = nodes, channels
        self.values = nn.Parameter(values / GAIN)
        self.levels = 2 ** (bits - 1) - 1 if bits < FLOAT_BITS else None

    @property
    @abc.abstractmethod
    def features(self) -> int:
        """Features per point."""

    def forward(self, points: Float[Tensor, "batch rows columns samples 3"]) -> Float[Tensor, "batch c rows columns"]:
        """Features of all points of each ray, side by side, channels-last in memory; float32."""
        features = self.read(self.cells(points).reshape(-1, 3))
        return features.view(*points.shape[:3], -1).permute(0, 3, 1, 2)

    def cells(self, points: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Coordinates in units of table cells."""
        return points * (self.nodes - 1)

    @abc.abstractmethod
    def read(self, cells: Float[Tensor, "n 3"]) -> Float[Tensor, "n features"]:
        """Features at coordinates in units of cells."""

    def deploy(self, layout: Layout, dtype: torch.dtype) -> TableRows:
        """The same tables for inference, for a network of that layout."""
        tables = self.read_values().view(self.tables, -1, self.channels)
        ranges = tables.abs().amax(dim=1) if self.levels is None else GAIN * self.levels * self._steps()
        return self.rows(layout)(tables, ranges, self.nodes, dtype)

    @abc.abstractmethod
    def rows(self, layout: Layout) -> type[TableRows]:
        """What reads such tables in a network of that layout."""

    def read_values(self) -> Float[Tensor, "rows channels"]:
        """The values that a lookup sees: rounded to integers times a step, if they have few bits."""
        if self.levels is None:
            return GAIN * self.values
        tables = self.values.view(self.tables, -1, self.channels)
        steps = self._steps()[:, None]
        clipped = (tables / steps).clamp(-self.levels, self.levels)
        rounded = clipped + (clipped.round() - clipped).detach()  # straight-through (Bengio et al. 2013)
        return GAIN * (steps * rounded).reshape(self.values.shape)

    def _steps(self) -> Float[Tensor, "tables channels"]:
        """Distance of two neighbouring values of each channel of each table."""
        tables = self.values.detach().view(self.tables, -1, self.channels)
        return (STEP * tables.square().mean(dim=1).sqrt()).clamp(min=LEAST_STEP)


class Planes(FeatureTables):
    """Three planes of `nodes` x `nodes`: 3 * channels features per point."""

    tables = 3

    def __init__(self, nodes: int, channels: int, bits: int) -> None:
        super().__init__(nodes, channels, 0.1 * torch.randn(3 * nodes**2, channels), bits)

    @property
    def features(self) -> int:
        return 3 * self.channels

    def read(self, cells: Float[Tensor, "n 3"]) -> Float[Tensor, "n features"]:
        return read_planes(cells, self.read_values().view(3, self.nodes, self.nodes, self.channels))

    def rows(self, layout: Layout) -> type[TableRows]:
        return PlaneRows


class Lines(FeatureTables):
    """Product of three lines of `nodes`: `channels` features per point. Small enough to be read without gather."""

    tables = 3

    def __init__(self, nodes: int, channels: int, bits: int) -> None:
        super().__init__(nodes, channels, 0.5 + 0.5 * torch.randn(3 * nodes, channels), bits)

    @property
    def features(self) -> int:
        return self.channels

    def read(self, cells: Float[Tensor, "n 3"]) -> Float[Tensor, "n features"]:
        return read_lines(cells, self.read_values().view(3, self.nodes, self.channels))

    def rows(self, layout: Layout) -> type[TableRows]:
        return LineRows if layout is Layout.CHANNELS_LAST else LineHats  # LiteRT has a fast lookup


class Volume(FeatureTables):
    """One volume of `nodes`^3: `channels` features per point. Unlike with planes, points never share features."""

    tables = 1

    def __init__(self, nodes: int, channels: int, bits: int) -> None:
        super().__init__(nodes, channels, 0.1 * torch.randn(nodes**3, channels), bits)

    @property
    def features(self) -> int:
        return self.channels

    def read(self, cells: Float[Tensor, "n 3"]) -> Float[Tensor, "n features"]:
        side = self.nodes
        return read_volume(cells, self.read_values().view(side, side, side, self.channels))

    def rows(self, layout: Layout) -> type[TableRows]:
        return VolumeRows


READERS: dict[str, Callable[[int, int, int], FeatureTables]] = {"planes": Planes, "lines": Lines, "volume": Volume}
"""Name of a reader in the configuration -> its class, which takes nodes, channels and bits."""
