"""Training cameras for the pose samplers, and rotations between them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nelf.distill.config import DistillConfig


def from_vector(vector: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """Rotation about `vector` by its length in radians."""
    x, y, z = vector.unbind()
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
    angle = float(vector.norm())
    if angle == 0:
        return torch.eye(3, dtype=vector.dtype)
    first, second = math.sin(angle) / angle, 2 * (math.sin(angle / 2) / angle) ** 2
    return torch.eye(3, dtype=vector.dtype) + first * cross + second * (cross @ cross)


def to_vector(rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "3"]:
    """Axis times angle, angle in [0, pi]. Goes by the quaternion, which is exact near pi too (Shepperd 1978)."""
    m = rotation
    trace = m[0, 0] + m[1, 1] + m[2, 2]
    squares = torch.stack([trace, m[0, 0], m[1, 1], m[2, 2]])
    largest = int(squares.argmax())
    if largest == 0:
        q = torch.stack([1 + trace, m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    else:
        i = largest - 1
        j, k = (i + 1) % 3, (i + 2) % 3
        q = torch.zeros(4, dtype=m.dtype)
        q[0] = m[k, j] - m[j, k]
        q[1 + i] = 1 + 2 * m[i, i] - trace
        q[1 + j] = m[i, j] + m[j, i]
        q[1 + k] = m[i, k] + m[k, i]
    q = q / q.norm()
    if q[0] < 0:
        q = -q
    sine = q[1:].norm()
    if float(sine) == 0:
        return torch.zeros(3, dtype=m.dtype)
    return q[1:] * (2 * torch.atan2(sine, q[0]) / sine)


def slerp(a: Float[Tensor, "3 3"], b: Float[Tensor, "3 3"], t: float) -> Float[Tensor, "3 3"]:
    """Rotation at share t of the shortest path from a to b; t may lie outside [0, 1]. Exactly a if a equals b."""
    return a if bool((a == b).all()) else a @ from_vector(t * to_vector(a.T @ b))


def angle_between(a: Float[Tensor, "3 3"], b: Float[Tensor, "3 3"]) -> float:
    """Angle of the rotation from a to b, in radians."""
    return float(angle_of_difference((a - b).norm()))


def angle_of_difference(difference: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Angle in radians between two rotations, from the Frobenius norm of their difference: 2 sqrt(2) sin(angle / 2)."""
    return 2 * torch.asin((difference / math.sqrt(8)).clamp(max=1.0))


Sampler = Callable[[np.random.Generator], Tensor]
"""Random numbers of one view -> its pose, c2w [3, 4], double precision."""

NEAREST = 4  # training cameras from which a pose takes its distance, aim and roll


@dataclass(frozen=True)
class TrainCameras:
    """Training cameras, double precision.

    c2w: world space, true rotations. center, radius: ball of interest (world space). up: world direction, unit length.
    """

    c2w: Float[Tensor, "n 3 4"]
    center: Float[Tensor, "3"]
    radius: float
    up: Float[Tensor, "3"]

    @property
    def eyes(self) -> Float[Tensor, "n 3"]:
        return self.c2w[:, :, 3]


def two_of_nearest(distances: Float[Tensor, "n"], random: np.random.Generator) -> tuple[int, int]:
    """Two different cameras among the `NEAREST` ones."""
    nearest = torch.argsort(distances, stable=True)[:NEAREST].tolist()
    first, second = random.permutation(len(nearest))[:2]
    return nearest[first], nearest[second]


def share_of_way(random: np.random.Generator, config: DistillConfig) -> float:
    """Position between two cameras: 0 is the first, 1 the second."""
    return float(random.uniform(-config.extrapolate, 1 + config.extrapolate))


def turn_between(
    a: Float[Tensor, "3 3"], b: Float[Tensor, "3 3"], t: float, jitter: float, random: np.random.Generator
) -> Float[Tensor, "3 3"]:
    """Rotation at share t between a and b, plus a random one of about `jitter` times the angle between them.

    Equal rotations return that rotation exactly.
    """
    off = torch.from_numpy(random.normal(size=3)) * (jitter * angle_between(a, b))
    return slerp(a, b, t) @ from_vector(off)


def nearest_others(distances: Float[Tensor, "n n"], count: int) -> Int[Tensor, "n k"]:
    """For each camera the `count` nearest other ones."""
    count = min(count, len(distances) - 1)
    others = distances + torch.diag(torch.full((len(distances),), torch.inf, dtype=distances.dtype))
    return torch.argsort(others, dim=1, stable=True)[:, :count]
