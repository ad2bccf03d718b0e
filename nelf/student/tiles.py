"""Images in tiles: a student cut into a cheap first part and a decoder, and which tiles of an image need the decoder.

A network whose work depends on its input becomes static parts and a small program, as in DyCL (Chen et al. 2023). The
image is a grid of tiles of `BLOCK` x `BLOCK` pixels, called blocks. The first part tells of each block whether it is

- empty: no ray meets the hull, which is where every view has seen something. Nothing is drawn;
- easy: of one colour, which the first part knows;
- or a block for the decoder. That takes a list of blocks, and of each where in the list its neighbours are, so that its
  convolutions see what they see in the whole image. For a neighbour that is left out it has constants.

Scores below a threshold mean empty or easy. Thresholds come from views that training has not seen: as many blocks as
possible, with a limit on what the image loses.
"""

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn
from torch.nn import functional

from nelf.core.errors import ConfigError
from nelf.student.config import Mapping
from nelf.student.deploy import Layout
from nelf.student.geometry import SceneGeometry
from nelf.student.protocol import Student

BLOCK = 8  # pixels in each direction
INSIDE, DETAIL, COLOUR = 0, 1, 2
"""Channels of the first part's estimates: share of the hull, predicted detail, and from here on the mean colour."""


class Reach(NamedTuple):
    """How many blocks beyond a block the two parts look at, in each direction."""

    first: int
    decoder: int


@dataclass(frozen=True)
class Hull:
    """Where every view has seen something: 0 to 1 at the nodes of a cube, `values[z, y, x]`."""

    values: Float[Tensor, "nodes nodes nodes"]

    @property
    def nodes(self) -> int:
        """Along each axis."""
        return len(self.values)


@dataclass(frozen=True)
class Estimates:
    """The layer that predicts a block's detail and its mean colour from the first part's features."""

    weight: Float[Tensor, "estimates features"]
    bias: Float[Tensor, "estimates"]


@dataclass(frozen=True)
class Cut:
    """What the parts need besides the student.

    window: rows and columns of blocks that the first part takes. left_out: the features of a block that the decoder
    does not compute, for each of its convolutions that look at neighbours.
    """

    window: tuple[int, int]
    hull: Hull
    estimates: Estimates
    left_out: Sequence[Float[Tensor, "features"]]


class TileParts(NamedTuple):
    """first: pose [1, 3, 4] and plane [1, 4] to state and estimates, [1, rows, columns, channels].

    decoder: pose, state [n, channels], plane [n, 4] and neighbours [n, 9] to pixels [n, BLOCK, BLOCK, channels].
    plane: see `plane_at`; of a window's corner, or a block's. neighbours: for 3 x 3 blocks row by row, where each is in
    the list; n if it is left out, n + 1 outside the image.
    """

    first: nn.Module
    decoder: nn.Module


class TileStudent(Student):
    """A student that can be cut in two parts."""

    grid: tuple[int, int]
    """Rows and columns of blocks."""

    @property
    @abc.abstractmethod
    def reach(self) -> Reach:
        """How far the parts look."""

    @property
    @abc.abstractmethod
    def state_features(self) -> int:
        """Features of a block that the first part hands over."""

    @abc.abstractmethod
    def left_out_features(
        self, poses: Float[Tensor, "n 3 4"], needed: Bool[Tensor, "n rows columns"]
    ) -> list[Float[Tensor, "features"]]:
        """`Cut.left_out`: the mean features of the blocks next to needed ones, in views where some are left out."""

    @abc.abstractmethod
    def cut(self, cut: Cut, layout: Layout, dtype: torch.dtype) -> TileParts:
        """The parts for inference; dtype: of every layer for which half precision is enough."""


def check_tiles(model: Student) -> TileStudent:
    """The student, if it can be cut. Raises ConfigError."""
    if not isinstance(model, TileStudent):
        raise ConfigError(
            f"student={model.config.name} cannot render in tiles; leave out export.tiles, or use student=m"
        )
    return model


def plane_at(frame: SceneGeometry, left: int, top: int) -> Float[Tensor, "4"]:
    """u and v of the image plane at the corner of a pixel, and their steps to the next column and row."""
    fx, fy, cx, cy = frame.intrinsics
    return torch.tensor([(left - cx) / fx, -(top - cy) / fy, 1 / fx, -1 / fy])


HULL_NODES = 64
NEAR = 4  # pixels: a block so near to something is not empty, since its neighbours' convolutions look there
MANY_BLOCKS, MORE_NODES = 64, 96  # of pictures with so many blocks along a side


