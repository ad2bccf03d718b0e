"""Where along each ray the field is asked: occupied cells only, front to back, until nothing more can be seen.

Samples are packed: one row a sample, in ray order; `offsets` tells where each ray's samples begin.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nelf.core.cameras import Rays
from nelf.kernels.compile import constants, launch
from nelf.kernels.dispatch import GPU, array, compiled, find, inlined, kernel, split_range
from nelf.kernels.unit_cube import BOX, UnitCubeMapping, cube_at, depth_at

COARSER = 4  # cells of the density grid to one of the grid that is looked at first, along each axis
OPAQUE = 1e-4  # transmittance below which the rest of a ray is not asked
# A cell's cached density is its highest; a ray may pass through a thinner part of it. So one step counts for no more
# than this optical depth, and several dense cells in a row are needed to end a ray.
STEP_LIMIT = 1.0


@dataclass(frozen=True)
class Samples:
    """points: in the unit cube. lengths: of the samples' intervals, in cube units times 2 (1 = half the cube's side).

    depths: along the view axis. ray: index of each sample's ray. offsets: [rays + 1].
    found: how many samples there are, whether there was room for them or not, where the device alone knows that; rows
    beyond the last offset mean nothing then. None where each row is a sample.
    """

    points: Float[Tensor, "m 3"]
    lengths: Float[Tensor, "m"]
    depths: Float[Tensor, "m"]
    ray: Int[Tensor, "m"]
    offsets: Int[Tensor, "rays_plus_1"]
    found: Int[Tensor, ""] | None = None


def march(
    rays: Rays,
    space: UnitCubeMapping,
    density: Float[Tensor, "r r r"],
    steps: int,
    jitter: Float[Tensor, "rays"],
    threshold: float | Float[Tensor, ""],
    capacity: int | None = None,
) -> Samples:
    """Samples of rays [n, 3] in cells whose cached `density` (per cube unit) exceeds `threshold`.

    `steps` intervals over the whole depth range, shifted by `jitter` in [0, 1) of one interval. A ray ends where the
    cached densities alone make it opaque.
    capacity: rows that an accelerator makes at most, so that the host need not wait for their number. The last rays
    lose what has no room, and rows may be left over. The CPU and the plain form make as many as there are.
    """
    return find("march", rays.origins.device, march_reference)(rays, space, density, steps, jitter, threshold, capacity)


def count_samples(
    rays: Rays,
    space: UnitCubeMapping,
    density: Float[Tensor, "r r r"],
    steps: int,
    jitter: Float[Tensor, "rays"],
    threshold: float | Float[Tensor, ""],
) -> Int[Tensor, "rays"]:
    """How many samples `march` gives each ray."""
    return find("count_samples", rays.origins.device, count_reference)(rays, space, density, steps, jitter, threshold)


def count_reference(
    rays: Rays, space: UnitCubeMapping, density: Tensor, steps: int, jitter: Tensor, threshold: float | Tensor
) -> Int[Tensor, "rays"]:
    """The readable form of `count_samples`."""
    return march_reference(rays, space, density, steps, jitter, threshold).offsets.diff()


def march_reference(
    rays: Rays,
    space: UnitCubeMapping,
    density: Float[Tensor, "r r r"],
    steps: int,
    jitter: Float[Tensor, "rays"],
    threshold: float | Float[Tensor, ""],
    capacity: int | None = None,
) -> Samples:
    """The readable form of `march`: every interval of every ray is looked at."""
    count = len(rays)
    edges = (torch.arange(steps + 1, device=jitter.device) + jitter[:, None] - 0.5) / steps
    depth = space.depth(edges.clamp(0, 1))
    ends = space.to_cube(rays.origins[:, None] + depth[..., None] * rays.directions[:, None])
    middle = (ends[:, 1:] + ends[:, :-1]) / 2
    length = 2 * (ends[:, 1:] - ends[:, :-1]).norm(dim=-1)
    inside = ((middle >= 0) & (middle < 1)).all(dim=-1) & (length > 0)
    resolution = density.shape[0]
    cell = (middle * resolution).long().clamp(0, resolution - 1)
    cached = density[cell[..., 0], cell[..., 1], cell[..., 2]]
    occupied = inside & (cached > threshold)
    optical = torch.where(occupied, (cached * length).clamp_max(STEP_LIMIT), 0.0)
    before = optical.cumsum(dim=1) - optical
    kept = occupied & (torch.exp(-before) > OPAQUE)
    ray, step = kept.nonzero(as_tuple=True)
    offsets = torch.zeros(count + 1, dtype=torch.int64, device=jitter.device)
    offsets[1:] = kept.sum(dim=1).cumsum(dim=0)
    middle_depth = (depth[:, 1:] + depth[:, :-1]) / 2
    return Samples(middle[ray, step], length[ray, step], middle_depth[ray, step], ray, offsets)


@kernel("march", "cpu")
def _march_compiled(
    rays: Rays,
    space: UnitCubeMapping,
    density: Tensor,
    steps: int,
    jitter: Tensor,
    threshold: float | Tensor,
    capacity: int | None = None,
) -> Samples:
    count = len(rays)
    lines = array(rays.origins), array(rays.directions), array(jitter), array(space.parameters)
    shape = space.shape, space.near, space.far, steps
    coarse = array(torch.nn.functional.max_pool3d(density[None], COARSER, ceil_mode=True)[0])
    offsets = torch.zeros(count + 1, dtype=torch.int64)
    kept = np.empty((count, steps), np.int16)
    split_range(
        _walk, count, *lines, *shape, array(density), coarse, np.float32(float(threshold)), array(offsets), kept
    )
    torch.cumsum(offsets, 0, out=offsets)
    total = int(offsets[-1])
    points, lengths, depths = torch.empty(total, 3), torch.empty(total), torch.empty(total)
    ray = torch.empty(total, dtype=torch.int64)
    emitted = array(points), array(lengths), array(depths), array(ray)
    split_range(_emit, count, *lines, *shape, array(offsets), kept, *emitted)
    return Samples(points, lengths, depths, ray, offsets)


@kernel("count_samples", "cpu")
def _count_on_cpu(
    rays: Rays, space: UnitCubeMapping, density: Tensor, steps: int, jitter: Tensor, threshold: float | Tensor
) -> Tensor:
    return _march_compiled(rays, space, density, steps, jitter, threshold).offsets.diff()


@kernel("count_samples", GPU)
def _count_on_gpu(
    rays: Rays, space: UnitCubeMapping, density: Tensor, steps: int, jitter: Tensor, threshold: float | Tensor
) -> Tensor:
    sizes, given = march_arguments(rays, space, density, steps, jitter)
    return _count(len(rays), sizes, given, _limits(density, threshold))


@kernel("march", GPU)
def _march_on_gpu(
    rays: Rays,
    space: UnitCubeMapping,
    density: Tensor,
    steps: int,
    jitter: Tensor,
    threshold: float | Tensor,
    capacity: int | None = None,
) -> Samples:
    sizes, given = march_arguments(rays, space, density, steps, jitter)
    limits = _limits(density, threshold)
    counts = _count(len(rays), sizes, given, limits)
    offsets = torch.nn.functional.pad(counts.cumsum(0, dtype=torch.int32), (1, 0))
    rows = int(offsets[-1]) if capacity is None else capacity
    found, offsets = offsets[-1], offsets.clamp_max(rows)
    made = packed_rows(rows, jitter)
    launch("march_emit", len(rays), sizes, *given, *limits, constants((len(rays),), jitter.device), offsets, *made)
    return Samples(*made, offsets, None if capacity is None else found)


def _count(count: int, sizes: dict[str, int], given: list[Tensor], limits: list[Tensor]) -> Tensor:
    found = torch.empty(count, dtype=torch.int32, device=given[0].device)
    launch("march_count", count, sizes, *given, *limits, constants((count,), found.device), found)
    return found


def _limits(density: Tensor, threshold: float | Tensor) -> list[Tensor]:
    """What is looked at first of the density grid, and the threshold."""
    coarse = max_pool(density, COARSER, COARSER, ceil_mode=True).contiguous()
    if not isinstance(threshold, Tensor):
        threshold = torch.full((), threshold, device=density.device)
    return [coarse, threshold.reshape(1)]


def max_pool(
    grid: Float[Tensor, "r r r"], size: int, stride: int, padding: int = 0, *, ceil_mode: bool = False
) -> Float[Tensor, "s s s"]:
    """torch's max_pool3d, two axes and then the third: MPS has no pool of three, and it is less work."""
    pool = torch.nn.functional.max_pool2d
    across = pool(grid[None], size, stride, padding, ceil_mode=ceil_mode)[0]
    along = pool(across.flatten(1)[None], (size, 1), (stride, 1), (padding, 0), ceil_mode=ceil_mode)[0]
    return along.reshape(-1, *across.shape[1:])


