"""The program of a bundle that renders in tiles: what its numbers mean, and how it is executed with bounded memory.

A picture is a grid of BLOCK x BLOCK pixels, called blocks (docs/tiles.md). The grid may be larger, by one margin on
both sides or one pixel more below and to the right. The first part runs on windows of blocks, the decoder on lists.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray
from pydantic import Field

from nelf.bundle.fields import Count, Part, Text
from nelf.core.errors import ConfigError
from nelf.runtime.protocol import Arrays, OperationTime, RuntimeModel, Signature

BLOCK = 8  # pixels in each direction
STILL_BLOCKS = 2000  # in one call where every block is decoded, if there is so small a size
MANY_CALLS = 3  # above so many, a rectangle is cut in halves
AROUND = 9  # blocks of 3 x 3, row by row; the fifth is the block itself
INSIDE, DETAIL, COLOUR = 0, 1, 2
"""Channels of the first part's estimates of a block; the colour is the last ones."""
POSE, PLANE, STATE, NEIGHBOURS, ESTIMATES, IMAGE = "pose", "plane", "state", "neighbours", "estimates", "image"
"""Names of the parts' inputs and outputs."""

Shapes = Mapping[str, tuple[int, ...]]
Size = Annotated[list[Count], Field(min_length=2, max_length=2)]
Margin = Annotated[int, Field(ge=0)]


class TileProgram(Part):
    """How its parts render in tiles ([docs/tiles.md](tiles.md))."""

    type: Literal["tiles"]
    first: Text
    """The first part's file. `pose` and `plane` [1, 4] in; `state` and `estimates` [1, rows, columns, channels] out."""
    decoder: Text
    """The decoder's. `pose`, `state` [blocks, channels], `plane` [blocks, 4], `neighbours` [blocks, 9] to `image`."""
    window: Size
    """Rows and columns of blocks that the first part takes."""
    window_reach: Margin
    """Blocks at a window's edge that are wrong, where the edge is not the grid's."""
    blocks: Annotated[list[Count], Field(min_length=1, max_length=8)]
    """Blocks in a call of the decoder, ascending. Of several, LiteRT has signatures: `serving_default[_NUMBER]`."""
    reach: Margin
    """Blocks in each direction that a block's pixels depend on."""
    channels: Count
    """Of `state`."""
    empty_below: float
    """Share of the hull below which a block is empty: nothing is drawn."""
    easy_below: float
    """Detail below which another block is easy: its colour is drawn."""
    required_psnr: float
    """In dB, of a golden view with blocks chosen; `parity` is of every block decoded."""

    @property
    def parts(self) -> tuple[str, str]:
        """The model files."""
        return self.first, self.decoder

    @property
    def inputs(self) -> tuple[list[Shapes], list[Shapes]]:
        """What the parts take, by signature."""
        pose: dict[str, tuple[int, ...]] = {POSE: (1, 3, 4)}
        taken = [{STATE: (n, self.channels), PLANE: (n, 4), NEIGHBOURS: (n, AROUND)} for n in self.blocks]
        return [pose | {PLANE: (1, 4)}], [pose | shapes for shapes in taken]