@torch.no_grad()
def carve(model: TileStudent, poses: Float[Tensor, "n 3 4"]) -> Hull:
    """The hull of what the student shows from `poses`. Without alpha or in open scenes it is everywhere.

    At each node the least alpha of all views, each the largest within the size of a node around its pixel. What a view
    does not show it leaves as it is.
    """
    frame, nodes = model.frame, HULL_NODES if max(model.grid) < MANY_BLOCKS else MORE_NODES
    found = torch.ones(nodes**3)
    if frame.channels < 4 or frame.mapping != Mapping.LINEAR:
        return Hull(found.reshape(nodes, nodes, nodes))
    line = torch.linspace(-1, 1, nodes) * frame.unit
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    points = torch.stack([x, y, z], dim=-1).reshape(-1, 3) + torch.tensor(frame.center)
    fx, fy, cx, cy = frame.intrinsics
    for pose in poses.cpu().float():
        offset = (points - pose[:, 3]) @ pose[:, :3]
        depth = -offset[:, 2]
        size = fx * 2 * frame.unit / (nodes - 1) / max(float(depth.mean()), frame.near)
        around = math.ceil(size) + NEAR
        alpha = functional.max_pool2d(model(pose[None])[:, 3:], 2 * around + 1, 1, around)[0, 0]
        across, down = offset[:, 0] / depth * fx + cx, -offset[:, 1] / depth * fy + cy
        shown = (depth > 0) & (across >= 0) & (across < frame.width) & (down >= 0) & (down < frame.height)
        seen = alpha[down[shown].long(), across[shown].long()]
        found[shown] = torch.minimum(found[shown], seen)
    return Hull(found.clamp(0, 1).reshape(nodes, nodes, nodes))


RIDGE = 1e-3  # keeps the fit of estimates solvable; far below the square of any feature
LEAST_ERROR = 1e-8  # of a block's pixels, squared; detail is a logarithm


@dataclass(frozen=True)
class Blocks:
    """What the whole network shows in some views, by blocks, and what the first part says of them.

    inside: share of the hull. total, squares: sums of the block's pixels and of their squares, in float64.
    pixels: how many of a block are in the image.
    """

    state: Float[Tensor, "n rows columns features"]
    inside: Float[Tensor, "n rows columns"]
    total: Float64[Tensor, "n rows columns channels"]
    squares: Float64[Tensor, "n rows columns channels"]
    pixels: Float64[Tensor, "rows columns 1"]

    def error_of(self, colour: Float[Tensor, "n rows columns channels"]) -> Float64[Tensor, "n rows columns"]:
        """Squared error, summed over pixels, mean over channels, of blocks in one colour each."""
        colour = colour.double()
        error = self.squares - 2 * colour * self.total + self.pixels * colour.square()
        return error.clamp(min=0).mean(dim=3)


@torch.no_grad()
def look_at_blocks(model: TileStudent, hull: Hull, poses: Float[Tensor, "n 3 4"]) -> Blocks:
    """Both parts' view of `poses`."""
    zero = Estimates(torch.zeros(1 + model.frame.channels, model.state_features), torch.zeros(1 + model.frame.channels))
    first = model.cut(Cut(model.grid, hull, zero, []), Layout.CHANNELS_FIRST, torch.float32).first
    top, left = model.margins
    plane = plane_at(model.frame, -left, -top)[None]
    states, inside, totals, squares = [], [], [], []
    for pose in poses.cpu().float():
        state, estimates = first(pose[None], plane)
        states.append(state[0])
        inside.append(estimates[0, ..., INSIDE])
        image = model(pose[None])[0]
        totals.append(_block_sums(model, image))
        squares.append(_block_sums(model, image.double().square()))
    pixels = _block_sums(model, torch.ones(1, model.frame.height, model.frame.width))
    return Blocks(torch.stack(states), torch.stack(inside), torch.stack(totals), torch.stack(squares), pixels)


def _block_sums(model: TileStudent, image: Float[Tensor, "c height width"]) -> Float64[Tensor, "rows columns c"]:
    """Sums over the pixels of each block."""
    return blocks_of(model, image).sum(dim=(2, 3), dtype=torch.float64)


def blocks_of(
    model: TileStudent, image: Float[Tensor, "c height width"]
) -> Float[Tensor, "rows columns BLOCK BLOCK c"]:
    """The image in blocks, with zeros where they are outside."""
    (rows, columns), (top, left) = model.grid, model.margins
    right, bottom = columns * BLOCK - left - image.shape[2], rows * BLOCK - top - image.shape[1]
    whole = functional.pad(image, (left, right, top, bottom)).reshape(-1, rows, BLOCK, columns, BLOCK)
    return whole.permute(1, 3, 2, 4, 0)


