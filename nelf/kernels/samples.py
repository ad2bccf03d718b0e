"""Samples along rays: what marching and importance sampling give, and how both write them.

Samples are packed: one row a sample, in ray order; `offsets` tells where each ray's samples begin.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nelf.core.cameras import Rays
from nelf.kernels.dispatch import array, inlined
from nelf.kernels.unit_cube import UnitCubeMapping, UnitCubeParams, cube_at, depth_at


@dataclass(frozen=True)
class Samples:
    """points: in the unit cube. lengths: of the samples' intervals, in cube units times 2 (1 = half the cube's side).

    depths: of both ends of the intervals, along the view axis. ray: index of each sample's ray. offsets: [rays + 1].
    found: how many samples there are, whether there was room for them or not, where the device alone knows that; rows
    beyond the last offset mean nothing then. None where each row is a sample.
    """

    points: Float[Tensor, "m 3"]
    lengths: Float[Tensor, "m"]
    depths: Float[Tensor, "m 2"]
    ray: Int[Tensor, "m"]
    offsets: Int[Tensor, "rays_plus_1"]
    found: Int[Tensor, ""] | None = None


class RayBatch(NamedTuple):
    """Rays as compiled loops take them: origins and directions [n, 3] in world space, jitter [n]."""

    origins: np.ndarray
    directions: np.ndarray
    jitter: np.ndarray


class SampleBuffers(NamedTuple):
    """What compiled loops write `Samples` into."""

    points: np.ndarray
    lengths: np.ndarray
    depths: np.ndarray
    ray: np.ndarray


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
    return like.new_zeros(count, 3), like.new_zeros(count), like.new_zeros(count, 2), ray


def ray_batch(rays: Rays, jitter: Tensor) -> RayBatch:
    """The memory of the rays, for compiled loops."""
    return RayBatch(array(rays.origins), array(rays.directions), array(jitter))


def empty_samples(offsets: Tensor) -> tuple[Samples, SampleBuffers]:
    """Room for as many samples as `offsets` [rays + 1] say, and the same memory for compiled loops."""
    total = int(offsets[-1])
    points, lengths, depths = torch.empty(total, 3), torch.empty(total), torch.empty(total, 2)
    ray = torch.empty(total, dtype=torch.int64)
    buffers = SampleBuffers(array(points), array(lengths), array(depths), array(ray))
    return Samples(points, lengths, depths, ray, offsets), buffers


@inlined
def point_at(s: float, o: np.ndarray, d: np.ndarray, cube: UnitCubeParams) -> tuple[float, float, float, float]:
    """Depth and cube point at the ray parameter s, which is held within [0, 1]."""
    t = depth_at(min(max(s, 0.0), 1.0), cube)
    x, y, z = cube_at(o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2], cube)
    return t, x, y, z


@inlined
def write_interval(
    at: int,
    i: int,
    first: tuple[float, float, float, float],
    last: tuple[float, float, float, float],
    samples: SampleBuffers,
) -> None:
    """Write row `at`: the sample of ray i in the interval between two ends, each as `point_at` gives it."""
    t0, x0, y0, z0 = first
    t1, x1, y1, z1 = last
    samples.points[at, 0] = (x0 + x1) * 0.5
    samples.points[at, 1] = (y0 + y1) * 0.5
    samples.points[at, 2] = (z0 + z1) * 0.5
    samples.lengths[at] = 2 * np.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2 + (z1 - z0) ** 2)
    samples.depths[at, 0] = t0
    samples.depths[at, 1] = t1
    samples.ray[at] = i
