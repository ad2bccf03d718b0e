"""The hierarchical student as two networks, for images that are rendered in tiles: see nelf/student/tiles.py.

The first part is the coarse level. The decoder is the rest. It runs on some tiles at once, each with the coarse rays
around it that its convolutions reach. They have no padding, so that a tile's border is like any other place. Outside
the image the whole network has zeros, and the decoder multiplies by zero there.

Tensors that go in and out are channels last and float32.
"""

import copy
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from nelf.student.blocks import unet_reach
from nelf.student.config import HierarchicalConfig
from nelf.student.deploy import (
    TO_FIRST,
    TO_LAST,
    ChannelsLastConvolution,
    ChannelsLastShuffle,
    Layout,
    Skip,
    pointwise,
)
from nelf.student.hierarchical.deployed import DeployedHierarchical, Model, Positions, depth_of_cells, reads_of
from nelf.student.hierarchical.feature_tables import COARSE, MIDDLE
from nelf.student.tiles import Cut, Reach, TileParts

HULL_SAMPLES = 32  # of a coarse ray, at which it looks into the hull


def reach_of(config: HierarchicalConfig) -> Reach:
    """How far the two parts look beyond what they answer for, in coarse rays."""
    decoder = MIDDLE * _middle_convolutions(config) + config.cell * config.decoder_blocks
    return Reach(unet_reach(config.blocks), math.ceil(decoder / COARSE))


def _middle_convolutions(config: HierarchicalConfig) -> int:
    return config.middle_blocks + 1


class _Plane(nn.Module):
    """Image-plane coordinates of rays at fixed places of a window.

    size: pixels between rays. start: pixels from the window's corner to the first ray's square.
    """

    def __init__(self, counts: tuple[int, int], size: int, start: int) -> None:
        """counts: of rows and columns."""
        super().__init__()
        for name, count, axis in zip(("rows", "columns"), counts, (1, 2), strict=True):
            places = (torch.arange(count) + 0.5) * size + start
            shape = [-1 if i == axis else 1 for i in range(4)]
            self.register_buffer(name, places.reshape(shape), persistent=False)

    rows: Tensor
    columns: Tensor

    def forward(self, plane: Float[Tensor, "n 4"]) -> tuple[Tensor, Tensor]:
        """plane: u and v of each window's corner, then their steps from pixel to pixel."""
        u, v, across, down = plane.reshape(-1, 1, 1, 4).split(1, dim=3)
        return u + across * self.columns, v + down * self.rows


def cut_in_parts(model: Model, cut: Cut, layout: Layout, dtype: torch.dtype) -> TileParts:
    """Both parts of a student; they share no weights that are written twice."""
    whole = DeployedHierarchical(model, layout, dtype)
    return TileParts(
        FirstPart(whole, model, cut, dtype).eval().requires_grad_(False),
        DecoderPart(whole, model, cut.tile, dtype).eval().requires_grad_(False),
    )


