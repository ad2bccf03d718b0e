"""Training cameras for the pose samplers, and rotations between them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation
from torch import Tensor

from nelf.distill.config import DistillConfig

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
        """Positions of the cameras, world space."""
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
    start = Rotation.from_matrix(a.numpy())
    way = (start.inv() * Rotation.from_matrix(b.numpy())).as_rotvec()
    off = random.normal(size=3) * (jitter * np.linalg.norm(way))
    return torch.from_numpy((start * Rotation.from_rotvec(t * way) * Rotation.from_rotvec(off)).as_matrix())


def nearest_others(distances: Float[Tensor, "n n"], count: int) -> Int[Tensor, "n k"]:
    """For each camera the `count` nearest other ones."""
    count = min(count, len(distances) - 1)
    others = distances + torch.diag(torch.full((len(distances),), torch.inf, dtype=distances.dtype))
    return torch.argsort(others, dim=1, stable=True)[:, :count]
