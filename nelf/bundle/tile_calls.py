"""Which blocks of a picture go into which call of a program's parts (nelf/bundle/tiles.py)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

MANY_CALLS = 3  # above so many, a rectangle is cut in halves
AROUND = 9
"""Blocks of 3 x 3, row by row; the fifth is the block itself."""


class Grid(NamedTuple):
    """Rows and columns of blocks, and the pixels above and to the left of the picture that they cover too."""

    rows: int
    columns: int
    top: int
    left: int


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
    """For each block of a call, the places in it of the 3 x 3 blocks around.

    `blocks` stands for a block that is not in the call, `blocks + 1` for one outside the grid.
    """
    places = np.full((grid.rows + 2, grid.columns + 2), blocks + 1, np.float32)
    places[1:-1, 1:-1] = blocks
    places[call.rows + 1, call.columns + 1] = np.arange(len(call.rows))
    around = [places[call.rows + down, call.columns + across] for down in range(3) for across in range(3)]
    return np.stack(around, axis=1)
