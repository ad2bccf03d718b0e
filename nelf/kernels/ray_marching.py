"""Where along each ray the field is asked: occupied cells only, front to back, until nothing more can be seen."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nelf.core.cameras import Rays
from nelf.kernels.compile import constants, launch
from nelf.kernels.dispatch import GPU, array, compiled, find, inlined, kernel, split_range
from nelf.kernels.samples import (
    RayBatch,
    SampleBuffers,
    Samples,
    empty_samples,
    march_arguments,
    packed_rows,
    point_at,
    ray_batch,
    write_interval,
)
from nelf.kernels.unit_cube import BOX, UnitCubeMapping, UnitCubeParams

COARSER = 4  # cells of the density grid to one of the grid that is looked at first, along each axis
OPAQUE = 1e-4  # transmittance below which the rest of a ray is not asked
# A cell's cached density is its highest; a ray may pass through a thinner part of it. So one step counts for no more
# than this optical depth, and several dense cells in a row are needed to end a ray.
STEP_LIMIT = 1.0


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
    return Samples(middle[ray, step], length[ray, step], depth.unfold(1, 2, 1)[ray, step], ray, offsets)


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
    batch, cube = ray_batch(rays, jitter), space.for_loops
    coarse = array(torch.nn.functional.max_pool3d(density[None], COARSER, ceil_mode=True)[0])
    offsets = torch.zeros(len(rays) + 1, dtype=torch.int64)
    kept = np.empty((len(rays), steps), np.int16)
    seen = array(density), coarse, np.float32(float(threshold))
    split_range(_walk, len(rays), batch, cube, steps, *seen, array(offsets), kept)
    torch.cumsum(offsets, 0, out=offsets)
    samples, buffers = empty_samples(offsets)
    split_range(_emit, len(rays), batch, cube, steps, array(offsets), kept, buffers)
    return samples


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


@inlined
def _slab(o: np.ndarray, d: np.ndarray, cube: UnitCubeParams) -> tuple[float, float]:
    """Depths at which a ray enters and leaves the box; enter > leave when it misses."""
    p = cube.values
    enter, leave = cube.near, cube.far
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
    rays: RayBatch,
    cube: UnitCubeParams,
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
        o, d = rays.origins[i], rays.directions[i]
        shift = rays.jitter[i] - np.float32(0.5)
        first, last = 0, steps
        if cube.shape == BOX:
            enter, leave = _slab(o, d, cube)
            if leave < enter:
                continue
            first = max(int((enter - cube.near) / (cube.far - cube.near) * steps - shift) - 1, 0)
            last = min(int((leave - cube.near) / (cube.far - cube.near) * steps - shift) + 2, steps)
        _, x, y, z = point_at((first + shift) / steps, o, d, cube)
        optical = np.float32(0)
        found = 0
        for step in range(first, last):
            x0, y0, z0 = x, y, z
            _, x, y, z = point_at((step + 1 + shift) / steps, o, d, cube)
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
    rays: RayBatch,
    cube: UnitCubeParams,
    steps: int,
    offsets: np.ndarray,
    kept: np.ndarray,
    samples: SampleBuffers,
) -> None:
    """Write out the kept intervals, packed."""
    for i in range(start, stop):
        o, d = rays.origins[i], rays.directions[i]
        shift = rays.jitter[i] - np.float32(0.5)
        for at in range(offsets[i], offsets[i + 1]):
            step = kept[i, at - offsets[i]]
            first = point_at((step + shift) / steps, o, d, cube)
            last = point_at((step + 1 + shift) / steps, o, d, cube)
            write_interval(at, i, first, last, samples)