def march_arguments(
    rays: Rays, space: UnitCubeMapping, density: Tensor, steps: int, jitter: Tensor
) -> tuple[dict[str, int], list[Tensor]]:
    """Macros, and the first arguments, of the kernels that follow rays."""
    sizes = {"SHAPE": space.shape, "STEPS": steps, "CELLS": density.shape[0]}
    given = rays.origins, rays.directions, jitter, space.packed, density
    return sizes, [tensor.contiguous() for tensor in given]


def packed_rows(count: int, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Room for points, lengths, depths and rays of samples. What is not written is a harmless sample."""
    ray = torch.zeros(count, dtype=torch.int32, device=like.device)
    return like.new_zeros(count, 3), like.new_zeros(count), like.new_zeros(count), ray


@inlined
def interval_end(
    step: int,
    shift: float,
    o: np.ndarray,
    d: np.ndarray,
    p: np.ndarray,
    shape: int,
    near: float,
    far: float,
    steps: int,
) -> tuple[float, float, float, float]:
    """Depth and cube point at the beginning of an interval."""
    t = depth_at(shape, min(max((step + shift) / steps, 0.0), 1.0), near, far, p[4])
    x, y, z = cube_at(shape, o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2], p)
    return t, x, y, z


@inlined
def _slab(o: np.ndarray, d: np.ndarray, p: np.ndarray, near: float, far: float) -> tuple[float, float]:
    """Depths at which a ray enters and leaves the box; enter > leave when it misses."""
    enter, leave = near, far
    for axis in range(3):
        low, high = p[axis] - p[3], p[axis] + p[3]
        if abs(d[axis]) < 1e-9:
            if o[axis] < low or o[axis] > high:
                leave = enter - 1
            continue
        a, b = (low - o[axis]) / d[axis], (high - o[axis]) / d[axis]
        enter, leave = max(enter, min(a, b)), min(leave, max(a, b))
    return enter, leave


@compiled
def _walk(
    start: int,
    stop: int,
    origins: np.ndarray,
    directions: np.ndarray,
    jitter: np.ndarray,
    p: np.ndarray,
    shape: int,
    near: float,
    far: float,
    steps: int,
    density: np.ndarray,
    coarse: np.ndarray,
    threshold: float,
    offsets: np.ndarray,
    kept: np.ndarray,
) -> None:
    """Which intervals of each ray are kept, and how many. The small coarse grid saves most reads of the large one."""
    resolution = density.shape[0]
    limit = -np.log(OPAQUE)
    for i in range(start, stop):
        o, d = origins[i], directions[i]
        shift = jitter[i] - np.float32(0.5)
        first, last = 0, steps
        if shape == BOX:
            enter, leave = _slab(o, d, p, near, far)
            if leave < enter:
                continue
            first = max(int((enter - near) / (far - near) * steps - shift) - 1, 0)
            last = min(int((leave - near) / (far - near) * steps - shift) + 2, steps)
        _, x, y, z = interval_end(first, shift, o, d, p, shape, near, far, steps)
        optical = np.float32(0)
        found = 0
        for step in range(first, last):
            x0, y0, z0 = x, y, z
            _, x, y, z = interval_end(step + 1, shift, o, d, p, shape, near, far, steps)
            mx, my, mz = (x0 + x) * 0.5, (y0 + y) * 0.5, (z0 + z) * 0.5
            if mx < 0 or my < 0 or mz < 0 or mx >= 1 or my >= 1 or mz >= 1:
                continue
            cx, cy, cz = int(mx * resolution), int(my * resolution), int(mz * resolution)
            if coarse[cx // COARSER, cy // COARSER, cz // COARSER] <= threshold:
                continue
            cached = density[cx, cy, cz]
            length = 2 * np.sqrt((x - x0) ** 2 + (y - y0) ** 2 + (z - z0) ** 2)
            if cached <= threshold or length <= 0:
                continue
            kept[i, found] = step
            found += 1
            optical += min(cached * length, np.float32(STEP_LIMIT))
            if optical >= limit:
                break
        offsets[i + 1] = found


@compiled
def _emit(
    start: int,
    stop: int,
    origins: np.ndarray,
    directions: np.ndarray,
    jitter: np.ndarray,
    p: np.ndarray,
    shape: int,
    near: float,
    far: float,
    steps: int,
    offsets: np.ndarray,
    kept: np.ndarray,
    points: np.ndarray,
    lengths: np.ndarray,
    depths: np.ndarray,
    ray: np.ndarray,
) -> None:
    """Write out the kept intervals, packed."""
    for i in range(start, stop):
        o, d = origins[i], directions[i]
        shift = jitter[i] - np.float32(0.5)
        for at in range(offsets[i], offsets[i + 1]):
            step = kept[i, at - offsets[i]]
            t0, x0, y0, z0 = interval_end(step, shift, o, d, p, shape, near, far, steps)
            t1, x1, y1, z1 = interval_end(step + 1, shift, o, d, p, shape, near, far, steps)
            points[at, 0], points[at, 1], points[at, 2] = (x0 + x1) * 0.5, (y0 + y1) * 0.5, (z0 + z1) * 0.5
            lengths[at] = 2 * np.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2 + (z1 - z0) ** 2)
            depths[at] = (t0 + t1) * 0.5
            ray[at] = i
