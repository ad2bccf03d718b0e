"""What the program of a bundle in tiles means: windows, calls that draw blocks, the plane of a block, whole images.

In `programs` the parts are formulas, which every language writes anew. Each rounds a corner's plane (u, v, across,
down) to the pixel left = u / across + cx, top = v / down + cy.

- First part, block (i, j) of its window: x = left + 8j, y = top + 8i. Its state is x, y, and j + i times the window's
  columns; then zeros. It estimates inside = x + y + pose[3], detail = x - 2y + pose[7], and x / 64, y / 64, 2, 0.5 as
  colour.
- Decoder, pixel (i, j) of a block: left + j, top + i; the block's third feature plus 100 times the first feature of the
  block above and to the left, which counts as -1 if it is left out and as -2 outside the grid; and pose[11].
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nelf.bundle.tiles import BLOCK, Grid, Picture, TileModel, TileProgram, calls_for, neighbours_of, windows
from nelf.runtime.protocol import Arrays, OperationTime, Signature

CALLS: list[tuple[list[str], int, int]] = [
    (["......", "..##..", "..##..", "......"], 9, 1),
    (["......", "......", "......", ".....#"], 1, 0),
    (["#....#", ".#..#.", "..##..", ".#..#.", "#....#"], 4, 0),
    (["######", "######", "######", "######"], 12, 1),
    (["......", "......"], 9, 1),
    ([".#.#.#.", "#.#.#.#", ".#.#.#."], 9, 1),
    (["...#...", "..###..", ".#####.", "#######", ".#####.", "..###..", "...#..."], 11, 1),
    (["#########", "#########", "#########", "#########", "#########", "#########", "#########"], 28, 2),
]
"""Blocks that need the decoder (#), blocks in a call, and how far around a block counts."""

WINDOWS = [(25, 25, 14), (100, 100, 14), (271, 97, 14), (272, 96, 14), (12, 8, 2), (13, 9, 3), (40, 22, 10)]
"""Blocks along a side, and in a window, and of them at its edge those that are wrong."""

PICTURE = Picture(30, 44, (50.0, 51.5, 24.25, 16.5))

POSE = [1.0, 0.0, 0.0, 3.0, 0.0, 1.0, 0.0, 0.25, 0.0, 0.0, 1.0, 7.0]
PROGRAM = TileProgram(
    type="tiles",
    first="first",
    decoder="decoder",
    window=[4, 4],
    window_reach=1,
    blocks=[9, 10],
    reach=1,
    channels=3,
    empty_below=14.0,
    easy_below=-20.0,
    required_psnr=50.0,
)
PROGRAMS = [
    ("several windows and calls", PROGRAM, PICTURE, 3),
    (
        "one window and call, alpha",
        PROGRAM.model_copy(
            update={"window": [2, 3], "blocks": [25, 40], "reach": 2, "channels": 5, "easy_below": -5.0}
        ),
        Picture(12, 20, (20.0, 21.0, 9.5, 6.0)),
        4,
    ),
]
"""What is special, and program, picture and channels."""


class Formula:
    """A part of a program that is a formula."""

    signatures: Sequence[Signature] = ()

    def __init__(self, program: TileProgram, picture: Picture, channels: int) -> None:
        self.program, self.picture, self.channels, self.calls = program, picture, channels, 0

    def pixel(self, plane: NDArray[np.float32]) -> tuple[int, int]:
        """The corner, to the left and from the top."""
        _, _, cx, cy = self.picture.intrinsics
        return round(float(plane[0] / plane[2]) + cx), round(float(plane[1] / plane[3]) + cy)

    def profile(self, inputs: Arrays, frames: int) -> list[OperationTime]:
        raise NotImplementedError


class First(Formula):
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        rows, columns = self.program.window
        left, top = self.pixel(inputs["plane"][0])
        i, j = np.mgrid[:rows, :columns]
        x, y = left + BLOCK * j, top + BLOCK * i
        zeros = [np.zeros_like(x)] * (self.program.channels - 3)
        inside, detail, _ = inputs["pose"][0, :, 3].tolist()
        estimates = [x + y + inside, x - 2 * y + detail, x / 64, y / 64, np.full(x.shape, 2), np.full(x.shape, 0.5)]
        found = {"state": [x, y, i * columns + j, *zeros], "estimates": estimates[: 2 + self.channels]}
        return {name: np.stack(values, axis=-1).astype(np.float32)[None] for name, values in found.items()}


class Decoder(Formula):
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        self.calls += 1
        i, j = np.mgrid[:BLOCK, :BLOCK]
        known = [*inputs["state"][:, 0], -1, -2]
        images = []
        for state, plane, around in zip(inputs["state"], inputs["plane"], inputs["neighbours"], strict=True):
            left, top = self.pixel(plane) if plane.any() else (0, 0)  # of a call that is not full
            third = state[2] + 100 * known[int(around[0])]
            shown = np.broadcast_arrays(left + j, top + i, third, inputs["pose"][0, 2, 3])
            images.append(np.stack(shown[: self.channels], axis=-1))
        return {"image": np.stack(images).astype(np.float32)}


def program_case(name: str, program: TileProgram, picture: Picture, channels: int) -> dict[str, Any]:
    first, decoder = First(program, picture, channels), Decoder(program, picture, channels)
    model = TileModel(program, picture, channels, first, decoder)
    image = model.run({"pose": np.array(POSE, np.float32).reshape(1, 3, 4)})["image"][0]
    return {
        "name": name,
        "program": program.model_dump(),
        "image": {
            "width": picture.width,
            "height": picture.height,
            "channels": channels,
            "alpha": "premultiplied" if channels == 4 else "none",
            "background": [1.0, 1.0, 1.0],
        },
        "intrinsics": list(picture.intrinsics),
        "pose": POSE,
        "calls": decoder.calls,
        "rows": [[int(v) if v == int(v) else v for v in row.ravel().tolist()] for row in image],
    }


def call_case(blocks: list[str], size: int, reach: int) -> dict[str, Any]:
    needed = np.array([[c == "#" for c in row] for row in blocks])
    grid = Grid(len(blocks), len(blocks[0]), 0, 0)
    calls = [
        {
            "blocks": np.stack([call.rows, call.columns, call.drawn], axis=1).tolist(),
            "neighbours": neighbours_of(call, grid, size).astype(int).tolist(),
        }
        for call in calls_for(needed, size, reach)
    ]
    return {"needed": blocks, "size": size, "reach": reach, "calls": calls}


def tile_cases() -> dict[str, Any]:
    return {
        "made_by": "python -m tests.vectors.make",
        "calls": [call_case(*case) for case in CALLS],
        "windows": [
            {"length": length, "size": size, "reach": reach, "windows": [list(w) for w in windows(length, size, reach)]}
            for length, size, reach in WINDOWS
        ],
        "planes": {
            "intrinsics": list(PICTURE.intrinsics),
            "cases": [
                {"left": left, "top": top, "plane": PICTURE.plane(left, top)}
                for left, top in ((-2, -1), (14, 15), (0, 0), (38, 23))
            ],
        },
        "programs": [program_case(*case) for case in PROGRAMS],
    }