class FirstPart(nn.Module):
    """The coarse level on a window of coarse rays.

    Returns its features with a last channel of ones, and estimates as nelf/student/tiles.py lists them.
    """

    def __init__(self, whole: DeployedHierarchical, model: Model, cut: Cut, dtype: torch.dtype) -> None:
        super().__init__()
        self.layout, self.coarse = whole.layout, whole.coarse
        self.register_buffer("steps", whole.steps, persistent=False)
        self.reads = reads_of(model, "coarse", self.layout, dtype)
        self.plane = _Plane(cut.window, COARSE, 0)
        self.estimates = pointwise(cut.estimates.weight, self.layout, cut.estimates.bias)
        self.positions = Positions(model.frame, cut.hull.nodes)
        self.hull = nn.Parameter(cut.hull.values.reshape(-1, 1).clone(), requires_grad=False)
        self.nodes = cut.hull.nodes
        self.register_buffer("samples", torch.linspace(0, 1, HULL_SAMPLES).reshape(1, 1, 1, -1), persistent=False)
        self.register_buffer("ones", torch.ones(1, *cut.window, 1), persistent=False)

    steps: Tensor
    samples: Tensor
    ones: Tensor

    def forward(
        self, pose: Float[Tensor, "1 3 4"], plane: Float[Tensor, "1 4"]
    ) -> tuple[Float[Tensor, "1 rows columns state"], Float[Tensor, "1 rows columns estimates"]]:
        rays = self.plane(plane)
        features = self.coarse(self.reads(pose, self.steps, rays)).float()
        found, state = self.estimates(features), features
        if self.layout is Layout.CHANNELS_FIRST:
            found, state = found.permute(TO_LAST), state.permute(TO_LAST)
        x, y, z = ((place.node + place.fraction + 0.5).floor() for place in self.positions(pose, self.samples, rays))
        nearest = ((z * self.nodes + y) * self.nodes + x).reshape(-1).int()
        inside = functional.embedding(nearest, self.hull).reshape(*z.shape).amax(dim=3, keepdim=True)
        return torch.cat([state, self.ones], dim=3), torch.cat([inside, found], dim=3)


