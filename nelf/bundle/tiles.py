"""The program of a bundle that renders in tiles: what its numbers mean, and how it is executed with bounded memory.

docs/tiles.md says what it is for. A picture is a grid of blocks of BLOCK x BLOCK pixels. The grid may be larger than
the picture, by the same margin on both sides or one pixel more below and to the right. The first part runs on windows
of blocks, the decoder on tiles. Without choosing, the same program renders stills of any size. As in FastPathology
(Pedersen et al. 2021), only the tiles of one batch are with the network at any time.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray
from pydantic import Field

from nelf.bundle.fields import Count, Part, Text
from nelf.core.errors import ConfigError
from nelf.runtime.protocol import Arrays, OperationTime, RuntimeModel

BLOCK = 8  # pixels in each direction
INSIDE, DETAIL, COLOUR = 0, 1, 2
"""Channels of the first part's estimates of a block; the colour is the last ones."""
POSE, PLANE, STATE, ESTIMATES, IMAGE = "pose", "plane", "state", "estimates", "image"
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
    """The decoder's file. `pose`, `state` [batch, rows, columns, channels] and `plane` [batch, 4] in; `image` out."""
    window: Size
    """Rows and columns of blocks that the first part takes."""
    window_reach: Margin
    """Blocks at a window's edge that are wrong, where the edge is not the grid's."""
    tile: Size
    """Rows and columns of blocks that the decoder gives."""
    tile_reach: Margin
    """Blocks around a tile that the decoder takes too, zero outside the grid."""
    batch: Count
    """Tiles in one call of the decoder."""
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
    def inputs(self) -> tuple[Shapes, Shapes]:
        """What the parts take."""
        pose, (rows, columns) = (1, 3, 4), (side + 2 * self.tile_reach for side in self.tile)
        state = (self.batch, rows, columns, self.channels)
        return {POSE: pose, PLANE: (1, 4)}, {POSE: pose, STATE: state, PLANE: (self.batch, 4)}


