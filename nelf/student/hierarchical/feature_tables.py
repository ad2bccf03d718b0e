"""Points on rays, and the tables of features that are read there."""

import abc

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.kernels.plane_features import read_lines, read_planes, read_volume
from nelf.student.config import Mapping
from nelf.student.deploy import Layout
from nelf.student.geometry import EXTENT, SceneGeometry
from nelf.student.hierarchical.table_rows import LineHats, LineRows, PlaneRows, TableRows, VolumeRows

COARSE, MIDDLE = 8, 4
"""Image pixels of a coarse and of a middle ray, in each direction."""

DEPTHS = 32  # depths of which the middle level's is a mean
CORRECTION = 0.05  # of the way from near to far that an output of 1 moves a cell's depth


def spread(reach: float, count: int) -> list[float]:
    """`count` offsets, evenly from -reach to reach."""
    return [reach * (2 * i / (count - 1) - 1) for i in range(count)] if count > 1 else [0.0]


def points_on(
    frame: SceneGeometry, rays: Float[Tensor, "batch rows columns 6"], fractions: Float[Tensor, "*#shape samples"]
) -> Float[Tensor, "batch rows columns samples 3"]:
    """Normalised points at `fractions` of the way from near to far.

    In disparity they are held to 0..1: beyond the far end lies infinity.
    """
    if frame.mapping == Mapping.DISPARITY:
        fractions = fractions.clamp(0, 1)
    return frame.points_at(rays[..., None, :3], rays[..., None, 3:], fractions[..., None])


def means(rays: Float[Tensor, "batch rows columns 6"], size: int) -> Float[Tensor, "batch rows2 columns2 6"]:
    """Of each `size` x `size` rays, the one in their middle."""
    if size == 1:
        return rays
    batch, rows, columns, numbers = rays.shape
    return rays.view(batch, rows // size, size, columns // size, size, numbers).mean(dim=(2, 4))


GAIN = 4.0  # Adam moves every value by its rate; so many times the rate of the biases suits tables


class FeatureTables(nn.Module, abc.ABC):
    """Tables over the cube from -EXTENT to EXTENT.

    nodes: along each axis. channels: of a table. features: that one point gets.
    """

    values: nn.Parameter
    features: int

    def __init__(self, nodes: int, channels: int) -> None:
        super().__init__()
        self.nodes, self.channels = nodes, channels

    def forward(self, points: Float[Tensor, "batch rows columns samples 3"]) -> Float[Tensor, "batch c rows columns"]:
        """Features of all points of each ray, side by side, in the channels-last layout; float32."""
        features = self.read(self.cells(points).reshape(-1, 3))
        return features.view(*points.shape[:3], -1).permute(0, 3, 1, 2)

    def cells(self, points: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """Coordinates in cells of the tables."""
        return (points / EXTENT + 1) * ((self.nodes - 1) / 2)

    @abc.abstractmethod
    def read(self, cells: Float[Tensor, "n 3"]) -> Float[Tensor, "n features"]:
        """Features at coordinates in cells."""

    @abc.abstractmethod
    def deploy(self, layout: Layout, dtype: torch.dtype) -> TableRows:
        """The same tables for inference, in a network of that layout."""


class Planes(FeatureTables):
    """Three planes of `nodes` x `nodes`: 3 * channels features a point."""

    def __init__(self, nodes: int, channels: int) -> None:
        super().__init__(nodes, channels)
        self.features = 3 * channels
        self.values = nn.Parameter(0.1 / GAIN * torch.randn(3 * nodes**2, channels))

    def read(self, cells: Float[Tensor, "n 3"]) -> Float[Tensor, "n features"]:
        return read_planes(cells, GAIN * self.values.view(3, self.nodes, self.nodes, self.channels))

    def deploy(self, layout: Layout, dtype: torch.dtype) -> TableRows:
        return PlaneRows(GAIN * self.values.view(3, -1, self.channels), self.nodes, dtype)


class Lines(FeatureTables):
    """Three lines of `nodes`, multiplied: `channels` features a point. So small that a file needs no gather."""

    def __init__(self, nodes: int, channels: int) -> None:
        super().__init__(nodes, channels)
        self.features = channels
        self.values = nn.Parameter((0.5 + 0.5 * torch.randn(3 * nodes, channels)) / GAIN)

    def read(self, cells: Float[Tensor, "n 3"]) -> Float[Tensor, "n features"]:
        return read_lines(cells, GAIN * self.values.view(3, self.nodes, self.channels))

    def deploy(self, layout: Layout, dtype: torch.dtype) -> TableRows:
        form = LineRows if layout is Layout.CHANNELS_LAST else LineHats  # LiteRT has a fast lookup
        return form(GAIN * self.values.view(3, -1, self.channels), self.nodes, dtype)


class Volume(FeatureTables):
    """One volume of `nodes`^3: `channels` features a point. Places that share a plane do not share its features."""

    def __init__(self, nodes: int, channels: int) -> None:
        super().__init__(nodes, channels)
        self.features = channels
        self.values = nn.Parameter(0.1 / GAIN * torch.randn(nodes**3, channels))

    def read(self, cells: Float[Tensor, "n 3"]) -> Float[Tensor, "n features"]:
        side = self.nodes
        return read_volume(cells, GAIN * self.values.view(side, side, side, self.channels))

    def deploy(self, layout: Layout, dtype: torch.dtype) -> TableRows:
        return VolumeRows(GAIN * self.values[None], self.nodes, dtype)


READERS: dict[str, type[FeatureTables]] = {"planes": Planes, "lines": Lines, "volume": Volume}
"""Name of a reader in the configuration -> its class."""
