"""Forward-facing scenes: cameras inside the hull of the training cameras, looking the way their neighbours look."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.cameras import orthonormalize
from nelf.distill.config import DistillConfig
from nelf.distill.region import Region, Sampler, share_of_way, turn_between, two_of_nearest


def facing_sampler(region: Region, config: DistillConfig) -> Sampler:
    """Uniform over the convex hull of the positions, as the mean camera sees them (x, y in its image plane).

    The place along the view axis and the orientation come from two of the nearest training cameras.
    """
    origin = region.eyes.mean(dim=0)
    mean = torch.cat([region.c2w[:, :, :3].mean(dim=0), origin[:, None]], dim=1)
    axes = orthonormalize(mean)[:, :3]
    local = (region.eyes - origin) @ axes
    corners = local[hull(local[:, :2]), :2]
    middle = corners.mean(dim=0)
    corners = middle + (corners - middle) * (1 + config.hull_margin)
    lowest, highest = local[:, 2].aminmax()

    def sample(random: np.random.Generator) -> Tensor:
        place = point_in_polygon(corners, random)
        a, b = two_of_nearest((local[:, :2] - place).norm(dim=1), random)
        t = share_of_way(random, config)
        depth = (local[a, 2] + t * (local[b, 2] - local[a, 2])).clamp(lowest, highest)
        rotation = turn_between(region.c2w[a, :, :3], region.c2w[b, :, :3], t, config.jitter, random)
        eye = origin + axes @ torch.cat([place, depth[None]])
        return torch.cat([rotation, eye[:, None]], dim=1)

    return sample


def hull(points: Float[Tensor, "n 2"]) -> list[int]:
    """Corners of the convex hull, counter-clockwise, as indices (Andrew's monotone chain, 1979).

    Points on one line give its two ends.
    """
    places = points.tolist()
    order = sorted(range(len(places)), key=lambda i: places[i])

    def chain(sequence: list[int]) -> list[int]:
        corners: list[int] = []
        for i in sequence:
            while len(corners) >= 2 and _turn(places[corners[-2]], places[corners[-1]], places[i]) <= 0:
                corners.pop()
            corners.append(i)
        return corners[:-1]

    return chain(order) + chain(order[::-1]) or order[:1]


def point_in_polygon(corners: Float[Tensor, "n 2"], random: np.random.Generator) -> Float[Tensor, "2"]:
    """A point uniform over a convex polygon; over the segment or the point where there are fewer than 3 corners."""
    u, v, w = random.uniform(size=3)
    first = corners[0]
    if len(corners) < 3:
        return first + u * (corners[-1] - first)
    left, right = corners[1:-1] - first, corners[2:] - first
    areas = (left[:, 0] * right[:, 1] - left[:, 1] * right[:, 0]).cumsum(dim=0)
    chosen = min(int(torch.searchsorted(areas, w * areas[-1])), len(areas) - 1)
    if u + v > 1:
        u, v = 1 - u, 1 - v
    return first + u * left[chosen] + v * right[chosen]


def _turn(a: list[float], b: list[float], c: list[float]) -> float:
    """Twice the signed area of the triangle; positive when a, b, c turn to the left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
