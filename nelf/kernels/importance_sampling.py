"""Where along each ray the field is asked when nothing can be left out: most often where the ray most likely ends.

In a scene that fills its space no cell is surely empty, so `march` would keep nearly every interval. Here the density
grid serves as the proposal of mip-NeRF 360 (Barron et al. 2022, sec. 3): its cached densities give weights along the
ray, and a fixed number of intervals is drawn from them. The intervals tile the ray, so compositing is unchanged.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.core.cameras import Rays
from nelf.kernels.compile import constants, launch
from nelf.kernels.dispatch import GPU, array, compiled, find, kernel, split_range, vectorised
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
from nelf.kernels.unit_cube import UnitCubeMapping, UnitCubeParams

MOST_STEPS = 1024  # for which a thread of an accelerator has room
UNIFORM = 0.1  # share of the samples that goes to every depth alike: what the grid has not noticed yet is found so


def resample(
    rays: Rays,
    space: UnitCubeMapping,
    density: Float[Tensor, "r r r"],
    steps: int,
    count: int,
    jitter: Float[Tensor, "rays"],
) -> Samples:
    """`count` samples of each of rays [n, 3] that meets the unit cube.

    density: cached, per cube unit, of the cells. steps: even intervals over the depth range that the cells are looked
    up at. jitter: in [0, 1), shifts a ray's samples within their strata.
    """
    return find("resample", rays.origins.device, resample_reference)(rays, space, density, steps, count, jitter)


def resample_reference(
    rays: Rays,
    space: UnitCubeMapping,
    density: Float[Tensor, "r r r"],
    steps: int,
    count: int,
    jitter: Float[Tensor, "rays"],
) -> Samples:
    """The readable form of `resample`."""
    device = jitter.device
    s = torch.linspace(0, 1, steps + 1, device=device).expand(len(rays), -1)
    ends = space.to_cube(rays.origins[:, None] + space.depth(s)[..., None] * rays.directions[:, None])
    middle = (ends[:, 1:] + ends[:, :-1]) / 2
    inside = ((middle >= 0) & (middle < 1)).all(dim=-1)
    cell = (middle * density.shape[0]).long().clamp(0, density.shape[0] - 1)
    optical = density[cell[..., 0], cell[..., 1], cell[..., 2]] * 2 * (ends[:, 1:] - ends[:, :-1]).norm(dim=-1)
    optical = torch.where(inside, optical, 0.0)
    weights = torch.exp(optical - optical.cumsum(dim=1)) * -torch.expm1(-optical)
    # An interval next to a likely one is as likely: a surface may lie on either side of a cell's wall.
    weights = torch.nn.functional.max_pool1d(weights[:, None], 3, stride=1, padding=1)[:, 0] * inside
    total = weights.sum(dim=1, keepdim=True)
    share = torch.where(total > 0, weights / total.clamp_min(1e-12), 0.0)
    mass = UNIFORM * inside / inside.sum(dim=1, keepdim=True).clamp_min(1) + (1 - UNIFORM) * share
    kept = inside.any(dim=1)
    cumulative = torch.nn.functional.pad((mass / mass.sum(dim=1, keepdim=True)).cumsum(dim=1), (1, 0))[kept]
    wanted = _strata(count, jitter[kept])
    last = steps - 1 - inside[kept].flip(1).int().argmax(dim=1, keepdim=True)
    above = torch.minimum(torch.searchsorted(cumulative[:, 1:].contiguous(), wanted, right=True), last)
    low, high = cumulative.gather(1, above), cumulative.gather(1, above + 1)
    edges = (above + ((wanted - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)) / steps
    depth = space.depth(edges)
    ends = space.to_cube(rays.origins[kept][:, None] + depth[..., None] * rays.directions[kept][:, None])
    offsets = torch.zeros(len(rays) + 1, dtype=torch.int64, device=device)
    offsets[1:] = (kept * count).cumsum(dim=0)
    return Samples(
        ((ends[:, 1:] + ends[:, :-1]) / 2).reshape(-1, 3),
        2 * (ends[:, 1:] - ends[:, :-1]).norm(dim=-1).reshape(-1),
        depth.unfold(1, 2, 1).reshape(-1, 2),
        kept.nonzero()[:, 0].repeat_interleave(count),
        offsets,
    )


def _strata(count: int, jitter: Float[Tensor, "n"]) -> Float[Tensor, "n edges"]:
    """Quantiles of the edges: the first and last stay at the ends, so that the intervals tile the ray."""
    inner = (torch.arange(count - 1, device=jitter.device) + 0.5 + jitter[:, None]) / count
    ends = torch.zeros_like(jitter)[:, None]
    return torch.cat([ends, inner, ends + 1], dim=1)


@kernel("resample", GPU)
def _resample_on_gpu(
    rays: Rays, space: UnitCubeMapping, density: Tensor, steps: int, count: int, jitter: Tensor
) -> Samples:
    if steps > MOST_STEPS:
        return resample_reference(rays, space, density, steps, count, jitter)
    sizes, given = march_arguments(rays, space, density, steps, jitter)
    sizes["SAMPLES"] = count
    number = constants((len(rays),), jitter.device)
    edges = jitter.new_empty(len(rays), count + 1)
    kept = torch.empty(len(rays), dtype=torch.int32, device=jitter.device)
    launch("importance_edges", len(rays), sizes, *given, number, kept, edges)
    offsets = torch.nn.functional.pad((kept * count).cumsum(0, dtype=torch.int32), (1, 0))
    made = packed_rows(len(rays) * count, jitter)  # as if all rays met the cube: the host need not know how many do
    origins, directions, _, packed, _ = given
    launch("importance_emit", len(rays), sizes, origins, directions, packed, edges, number, offsets, *made)
    return Samples(*made, offsets, offsets[-1])


@kernel("resample", "cpu")
def _resample_compiled(
    rays: Rays, space: UnitCubeMapping, density: Tensor, steps: int, count: int, jitter: Tensor
) -> Samples:
    batch, cube = ray_batch(rays, jitter), space.for_loops
    edges = np.empty((len(rays), count + 1), np.float32)
    kept = torch.zeros(len(rays), dtype=torch.int64)
    split_range(_draw, len(rays), batch, cube, steps, count, array(density), edges, array(kept))
    offsets = torch.zeros(len(rays) + 1, dtype=torch.int64)
    torch.cumsum(kept * count, 0, out=offsets[1:])
    samples, buffers = empty_samples(offsets)
    split_range(_emit, len(rays), batch, cube, edges, array(offsets), buffers)
    return samples


@vectorised
def _draw(
    start: int,
    stop: int,
    rays: RayBatch,
    cube: UnitCubeParams,
    steps: int,
    count: int,
    density: np.ndarray,
    edges: np.ndarray,
    kept: np.ndarray,
) -> None:
    """Ray parameters of the edges of each ray's intervals; `kept` is 1 for rays that meet the cube."""
    resolution, densities = density.shape[0], density.reshape(-1)
    x, y, z = np.empty(steps + 1, np.float32), np.empty(steps + 1, np.float32), np.empty(steps + 1, np.float32)
    length, cell = np.empty(steps, np.float32), np.empty(steps, np.int64)  # -1: outside
    weights, mass = np.empty(steps, np.float32), np.empty(steps, np.float32)
    for i in range(start, stop):
        o, d = rays.origins[i], rays.directions[i]
        for step in range(steps + 1):
            _, x[step], y[step], z[step] = point_at(step / steps, o, d, cube)
        for step in range(steps):
            x0, y0, z0, x1, y1, z1 = x[step], y[step], z[step], x[step + 1], y[step + 1], z[step + 1]
            length[step] = np.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2 + (z1 - z0) ** 2)
            mx, my, mz = (x0 + x1) * np.float32(0.5), (y0 + y1) * np.float32(0.5), (z0 + z1) * np.float32(0.5)
            inside = mx >= 0 and my >= 0 and mz >= 0 and mx < 1 and my < 1 and mz < 1
            index = (int(mx * resolution) * resolution + int(my * resolution)) * resolution + int(mz * resolution)
            cell[step] = index if inside else -1
        through = np.float32(1)
        found, last = 0, 0
        for step in range(steps):
            weights[step] = 0
            if cell[step] < 0:
                continue
            found, last = found + 1, step
            if through < np.float32(1e-6):
                continue
            passed = np.exp(-densities[cell[step]] * 2 * length[step])
            weights[step] = through * (1 - passed)
            through *= passed
        kept[i] = 1 if found > 0 else 0
        if found == 0:
            continue
        total = np.float32(0)
        for step in range(steps):
            mass[step] = 0
            if cell[step] >= 0:
                mass[step] = max(weights[max(step - 1, 0)], max(weights[step], weights[min(step + 1, steps - 1)]))
            total += mass[step]
        likely = (1 - UNIFORM) / total if total > 0 else 0.0
        whole = np.float32(0)
        for step in range(steps):
            if cell[step] >= 0:
                mass[step] = mass[step] * likely + UNIFORM / found
            whole += mass[step]
        # Walk the strata and the cumulative mass side by side.
        step, below = 0, np.float32(0)
        for edge in range(count + 1):
            wanted = np.float32(0)
            if edge == count:
                wanted = whole
            elif edge > 0:
                wanted = (edge - np.float32(0.5) + rays.jitter[i]) / count * whole
            while step < last and below + mass[step] <= wanted:
                below += mass[step]
                step += 1
            part = (wanted - below) / mass[step] if mass[step] > 0 else np.float32(0)
            edges[i, edge] = (step + min(max(part, np.float32(0)), np.float32(1))) / steps


@compiled
def _emit(
    start: int,
    stop: int,
    rays: RayBatch,
    cube: UnitCubeParams,
    edges: np.ndarray,
    offsets: np.ndarray,
    samples: SampleBuffers,
) -> None:
    """Write out the intervals between the edges, packed."""
    for i in range(start, stop):
        if offsets[i + 1] == offsets[i]:
            continue
        o, d = rays.origins[i], rays.directions[i]
        last = point_at(edges[i, 0], o, d, cube)
        for k in range(edges.shape[1] - 1):
            first, last = last, point_at(edges[i, k + 1], o, d, cube)
            write_interval(offsets[i] + k, i, first, last, samples)
