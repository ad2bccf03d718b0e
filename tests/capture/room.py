"""A room with speckled walls, rendered in plain numpy: photos with known poses, for structure from motion.

The room is the box [-2, 2] x [-2, 2] x [0, 2.5] (z up) with a block in one corner; the cameras stand on an arc in it.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT, FOCAL = 320, 240, 260.0
LOW, HIGH = np.array([-2.0, -2.0, 0.0]), np.array([2.0, 2.0, 2.5])
BLOCK_LOW, BLOCK_HIGH = np.array([0.4, 0.2, 0.0]), np.array([1.2, 1.1, 0.9])


def poses(count: int) -> np.ndarray:
    """c2w [count, 3, 4], OpenGL axes: on an arc, each looking at the block."""
    found = []
    for i in range(count):
        angle = math.radians(-150 + 70 * i / max(count - 1, 1))
        eye = np.array([0.8 + 1.9 * math.cos(angle), 0.7 + 1.9 * math.sin(angle), 1.3 + 0.15 * math.sin(3 * angle)])
        back = eye - np.array([0.8, 0.7, 0.5])
        back /= np.linalg.norm(back)
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        found.append(np.stack([right, np.cross(back, right), back, eye], axis=1))
    return np.stack(found)


def render(c2w: np.ndarray) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH, 3]."""
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    local = np.stack([(x - WIDTH / 2) / FOCAL, -(y - HEIGHT / 2) / FOCAL, -np.ones_like(x)], axis=-1)
    directions = local @ c2w[:, :3].T
    origin = c2w[:, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        walls = np.stack([(LOW - origin) / directions, (HIGH - origin) / directions])
        leave, wall = walls.max(0).min(-1), walls.max(0).argmin(-1)
        block = np.sort(np.stack([(BLOCK_LOW - origin) / directions, (BLOCK_HIGH - origin) / directions]), axis=0)
        enter, face = block[0].max(-1), block[0].argmax(-1)
        hit = (enter < block[1].min(-1)) & (enter > 0)
    depth, axis = np.where(hit, enter, leave), np.where(hit, face, wall)
    points = origin + depth[..., None] * directions
    across = np.where(axis == 0, points[..., 1], points[..., 0])
    upwards = np.where(axis == 2, points[..., 1], points[..., 2])
    side = axis + 3 * hit + 6 * (np.take_along_axis(points, axis[..., None], -1)[..., 0] > 0)
    shade = sum(speckle(side, across * 2**octave, upwards * 2**octave) for octave in (2, 3, 4)) / 3
    tint = np.stack([0.6 + 0.05 * side, 0.9 - 0.03 * side, 0.5 + 0.04 * side], axis=-1)
    return (255 * np.clip(shade[..., None] * tint, 0, 1)).round().astype(np.uint8)


def speckle(side: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Random values at whole coordinates of each side, smooth in between."""
    table = np.random.default_rng(7).uniform(size=(12, 256, 256))
    i, j = np.floor(u).astype(int), np.floor(v).astype(int)
    a, b = u - i, v - j
    a, b = a * a * (3 - 2 * a), b * b * (3 - 2 * b)

    def at(di: int, dj: int) -> np.ndarray:
        return table[side % 12, (i + di) % 256, (j + dj) % 256]

    return (1 - a) * ((1 - b) * at(0, 0) + b * at(0, 1)) + a * ((1 - b) * at(1, 0) + b * at(1, 1))


def make_photos(folder: Path, count: int = 10) -> np.ndarray:
    """Fill `folder` with photos photo_00.png, ...; returns their poses."""
    folder.mkdir(parents=True)
    known = poses(count)
    for i, pose in enumerate(known):
        Image.fromarray(render(pose)).save(folder / f"photo_{i:02d}.png")
    return known
