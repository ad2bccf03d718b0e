"""Pseudo poses: new cameras in the region that the training cameras cover."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.cameras import orthonormalize
from nelf.data import Kind
from nelf.distill.between import between_sampler
from nelf.distill.config import DistillConfig
from nelf.distill.facing import facing_sampler
from nelf.distill.region import Region, Sampler
from nelf.distill.shell import shell_sampler
from nelf.errors import SceneError

SAMPLERS: dict[Kind, Callable[[Region, DistillConfig], Sampler]] = {
    Kind.OBJECT: shell_sampler,
    Kind.FORWARD_FACING: facing_sampler,
    Kind.UNBOUNDED: between_sampler,
}


def pseudo_poses(
    kind: Kind,
    train: Float[Tensor, "n 3 4"],
    center: Float[Tensor, "3"],
    radius: float,
    up: Float[Tensor, "3"],
    config: DistillConfig,
    indices: Iterable[int],
) -> Float[Tensor, "m 3 4"]:
    """The pseudo poses of the given indices (c2w), see `pose_sampler`."""
    sample = pose_sampler(kind, train, center, radius, up, config)
    poses = [sample(index) for index in indices]
    return torch.stack(poses) if poses else torch.zeros(0, 3, 4)


def pose_sampler(
    kind: Kind,
    train: Float[Tensor, "n 3 4"],
    center: Float[Tensor, "3"],
    radius: float,
    up: Float[Tensor, "3"],
    config: DistillConfig,
) -> Callable[[int], Tensor]:
    """Gives pseudo pose i, c2w [3, 4].

    It depends on the seed, i and the training cameras only, so that any number of processes may share the work and a
    longer run begins with the same views.

    center, radius: a ball (world space) around what is of interest. up: world direction, unit length.
    """
    if len(train) < 2:
        raise SceneError(f"distill: {len(train)} training view; at least 2 are needed to place cameras between them")
    region = Region(orthonormalize(train.double().cpu()), center.double().cpu(), radius, up.double().cpu())
    sample = SAMPLERS[kind](region, config)
    return lambda index: sample(generator(config.seed, index)).float()


def generator(seed: int, index: int) -> np.random.Generator:
    """The random numbers of one pseudo view."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index])))