def check_cover(program: TileProgram, height: int, width: int) -> None:
    """Raise ValueError unless windows cover a picture of that size in pixels, and a call has room for a block."""
    for name, pixels, window in zip(("rows", "columns"), (height, width), program.window, strict=True):
        blocks = -(-pixels // BLOCK)
        if window != blocks and not (2 * program.window_reach + 2 <= window <= blocks and (blocks - window) % 2 == 0):
            raise ValueError(
                f"program.window has {window} {name} of blocks, which cannot cover {blocks} "
                f"with a reach of {program.window_reach}"
            )
    sizes, least = program.blocks, (2 * program.reach + 1) ** 2
    if sizes != sorted(set(sizes)) or sizes[0] < least:
        raise ValueError(
            f"program.blocks is {sizes}; they ascend, and a reach of {program.reach} needs {least} or more"
        )


class Grid(NamedTuple):
    """Rows and columns of blocks, and the pixels above and to the left of the picture that they cover too."""

    rows: int
    columns: int
    top: int
    left: int


def grid_of(program: TileProgram, height: int, width: int) -> Grid:
    """The grid of a picture of any size that `check_cover` allows, or of a larger one.

    Raises ValueError for a picture that is smaller than a window, or larger than a window that must be the whole grid.
    """
    sides = []
    for pixels, window in zip((height, width), program.window, strict=True):
        blocks = -(-pixels // BLOCK)
        if blocks > window:
            blocks += (blocks - window) % 2
        if blocks < window:
            raise ValueError(f"this program renders sides of at least {BLOCK * (window - 1) + 1} pixels")
        if blocks > window and window < 2 * program.window_reach + 2:
            raise ValueError(f"this program renders sides of at most {BLOCK * window} pixels")
        sides.append(blocks)
    rows, columns = sides
    return Grid(rows, columns, (rows * BLOCK - height) // 2, (columns * BLOCK - width) // 2)


class Window(NamedTuple):
    """Where a window begins, and the blocks from `begin` to before `end` that it is right in."""

    start: int
    begin: int
    end: int


def windows(length: int, size: int, reach: int) -> list[Window]:
    """Windows of `size` blocks that cover `length`. They begin at even blocks: the first part has strides of 2."""
    found: list[Window] = []
    done = 0
    while done < length:
        start = min(max(done - reach, 0) // 2 * 2, length - size)
        end = length if start + size == length else start + size - reach
        found.append(Window(start, done, end))
        done = end
    return found


class Call(NamedTuple):
    """Blocks of one call of the decoder, row by row, and which of them it draws. The others lie around those."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    drawn: NDArray[np.bool_]


def calls_for(needed: Bool[np.ndarray, "rows columns"], blocks: int, reach: int) -> Iterator[Call]:
    """Calls that draw each needed block once. A call takes needed blocks only, at most `blocks` of them.

    A rectangle with too many blocks is cut across its longer side. Those around it that its pixels depend on count too.
    If it has enough for many calls, it is halved; else the first piece fills one.
    """
    pending = [(0, needed.shape[0], 0, needed.shape[1])]
    while pending:
        top, bottom, left, right = pending.pop()
        rows, columns = np.nonzero(needed[top:bottom, left:right])
        if len(rows) == 0:
            continue
        top, bottom = top + int(rows.min()), top + int(rows.max()) + 1
        left, right = left + int(columns.min()), left + int(columns.max()) + 1
        begin, start = max(top - reach, 0), max(left - reach, 0)
        rows, columns = np.nonzero(needed[begin : bottom + reach, start : right + reach])
        rows, columns = rows + begin, columns + start
        if len(rows) <= blocks:
            yield Call(rows, columns, (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right))
            continue
        tall = bottom - top >= right - left
        low, high, places = (top, bottom, rows) if tall else (left, right, columns)
        cut = int(np.sort(places)[blocks]) - reach
        if cut <= low or len(rows) > MANY_CALLS * blocks:
            cut = (low + high) // 2
        pieces = (cut, high), (low, cut)
        pending += [(*one, left, right) if tall else (top, bottom, *one) for one in pieces]


def neighbours_of(call: Call, grid: Grid, blocks: int) -> Float32[np.ndarray, "n around"]:
    """Places in a call of the 3 x 3 blocks around each; `blocks` if one is not in it, `blocks + 1` outside the grid."""
    places = np.full((grid.rows + 2, grid.columns + 2), blocks + 1, np.float32)
    places[1:-1, 1:-1] = blocks
    places[call.rows + 1, call.columns + 1] = np.arange(len(call.rows))
    around = [places[call.rows + down, call.columns + across] for down in range(3) for across in range(3)]
    return np.stack(around, axis=1)


Put = Callable[[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]], None]
"""Takes rows and columns of blocks, and their pixels [blocks, BLOCK, BLOCK, channels] or what broadcasts to these."""


@dataclass(frozen=True)
class Picture:
    """Size in pixels and lens (fx, fy, cx, cy, pixel centres at +0.5) of what is rendered."""

    height: int
    width: int
    intrinsics: tuple[float, float, float, float]

    def enlarged(self, height: int, width: int) -> "Picture":
        """The same camera's picture in another size. Its height shows the same; its width shows less or more."""
        fx, fy, cx, cy = self.intrinsics
        scale = height / self.height
        return Picture(height, width, (fx * scale, fy * scale, (cx - self.width / 2) * scale + width / 2, cy * scale))

    def plane(self, left: int, top: int) -> list[float]:
        """u and v of the image plane at the corner of a pixel, and their steps to the next column and row."""
        fx, fy, cx, cy = self.intrinsics
        return [(left - cx) / fx, -(top - cy) / fy, 1 / fx, -1 / fy]


class TileModel:
    """The parts of a program, loaded. Called like a model file: pose in, image out."""

    def __init__(
        self,
        program: TileProgram,
        picture: Picture,
        channels: int,
        first: RuntimeModel,
        decoder: RuntimeModel,
        *,
        choose: bool = True,
    ) -> None:
        """channels: of the image. choose: whether `run` leaves blocks to the first part."""
        self.program, self.picture, self.channels, self.choose = program, picture, channels, choose
        self.first, self.decoder = first, decoder
        self.drawn: Bool[np.ndarray, "rows columns"] = np.zeros((0, 0), bool)
        """Which blocks of the last picture the decoder drew."""
        self._taken = {n: np.zeros(s, np.float32) for n, s in program.inputs[1][-1].items() if n != POSE}

    @property
    def signatures(self) -> list[Signature]:
        """See `RuntimeModel`."""
        return [{POSE: ((1, 3, 4), "float32")}]

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """See `RuntimeModel`."""
        grid = self._grid(self.picture)
        canvas = np.zeros((grid.rows, BLOCK, grid.columns, BLOCK, self.channels), np.float32)

        def put(rows: NDArray[np.intp], columns: NDArray[np.intp], values: NDArray[np.float32]) -> None:
            canvas[rows, :, columns] = values

        self._render(inputs[POSE], self.picture, grid, put, self.choose)
        return {IMAGE: _cropped(canvas, grid, self.picture)[None]}

    def profile(self, inputs: Arrays, frames: int) -> list[OperationTime]:
        """Operations of the first part, and of the decoder's shortest call."""
        plane = np.asarray([self.picture.plane(0, 0)], np.float32)
        first = self.first.profile({POSE: inputs[POSE], PLANE: plane}, frames)
        taken = {name: values[: self.program.blocks[0]] for name, values in self._taken.items()}
        return [*first, *self.decoder.profile({POSE: inputs[POSE], **taken}, frames)]

    def everywhere(self) -> "TileModel":
        """The same parts, with every block decoded."""
        return TileModel(self.program, self.picture, self.channels, self.first, self.decoder, choose=False)

    def still(
        self,
        pose: Float32[np.ndarray, "1 3 4"],
        height: int,
        width: int,
        background: Sequence[float],
        last: bool = False,
    ) -> UInt8[np.ndarray, "height width 3"]:
        """A picture of any size over `background`, every block decoded. Raises ConfigError for sizes it lacks.

        last: frees the first part, which needs much memory, before the decoder runs. It renders nothing after that.
        """
        picture = self.picture.enlarged(height, width)
        grid = self._grid(picture)
        canvas = np.empty((grid.rows, BLOCK, grid.columns, BLOCK, 3), np.uint8)

        def put(rows: NDArray[np.intp], columns: NDArray[np.intp], values: NDArray[np.float32]) -> None:
            colour = values[..., :3]
            if values.shape[-1] == 4:
                colour = colour + (1 - values[..., 3:].clip(0, 1)) * np.asarray(background, np.float32)
            canvas[rows, :, columns] = np.rint(colour.clip(0, 1) * 255)

        self._render(pose, picture, grid, put, choose=False, last=last)
        return _cropped(canvas, grid, picture)

    def _grid(self, picture: Picture) -> Grid:
        try:
            return grid_of(self.program, picture.height, picture.width)
        except ValueError as error:
            raise ConfigError(f"no picture of {picture.width} x {picture.height} pixels: {error}") from error

    def _render(
        self, pose: NDArray[Any], picture: Picture, grid: Grid, put: Put, choose: bool, last: bool = False
    ) -> None:
        state, self.drawn = self._look(pose, picture, put, grid, choose)
        if last:
            del self.first
        sizes = self.program.blocks
        most = sizes[-1] if choose else max((size for size in sizes if size <= STILL_BLOCKS), default=sizes[0])
        self._decode(pose, picture, put, grid, state, most)

    def _look(
        self, pose: NDArray[Any], picture: Picture, put: Put, grid: Grid, choose: bool
    ) -> tuple[Float32[np.ndarray, "rows columns channels"], Bool[np.ndarray, "rows columns"]]:
        """Runs the first part on all windows. Returns its state, and the blocks for the decoder."""
        state = np.empty((grid.rows, grid.columns, self.program.channels), np.float32)
        needed = np.ones((grid.rows, grid.columns), bool)
        for down, across in itertools.product(
            windows(grid.rows, self.program.window[0], self.program.window_reach),
            windows(grid.columns, self.program.window[1], self.program.window_reach),
        ):
            corner = picture.plane(across.start * BLOCK - grid.left, down.start * BLOCK - grid.top)
            found = self.first.run({POSE: pose, PLANE: np.asarray([corner], np.float32)})
            rows, columns = (slice(one.begin, one.end) for one in (down, across))
            inner = tuple(slice(one.begin - one.start, one.end - one.start) for one in (down, across))
            state[rows, columns] = found[STATE][0][inner]
            if choose:
                needed[rows, columns] = self._choose(found[ESTIMATES][0][inner], put, rows.start, columns.start)
        return state, needed

    def _choose(
        self, estimates: Float32[np.ndarray, "rows columns channels"], put: Put, row: int, column: int
    ) -> Bool[np.ndarray, "rows columns"]:
        """Paints easy blocks; returns which need the decoder. row, column: of the first block."""
        filled = estimates[..., INSIDE] >= self.program.empty_below
        rows, columns = np.nonzero(easy := filled & (estimates[..., DETAIL] < self.program.easy_below))
        put(rows + row, columns + column, estimates[rows, columns, COLOUR:].clip(0, 1)[:, None, None])
        return filled & ~easy

    def _decode(
        self,
        pose: NDArray[Any],
        picture: Picture,
        put: Put,
        grid: Grid,
        state: Float32[np.ndarray, "rows columns channels"],
        most: int,
    ) -> None:
        """Runs the decoder on the blocks to draw, at most so many at once."""
        for call in calls_for(self.drawn, most, self.program.reach):
            count = len(call.rows)
            size = next(size for size in self.program.blocks if size >= count)
            taken = {name: values[:size] for name, values in self._taken.items()}
            taken[STATE][:count] = state[call.rows, call.columns]
            planes = np.tile(picture.plane(-grid.left, -grid.top), (count, 1))
            planes[:, :2] += BLOCK * planes[:, 2:] * np.stack([call.columns, call.rows], axis=1)
            taken[PLANE][:count], taken[PLANE][count:] = planes, 0
            # What is left over shows nothing, but a place beyond a shorter list would stop the runtime.
            taken[NEIGHBOURS][:count], taken[NEIGHBOURS][count:] = neighbours_of(call, grid, size), 0
            images = self.decoder.run({POSE: pose, **taken})[IMAGE][:count]
            put(call.rows[call.drawn], call.columns[call.drawn], images[call.drawn])


def _cropped(canvas: NDArray[Any], grid: Grid, picture: Picture) -> NDArray[Any]:
    """What of a grid's pixels is in the picture: height, width, channels."""
    pixels = canvas.reshape(grid.rows * BLOCK, grid.columns * BLOCK, -1)
    return pixels[grid.top : grid.top + picture.height, grid.left : grid.left + picture.width]
