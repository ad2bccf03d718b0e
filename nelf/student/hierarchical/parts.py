"""The hierarchical student as two networks, for images that are rendered in tiles: see nelf/student/tiles.py.

The first part is the coarse level. The decoder is the rest, on a list of blocks. Before each 3x3 convolution it looks
up what surrounds each block in the blocks around it, as submanifold sparse convolutions do with places (Graham et al.
2018). Outside the image there are zeros, as in the whole network.

Tensors that go in and out are channels last and float32.
"""

import copy
import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from nelf.student.blocks import unet_reach
from nelf.student.config import HierarchicalConfig
from nelf.student.deploy import (
    TO_FIRST,
    TO_LAST,
    ChannelsLastConvolution,
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
    decoder = MIDDLE * (config.middle_blocks + 1) + config.cell * config.decoder_blocks
    return Reach(unet_reach(config.blocks), math.ceil(decoder / COARSE))


class _Plane(nn.Module):
    """Image-plane coordinates of rays at fixed places of a window, `size` pixels apart."""

    def __init__(self, counts: tuple[int, int], size: int) -> None:
        """counts: of rows and columns."""
        super().__init__()
        for name, count, axis in zip(("rows", "columns"), counts, (1, 2), strict=True):
            places = (torch.arange(count) + 0.5) * size
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
        DecoderPart(whole, model, cut.left_out, dtype).eval().requires_grad_(False),
    )


class FirstPart(nn.Module):
    """The coarse level on a window of coarse rays.

    Returns its features, and estimates as nelf/student/tiles.py lists them.
    """

    def __init__(self, whole: DeployedHierarchical, model: Model, cut: Cut, dtype: torch.dtype) -> None:
        super().__init__()
        self.layout, self.coarse = whole.layout, whole.coarse
        self.register_buffer("steps", whole.steps, persistent=False)
        self.reads = reads_of(model, "coarse", self.layout, dtype)
        self.plane = _Plane(cut.window, COARSE)
        self.estimates = pointwise(cut.estimates.weight, self.layout, cut.estimates.bias)
        self.positions = Positions(model.frame, cut.hull.nodes)
        self.hull = nn.Parameter(cut.hull.values.reshape(-1, 1).clone(), requires_grad=False)
        self.nodes = cut.hull.nodes
        self.register_buffer("samples", torch.linspace(0, 1, HULL_SAMPLES).reshape(1, 1, 1, -1), persistent=False)

    steps: Tensor
    samples: Tensor

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
        return state, torch.cat([inside, found], dim=3)