def fit_estimates(blocks: Blocks) -> Estimates:
    """Linear least squares of a block's mean colour, and of the logarithm of its squared error in that colour."""
    colour = blocks.total / blocks.pixels.clamp(min=1)
    detail = (blocks.error_of(colour) / BLOCK**2).clamp(min=LEAST_ERROR).log10()
    targets = torch.cat([detail[..., None], colour], dim=-1)
    square = RIDGE * torch.eye(blocks.state.shape[-1] + 1, dtype=torch.float64)
    right = torch.zeros(len(square), targets.shape[-1], dtype=torch.float64)
    for state, target in zip(blocks.state, targets, strict=True):  # view by view: all in float64 would be large
        features = functional.pad(state.flatten(0, 1).double(), (0, 1), value=1.0)
        square += features.T @ features
        right += features.T @ target.flatten(0, 1)
    solved = torch.linalg.solve(square, right).float()
    return Estimates(solved[:-1].T.contiguous(), solved[-1].contiguous())


class Thresholds(NamedTuple):
    """A block is empty where its share of the hull is below `empty`, else easy where its detail is below `easy`."""

    empty: float
    easy: float

    def stricter(self, halvings: int) -> "Thresholds":
        """Half as much of the hull, and half the squared detail, for each of `halvings`."""
        return Thresholds(self.empty / 2**halvings, self.easy - halvings * math.log10(2))

    def decoded(self, estimates: Float[Tensor, "*n channels"]) -> Tensor:
        """Whether a block needs the decoder; bool [*n]."""
        return (estimates[..., INSIDE] >= self.empty) & (estimates[..., DETAIL] >= self.easy)


NOTHING = -1e9  # a threshold below every score
LEAST_EASY = 0.05
"""Share of blocks that must be easy for the class to be used: a linear prediction can be far off in a new view."""


OUTLIERS = 0.1
"""Share of views that may lose more: a student shows spots in some views that no other view knows of."""


def all_but_outliers(values: Sequence[float]) -> float:
    """The least of the views' values, outlying views aside."""
    return sorted(values)[int(OUTLIERS * len(values))]


def choose_thresholds(blocks: Blocks, estimates: Estimates, psnr: float) -> tuple[Thresholds, Float[Tensor, "n r c e"]]:
    """Thresholds with which all but outlying views keep `psnr` dB to the whole network's, and the blocks' estimates.

    Empty and easy blocks may each cost one half.
    """
    channels = blocks.total.shape[3]
    allowed = 10 ** (-psnr / 10) * float(blocks.pixels.sum()) / 2
    known = blocks.state @ estimates.weight.T + estimates.bias
    found = torch.cat([blocks.inside[..., None], known], dim=-1)
    empty = NOTHING
    if channels == 4:
        nothing = torch.zeros_like(known[..., 1:])
        empty = _threshold(blocks.inside, blocks.error_of(nothing), allowed)
    left = blocks.inside >= empty
    errors = blocks.error_of(known[..., 1:].clamp(0, 1))
    easy = _threshold(known[..., 0].where(left, math.inf), errors, allowed)
    if int((known[..., 0][left] < easy).sum()) < LEAST_EASY * left.numel():
        easy = NOTHING
    return Thresholds(empty, easy), found


def _threshold(
    scores: Float[Tensor, "n rows columns"], errors: Float64[Tensor, "n rows columns"], allowed: float
) -> float:
    """The largest threshold below which the errors of a view are at most `allowed`, outlying views aside.

    `NOTHING` if no score is below it. Blocks of an infinite score stay.
    """
    views = zip(scores.flatten(1), errors.flatten(1), strict=True)
    limit = all_but_outliers([_limit(*view, allowed) for view in views])
    if limit == math.inf:
        finite = scores[scores.isfinite()]
        limit = math.nextafter(float(finite.max()), math.inf) if len(finite) else NOTHING
    return limit if bool((scores < limit).any()) else NOTHING


def _limit(scores: Float[Tensor, "n"], errors: Float64[Tensor, "n"], allowed: float) -> float:
    """The largest threshold of one view; infinite if all its errors are allowed."""
    scores, order = scores.sort()
    count = int((errors[order].cumsum(0) <= allowed).sum())
    return float(scores[count]) if count < len(scores) else math.inf
