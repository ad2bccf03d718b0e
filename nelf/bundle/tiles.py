"""The program of a bundle that renders in tiles, and what its numbers mean. docs/tiles.md says what it is for.

A picture is a grid of blocks of BLOCK x BLOCK pixels. The grid may be larger than the picture, by the same margin on
both sides or one pixel more below and to the right. The first part runs on windows of blocks, the decoder on tiles.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool
from pydantic import Field

from nelf.bundle.fields import Count, Part, Text

BLOCK = 8  # pixels in each direction
INSIDE, DETAIL, COLOUR = 0, 1, 2
"""Channels of the first part's estimates of a block; the colour is the last ones."""
POSE, PLANE, STATE, ESTIMATES, IMAGE = "pose", "plane", "state", "estimates", "image"
"""Names of the parts' inputs and outputs."""

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

    Raises ValueError for a picture that is smaller than a window, or larger than a window that must be the whole grid.
    """
    sides = []
    for pixels, window in zip((height, width), program.window, strict=True):
        blocks = -(-pixels // BLOCK)
        if blocks > window:
            blocks += (blocks - window) % 2
        if blocks < window or (blocks > window and window < 2 * program.window_reach + 2):
            most = "" if blocks < window else f"at most {BLOCK * window} "
            least = f"at least {BLOCK * window - BLOCK + 1} " if blocks < window else ""
            raise ValueError(f"a side of {pixels} pixels; this program renders {least}{most}")
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
