"""A room with speckled walls, rendered in plain numpy: photos with known poses, for structure from motion.

The room is the box [-2, 2] x [-2, 2] x [0, 2.5] (z up) with a block in one corner; the cameras stand on an arc in it.
"""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from tests.scenes import undistort_points, write_json

WIDTH, HEIGHT, FOCAL = 320, 240, 260.0
LOW, HIGH = np.array([-2.0, -2.0, 0.0]), np.array([2.0, 2.0, 2.5])
BLOCK_LOW, BLOCK_HIGH = np.array([0.4, 0.2, 0.0]), np.array([1.2, 1.1, 0.9])


def poses(count: int) -> np.ndarray:
    """c2w [count, 3, 4], OpenGL axes: on an arc, each looking at the block."""
    return np.stack([_towards_block(i / max(count - 1, 1), 1.9, 1.3) for i in range(count)])


def two_rows(count: int) -> np.ndarray:
    """The same on two arcs, the second nearer and lower: so many distances tell the focal length."""
    half = count // 2
    rows = ((1.9, 1.6), (1.4, 0.8))
    return np.stack([_towards_block(i / (half - 1), reach, up) for reach, up in rows for i in range(half)])


def _towards_block(along: float, reach: float, height: float) -> np.ndarray:
    angle = math.radians(-150 + 70 * along)
    lift = 0.15 * math.sin(3 * angle)
    eye = np.array([0.8 + reach * math.cos(angle), 0.7 + reach * math.sin(angle), height + lift])
    back = eye - np.array([0.8, 0.7, 0.5])
    back /= np.linalg.norm(back)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back, eye], axis=1)


def render(c2w: np.ndarray, block_moved: float = 0.0, lens: Mapping[str, float] = MappingProxyType({})) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH, 3]. block_moved: along x. lens: distortion, k1 to p2."""
    x, y = np.moveaxis(ideal_points(tuple(lens.items())), -1, 0)
    shift = np.array([block_moved, 0.0, 0.0])
    local = np.stack([(x - WIDTH / 2) / FOCAL, -(y - HEIGHT / 2) / FOCAL, -np.ones_like(x)], axis=-1)
    directions = local @ c2w[:, :3].T
    origin = c2w[:, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        walls = np.stack([(LOW - origin) / directions, (HIGH - origin) / directions])
        leave, wall = walls.max(0).min(-1), walls.max(0).argmin(-1)
        block = np.sort(
            np.stack([(BLOCK_LOW + shift - origin) / directions, (BLOCK_HIGH + shift - origin) / directions]), axis=0
        )
        enter, face = block[0].max(-1), block[0].argmax(-1)
        hit = (enter < block[1].min(-1)) & (enter > 0)
    depth, axis = np.where(hit, enter, leave), np.where(hit, face, wall)
    points = origin + depth[..., None] * directions - hit[..., None] * shift  # the block takes its texture along
    across = np.where(axis == 0, points[..., 1], points[..., 0])
    upwards = np.where(axis == 2, points[..., 1], points[..., 2])
    side = axis + 3 * hit + 6 * (np.take_along_axis(points, axis[..., None], -1)[..., 0] > 0)
    shade = sum(speckle(side, across * 2**octave, upwards * 2**octave) for octave in (2, 3, 4)) / 3
    tint = np.stack([0.6 + 0.05 * side, 0.9 - 0.03 * side, 0.5 + 0.04 * side], axis=-1)
    return (255 * np.clip(shade[..., None] * tint, 0, 1)).round().astype(np.uint8)


@functools.cache
def ideal_points(lens: tuple[tuple[str, float], ...]) -> np.ndarray:
    """[HEIGHT, WIDTH, 2]: where a pinhole camera has what the lens shows at each pixel centre."""
    points = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), axis=-1)
    return undistort_points(points, FOCAL, HEIGHT, WIDTH, **dict(lens)) if lens else points


def speckle(side: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Random values at whole coordinates of each side, smooth in between."""
    table = np.random.default_rng(7).uniform(size=(12, 256, 256))
    i, j = np.floor(u).astype(int), np.floor(v).astype(int)
    a, b = u - i, v - j
    a, b = a * a * (3 - 2 * a), b * b * (3 - 2 * b)

    def at(di: int, dj: int) -> np.ndarray:
        return table[side % 12, (i + di) % 256, (j + dj) % 256]

    return (1 - a) * ((1 - b) * at(0, 0) + b * at(0, 1)) + a * ((1 - b) * at(1, 0) + b * at(1, 1))


def make_photos(
    folder: Path, known: int | np.ndarray = 10, lens: Mapping[str, float] = MappingProxyType({})
) -> np.ndarray:
    """Fill `folder` with photos photo_00.png, ... from these poses, or from so many on an arc; returns the poses."""
    folder.mkdir(parents=True)
    known = poses(known) if isinstance(known, int) else known
    for i, pose in enumerate(known):
        Image.fromarray(render(pose, lens=lens)).save(folder / f"photo_{i:02d}.png")
    return known


def make_posed(folder: Path, count: int = 10) -> Path:
    """The same photos in `folder`/images, with their poses in transforms.json."""
    known = make_photos(folder / "images", count)
    frames = [
        {"file_path": f"images/photo_{i:02d}.png", "transform_matrix": np.vstack([pose, [0, 0, 0, 1]]).tolist()}
        for i, pose in enumerate(known)
    ]
    write_json(folder / "transforms.json", {"fl_x": FOCAL, "fl_y": FOCAL, "w": WIDTH, "h": HEIGHT, "frames": frames})
    return folder