class DecoderPart(nn.Module):
    """The middle level and the decoder on blocks of 2 x 2 middle rays."""

    def __init__(
        self,
        whole: DeployedHierarchical,
        model: Model,
        left_out: Sequence[Float[Tensor, "features"]],
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        config: HierarchicalConfig = model.config
        self.layout, self.dtype, self.cells = whole.layout, dtype, whole.cells
        middle, fine = COARSE // MIDDLE, COARSE // config.cell
        self.middle_plane, self.fine_plane = _Plane((middle, middle), MIDDLE), _Plane((fine, fine), config.cell)
        self.upsample, self.depth_logits = whole.upsample, whole.depth_logits
        for name in ("fractions", "middle_offsets", "fine_offsets"):
            self.register_buffer(name, getattr(whole, name), persistent=False)
        self.fuse, self.middle_reads = whole.fuse, reads_of(model, "middle", self.layout, dtype)
        constants = iter(left_out)
        self.middle_border, self.middle = _Border(middle), _on_blocks(whole.middle, self.layout, middle, constants)
        self.correct, self.to_cells, self.narrow = whole.correct, whole.to_cells, whole.narrow
        self.fine_reads = reads_of(model, "fine", self.layout, dtype)
        self.fine_border, self.paint = _Border(fine), _on_blocks(whole.paint, self.layout, fine, constants)

    fractions: Tensor
    middle_offsets: Tensor
    fine_offsets: Tensor

    def forward(
        self,
        pose: Float[Tensor, "1 3 4"],
        state: Float[Tensor, "n state"],
        plane: Float[Tensor, "n 4"],
        neighbours: Float[Tensor, "n 9"],
    ) -> Float[Tensor, "n height width channels"]:
        axis, count = self.layout.value, len(state)
        around = neighbours.int().reshape(count, 3, 3)
        features = state.to(self.dtype).reshape(count, *((1, 1, -1) if axis == 3 else (-1, 1, 1)))
        features = self.upsample(features)
        logits = self.depth_logits(features).float().softmax(dim=axis)
        depth = (logits * self.fractions).sum(dim=axis, keepdim=True)
        rough = depth.reshape(count, self.middle_border.side, self.middle_border.side, 1)
        read = self.middle_reads(pose, rough + self.middle_offsets, self.middle_plane(plane))
        features = self.middle(self.fuse(features) + read, self.middle_border(around))
        fine = depth_of_cells(self.correct(features).float() + depth, self.cells, self.layout)
        known = self.narrow(self.to_cells(features))
        read = self.fine_reads(pose, fine + self.fine_offsets, self.fine_plane(plane))
        image: Tensor = self.paint(known + read, self.fine_border(around))
        return (image if axis == Layout.CHANNELS_LAST.value else image.permute(TO_LAST)).float()


FEW = 2
"""Side of blocks up to which a 3x3 convolution is a matrix product: for few places a convolution starts too slowly."""


class _Border(nn.Module):
    """For blocks of `side` x `side` places: where in a list of all blocks' places their convolutions look."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        line = torch.arange(-1, side + 1) % side
        self.register_buffer("inside", (line[:, None] * side + line).int()[None], persistent=False)

    inside: Tensor

    def forward(self, around: Int[Tensor, "n 3 3"]) -> Int[Tensor, "n a b *c"]:
        """Each block with one place around it, or for each place of few the 3 x 3 around it.

        around: where 3 x 3 blocks are in the list of blocks.
        """
        for axis in (1, 2):
            before, here, behind = around.split(1, dim=axis)
            around = torch.cat([before, *[here] * self.side, behind], dim=axis)
        places = around * self.side**2 + self.inside
        if self.side > FEW:
            return places
        lines = [places[:, :, column : column + self.side] for column in range(3)]
        return torch.stack([line[:, row : row + self.side] for row in range(3) for line in lines], dim=3)


class _Chain(nn.Module):
    """Layers one after another, which pass on where neighbours are."""

    def __init__(self, steps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, x: Tensor, border: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x, border)
        return x


class _Everywhere(nn.Module):
    """A layer that looks at one place at a time."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, _: Tensor) -> Tensor:
        found: Tensor = self.layer(x)
        return found


class _Skip(nn.Module):
    """x + f(x)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, border: Tensor) -> Tensor:
        more: Tensor = self.inner(x, border)
        return x + more


class _Convolution(nn.Module):
    """A 3x3 convolution on blocks. left_out: features of blocks that are not in the list."""

    def __init__(self, layer: nn.Conv2d, layout: Layout, side: int, left_out: Float[Tensor, "features"]) -> None:
        super().__init__()
        self.layout, self.channels = layout, layer.in_channels
        if side <= FEW:
            weight = layer.weight.permute(0, 2, 3, 1).flatten(1).float()
            self.layer = pointwise(weight, layout, layer.bias).to(layer.weight.dtype)
        else:
            inner = copy.deepcopy(layer)
            inner.padding = (0, 0)
            self.layer = ChannelsLastConvolution(inner) if layout is Layout.CHANNELS_LAST else inner
        beyond = torch.stack([left_out, torch.zeros_like(left_out)]).repeat_interleave(side**2, dim=0)
        self.register_buffer("beyond", beyond.to(layer.weight.dtype), persistent=False)

    beyond: Tensor

    def forward(self, x: Tensor, border: Int[Tensor, "n a b *c"]) -> Tensor:
        if self.layout is Layout.CHANNELS_FIRST:
            x = x.permute(TO_LAST)
        rows = torch.cat([x.reshape(-1, self.channels), self.beyond])
        x = functional.embedding(border.reshape(-1), rows).reshape(*border.shape[:3], -1)
        found: Tensor = self.layer(x.permute(TO_FIRST) if self.layout is Layout.CHANNELS_FIRST else x)
        return found


def _on_blocks(module: nn.Module, layout: Layout, side: int, left_out: Iterator[Tensor]) -> nn.Module:
    """A copy of a deployed module that works on blocks of `side` x `side` places and where their convolutions look."""
    if isinstance(module, nn.Sequential):
        return _Chain([_on_blocks(layer, layout, side, left_out) for layer in module])
    if isinstance(module, Skip):
        return _Skip(_on_blocks(module.inner, layout, side, left_out))
    convolution = _wide(module)
    if convolution is None:
        return _Everywhere(module)
    assert convolution.kernel_size == (3, 3)
    assert convolution.padding == (1, 1)
    return _Convolution(convolution, layout, side, next(left_out, torch.zeros(convolution.in_channels)))


def _wide(module: nn.Module) -> nn.Conv2d | None:
    """The convolution that looks at neighbours, if the deployed module is one."""
    convolution = module.convolution if isinstance(module, ChannelsLastConvolution) else module
    return convolution if isinstance(convolution, nn.Conv2d) and convolution.kernel_size != (1, 1) else None


@torch.no_grad()
def left_out_features(
    model: Model, poses: Float[Tensor, "n 3 4"], needed: Bool[Tensor, "n rows columns"]
) -> list[Float[Tensor, "features"]]:
    """See `TileStudent`. One for each convolution that looks at neighbours, in order."""
    whole = DeployedHierarchical(model, Layout.CHANNELS_FIRST, torch.float32)
    blocks = needed.float()[:, None]
    edge = functional.max_pool2d(blocks, 3, stride=1, padding=1) - blocks
    wide = [layer for part in (whole.middle, whole.paint) for layer in part.modules() if _wide(layer) is layer]
    seen: dict[nn.Module, Tensor] = {}

    def keep(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        (seen[layer],) = given

    for layer in wide:
        layer.register_forward_pre_hook(keep)
    totals = [torch.zeros(()) for _ in wide]
    for pose, one in zip(poses.cpu().float(), edge, strict=True):
        whole(pose[None])
        for number, layer in enumerate(wide):
            share = functional.interpolate(one[None], seen[layer].shape[2:])[0] / len(poses)
            totals[number] = totals[number] + (seen[layer][0] * share).mean(dim=(1, 2))
    return [total / edge.mean().clamp(min=1e-9) for total in totals]
