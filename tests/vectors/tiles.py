"""What the program of a bundle in tiles means: windows, tiles that cover blocks, and the plane of a block."""

from typing import Any

import numpy as np

from nelf.bundle.tiles import Picture, cover, windows

COVERS: list[tuple[list[str], tuple[int, int]]] = [
    (["......", "..##..", "..##..", "......"], (2, 3)),
    (["......", "......", "......", ".....#"], (2, 3)),
    (["#....#", ".#..#.", "..##..", ".#..#.", "#....#"], (2, 2)),
    (["######", "######", "######", "######"], (3, 4)),
    (["......", "......"], (2, 2)),
    ([".#.#.#.", "#.#.#.#", ".#.#.#."], (1, 1)),
    (["...#...", "..###..", ".#####.", "#######", ".#####.", "..###..", "...#..."], (3, 2)),
]
"""Blocks that need the decoder (#), and the size of a tile in blocks."""

WINDOWS = [(25, 25, 14), (100, 100, 14), (271, 97, 14), (272, 96, 14), (12, 8, 2), (13, 9, 3), (40, 22, 10)]
"""Blocks along a side, and in a window, and of them at its edge those that are wrong."""

PICTURE = Picture(30, 44, (50.0, 51.5, 24.25, 16.5))


def tile_cases() -> dict[str, Any]:
    return {
        "made_by": "python -m tests.vectors.make",
        "covers": [
            {
                "blocks": rows,
                "tile": list(tile),
                "tiles": [list(place) for place in cover(np.array([[c == "#" for c in row] for row in rows]), tile)],
            }
            for rows, tile in COVERS
        ],
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
    }
