"""Unbounded scenes: cameras on the way between neighbouring training cameras."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.distill.config import DistillConfig
from nelf.distill.region import Region, Sampler, nearest_others, share_of_way, turn_between
from nelf.distill.rotations import angle_of_difference

NEIGHBOURS = 6


def between_sampler(region: Region, config: DistillConfig) -> Sampler:
    """Any training camera, any of its nearest ones, any place on the way between the two, moved and turned a little."""
    neighbours = nearest_others(camera_distances(region), NEIGHBOURS)

    def sample(random: np.random.Generator) -> Tensor:
        a = int(random.integers(len(region.c2w)))
        b = int(neighbours[a, int(random.integers(neighbours.shape[1]))])
        t = share_of_way(random, config)
        way = region.eyes[b] - region.eyes[a]
        off = torch.from_numpy(random.normal(size=3)) * (config.jitter * way.norm())
        rotation = turn_between(region.c2w[a, :, :3], region.c2w[b, :, :3], t, config.jitter, random)
        return torch.cat([rotation, (region.eyes[a] + t * way + off)[:, None]], dim=1)

    return sample


def camera_distances(region: Region) -> Float[Tensor, "n n"]:
    """How different the cameras are, world units.

    The way between the positions, plus the way that what they look at moves in the picture: the angle between them
    times the distance of the point of interest.
    """
    rotations = region.c2w[:, :, :3].flatten(1)
    distance = (region.eyes - region.center).norm(dim=1).median()
    return torch.cdist(region.eyes, region.eyes) + distance * angle_of_difference(torch.cdist(rotations, rotations))