class DecoderPart(nn.Module):
    """The middle level and the decoder on `count` tiles of `rows` x `columns` coarse rays.

    Of a tile's pixels it returns all, and nothing of what lies around it.
    """

    def __init__(self, whole: DeployedHierarchical, model: Model, tile: tuple[int, int], dtype: torch.dtype) -> None:
        super().__init__()
        config: HierarchicalConfig = model.config
        self.layout, self.dtype, self.cells = whole.layout, dtype, whole.cells
        reach = reach_of(config).decoder
        first, second = _middle_convolutions(config), math.ceil(config.decoder_blocks * config.cell / MIDDLE)
        self.unused = 2 * reach - first - second  # middle rays on each side of a window
        self.first, self.surplus = first, second * self.cells - config.decoder_blocks  # cells on each side
        middle = [2 * n + 2 * (first + second) for n in tile]
        fine = [COARSE // config.cell * n + 2 * config.decoder_blocks for n in tile]
        self.middle_plane = _Plane((middle[0], middle[1]), MIDDLE, -(first + second) * MIDDLE)
        self.fine_plane = _Plane((fine[0], fine[1]), config.cell, -config.decoder_blocks * config.cell)
        self.upsample, self.depth_logits = whole.upsample, whole.depth_logits
        for name in ("fractions", "middle_offsets", "fine_offsets"):
            self.register_buffer(name, getattr(whole, name), persistent=False)
        self.fuse, self.middle_reads = whole.fuse, reads_of(model, "middle", self.layout, dtype)
        self.middle = _unpadded(whole.middle, self.layout)
        self.correct, self.to_cells, self.narrow = whole.correct, whole.to_cells, whole.narrow
        self.fine_reads, self.paint = reads_of(model, "fine", self.layout, dtype), _unpadded(whole.paint, self.layout)
        self.inside_middle = _Repeat(COARSE // MIDDLE, self.layout).to(dtype)
        self.inside_cells = _Repeat(self.cells, self.layout).to(dtype)

    fractions: Tensor
    middle_offsets: Tensor
    fine_offsets: Tensor

    def forward(
        self,
        pose: Float[Tensor, "1 3 4"],
        state: Float[Tensor, "n rows columns state"],
        plane: Float[Tensor, "n 4"],
    ) -> Float[Tensor, "n height width channels"]:
        axis, crop = self.layout.value, self._crop
        features, inside = state.to(self.dtype).split([state.shape[3] - 1, 1], dim=3)
        if axis == Layout.CHANNELS_FIRST.value:
            features, inside = features.permute(TO_FIRST), inside.permute(TO_FIRST)
        inside = crop(self.inside_middle(inside), self.unused)
        features = crop(self.upsample(features), self.unused)
        logits = self.depth_logits(features).float().softmax(dim=axis)
        depth = (logits * self.fractions).sum(dim=axis, keepdim=True)
        rough = depth.reshape(len(state), *self.middle_plane.rows.shape[1:2], *self.middle_plane.columns.shape[2:3], 1)
        read = self.middle_reads(pose, rough + self.middle_offsets, self.middle_plane(plane))
        features, inside = self.middle(self.fuse(features) + read, inside)
        fine = depth_of_cells(self.correct(features).float() + crop(depth, self.first), self.cells, self.layout)
        fine = fine[:, self.surplus : fine.shape[1] - self.surplus, self.surplus : fine.shape[2] - self.surplus]
        known = self.narrow(crop(self.to_cells(features), self.surplus))
        inside = crop(self.inside_cells(inside), self.surplus)
        read = self.fine_reads(pose, fine + self.fine_offsets, self.fine_plane(plane))
        image: Tensor
        image, _ = self.paint(known + read, inside)
        return (image if axis == Layout.CHANNELS_LAST.value else image.permute(TO_LAST)).float()

    def _crop(self, image: Tensor, margin: int) -> Tensor:
        return _cropped(image, margin, self.layout)


class _Repeat(nn.Module):
    """Repeats each value of an image of one channel `factor` times in both directions."""

    def __init__(self, factor: int, layout: Layout) -> None:
        super().__init__()
        self.widen = pointwise(torch.ones(factor**2, 1), layout)
        self.shuffle = nn.PixelShuffle(factor) if layout is Layout.CHANNELS_FIRST else ChannelsLastShuffle(factor)

    def forward(self, image: Float[Tensor, "n a b c"]) -> Float[Tensor, "n a2 b2 c2"]:
        repeated: Tensor = self.shuffle(self.widen(image))
        return repeated


class _Chain(nn.Module):
    """Layers one after another, which pass on what is inside the image."""

    def __init__(self, steps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, x: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        for step in self.steps:
            x, inside = step(x, inside)
        return x, inside


class _Everywhere(nn.Module):
    """A layer that looks at one place at a time."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x), inside


class _Convolution(nn.Module):
    """A 3x3 convolution without padding, on an input that is zero outside the image."""

    def __init__(self, layer: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.layer, self.layout = layer, layout

    def forward(self, x: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x * inside), _cropped(inside, 1, self.layout)


class _CroppedSkip(nn.Module):
    """x + f(x), where f(x) is smaller."""

    def __init__(self, inner: nn.Module, layout: Layout, margin: int) -> None:
        super().__init__()
        self.inner, self.layout, self.margin = inner, layout, margin

    def forward(self, x: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        more, left = self.inner(x, inside)
        return _cropped(x, self.margin, self.layout) + more, left


def _unpadded(module: nn.Module, layout: Layout) -> nn.Module:
    """A copy of a deployed module whose convolutions have no padding, as one that passes on what is inside."""
    if isinstance(module, nn.Sequential):
        return _Chain([_unpadded(layer, layout) for layer in module])
    if isinstance(module, Skip):
        inner = _unpadded(module.inner, layout)
        return _CroppedSkip(inner, layout, sum(isinstance(part, _Convolution) for part in inner.modules()))
    convolution = module.convolution if isinstance(module, ChannelsLastConvolution) else module
    if not isinstance(convolution, nn.Conv2d) or convolution.kernel_size == (1, 1):
        return _Everywhere(module)
    assert convolution.kernel_size == (3, 3)
    assert convolution.padding == (1, 1)
    twin = copy.deepcopy(convolution)
    twin.padding = (0, 0)
    return _Convolution(ChannelsLastConvolution(twin) if convolution is not module else twin, layout)


def _cropped(image: Float[Tensor, "n a b c"], margin: int, layout: Layout) -> Float[Tensor, "n d e f"]:
    """The image without `margin` rows and columns on each side."""
    if margin == 0:
        return image
    first = 2 if layout is Layout.CHANNELS_FIRST else 1
    for axis in (first, first + 1):
        image = image.narrow(axis, margin, image.shape[axis] - 2 * margin)
    return image