def check_cover(program: TileProgram, height: int, width: int) -> None:
    """Raise ValueError unless windows and tiles cover a picture of that size in pixels."""
    for name, pixels, window, tile in zip(
        ("rows", "columns"), (height, width), program.window, program.tile, strict=True
    ):
        blocks = -(-pixels // BLOCK)
        if tile > blocks:
            raise ValueError(f"program.tile has {tile} {name} of blocks, the picture {blocks}")
        if window != blocks and not (2 * program.window_reach + 2 <= window <= blocks and (blocks - window) % 2 == 0):
            raise ValueError(
                f"program.window has {window} {name} of blocks, which cannot cover {blocks} "
                f"with a reach of {program.window_reach}"
            )


class Grid(NamedTuple):
    """Rows and columns of blocks, and the pixels above and to the left of the picture that they cover too."""

    rows: int
    columns: int
    top: int
    left: int


def grid_of(program: TileProgram, height: int, width: int) -> Grid:
    """The grid of a picture of any size that `check_cover` allows, or of a larger one.

    Raises ValueError for a picture that is smaller than a window or a tile, or larger than a window that must be the
    whole grid.
    """
    sides = []
    for pixels, window, tile in zip((height, width), program.window, program.tile, strict=True):
        blocks, fewest = -(-pixels // BLOCK), max(window, tile)
        if blocks > window:
            blocks += (blocks - window) % 2
        if blocks < fewest:
            raise ValueError(f"this program renders sides of at least {BLOCK * (fewest - 1) + 1} pixels")
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


def cover(needed: Bool[np.ndarray, "rows columns"], tile: Sequence[int]) -> list[tuple[int, int]]:
    """Row and column of the first block of tiles that cover the needed blocks: band by band, from left to right."""
    left, found = needed.copy(), list[tuple[int, int]]()
    rows, columns = left.shape
    for row in range(rows):
        if not left[row].any():
            continue
        top = min(row, rows - tile[0])
        band = left[top : top + tile[0]]
        for column in range(columns):
            if band[:, column].any():
                start = min(column, columns - tile[1])
                band[:, start : start + tile[1]] = False
                found.append((top, start))
    return found


Paste = Callable[[slice, slice, NDArray[np.float32]], None]
"""Takes rows, columns and values of a part of the picture."""


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
        self.tiles = 0
        """Tiles that the last picture took."""
        _, taken = program.inputs
        self._tiles, self._planes = np.zeros(taken[STATE], np.float32), np.zeros(taken[PLANE], np.float32)

    @property
    def inputs(self) -> Mapping[str, tuple[tuple[int, ...], str]]:
        """See `RuntimeModel`."""
        return {POSE: ((1, 3, 4), "float32")}

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """See `RuntimeModel`."""
        image = np.zeros((self.picture.height, self.picture.width, self.channels), np.float32)

        def paste(rows: slice, columns: slice, values: NDArray[np.float32]) -> None:
            image[rows, columns] = values

        self._render(inputs[POSE], self.picture, paste, self.choose)
        return {IMAGE: image[None]}

    def profile(self, inputs: Arrays, frames: int) -> list[OperationTime]:
        """Operations of the first part, and of one call of the decoder."""
        taken = {STATE: self._tiles, PLANE: self._planes}
        plane = np.asarray([self.picture.plane(0, 0)], np.float32)
        first = self.first.profile({POSE: inputs[POSE], PLANE: plane}, frames)
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
        image = np.empty((height, width, 3), np.uint8)

        def paste(rows: slice, columns: slice, values: NDArray[np.float32]) -> None:
            colour = values[..., :3]
            if values.shape[2] == 4:
                colour = colour + (1 - values[..., 3:].clip(0, 1)) * np.asarray(background, np.float32)
            image[rows, columns] = np.rint(colour.clip(0, 1) * 255)

        self._render(pose, self.picture.enlarged(height, width), paste, choose=False, last=last)
        return image

    def _render(self, pose: NDArray[Any], picture: Picture, paste: Paste, choose: bool, last: bool = False) -> None:
        try:
            grid = grid_of(self.program, picture.height, picture.width)
        except ValueError as error:
            raise ConfigError(f"no picture of {picture.width} x {picture.height} pixels: {error}") from error
        state, needed = self._look(pose, picture, paste, grid, choose)
        if last:
            del self.first
        self._decode(pose, picture, paste, grid, state, needed)

    def _look(
        self, pose: NDArray[Any], picture: Picture, paste: Paste, grid: Grid, choose: bool
    ) -> tuple[Float32[np.ndarray, "tall wide channels"], Bool[np.ndarray, "rows columns"]]:
        """Runs the first part on all windows. Returns its state, with zeros around, and the blocks for the decoder."""
        reach = self.program.tile_reach
        state = np.zeros((grid.rows + 2 * reach, grid.columns + 2 * reach, self.program.channels), np.float32)
        needed = np.ones((grid.rows, grid.columns), bool)
        for down, across in itertools.product(
            windows(grid.rows, self.program.window[0], self.program.window_reach),
            windows(grid.columns, self.program.window[1], self.program.window_reach),
        ):
            corner = picture.plane(across.start * BLOCK - grid.left, down.start * BLOCK - grid.top)
            found = self.first.run({POSE: pose, PLANE: np.asarray([corner], np.float32)})
            rows, columns = (slice(one.begin, one.end) for one in (down, across))
            inner = tuple(slice(one.begin - one.start, one.end - one.start) for one in (down, across))
            state[reach:, reach:][rows, columns] = found[STATE][0][inner]
            if choose:
                needed[rows, columns] = self._choose(found[ESTIMATES][0][inner], grid, picture, paste, rows, columns)
        return state, needed

    def _choose(
        self,
        estimates: Float32[np.ndarray, "rows columns channels"],
        grid: Grid,
        picture: Picture,
        paste: Paste,
        rows: slice,
        columns: slice,
    ) -> Bool[np.ndarray, "rows columns"]:
        """Paints easy blocks; returns which need the decoder."""
        filled = estimates[..., INSIDE] >= self.program.empty_below
        easy = filled & (estimates[..., DETAIL] < self.program.easy_below)
        for row, column in np.argwhere(easy):
            colour = np.broadcast_to(estimates[row, column, COLOUR:].clip(0, 1), (BLOCK, BLOCK, self.channels))
            _paste_block(paste, colour, picture, grid, rows.start + int(row), columns.start + int(column))
        return filled & ~easy

    def _decode(
        self,
        pose: NDArray[Any],
        picture: Picture,
        paste: Paste,
        grid: Grid,
        state: Float32[np.ndarray, "tall wide channels"],
        needed: Bool[np.ndarray, "rows columns"],
    ) -> None:
        """Runs the decoder on tiles over the needed blocks."""
        places = cover(needed, self.program.tile)
        self.tiles = len(places)
        _, height, width, _ = self._tiles.shape
        for start in range(0, len(places), self.program.batch):
            batch = places[start : start + self.program.batch]
            for number, (row, column) in enumerate(batch):
                self._tiles[number] = state[row : row + height, column : column + width]
                self._planes[number] = picture.plane(column * BLOCK - grid.left, row * BLOCK - grid.top)
            images = self.decoder.run({POSE: pose, STATE: self._tiles, PLANE: self._planes})[IMAGE]
            for image, (row, column) in zip(images, batch, strict=False):
                _paste_block(paste, image, picture, grid, row, column)


def _paste_block(paste: Paste, image: NDArray[np.float32], picture: Picture, grid: Grid, row: int, column: int) -> None:
    """Paste what of `image`, whose first block is that of `row` and `column`, is in the picture."""
    top, left = row * BLOCK - grid.top, column * BLOCK - grid.left
    first, last = max(top, 0), min(top + image.shape[0], picture.height)
    begin, end = max(left, 0), min(left + image.shape[1], picture.width)
    if first < last and begin < end:
        paste(slice(first, last), slice(begin, end), image[first - top : last - top, begin - left : end - left])
