"""Object scenes: cameras on a shell around the object, on the side from which training cameras look at it."""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nelf.cameras import focus_point, look_at, orthonormalize
from nelf.distill.config import DistillConfig
from nelf.distill.region import Region, Sampler, share_of_way, turn_between, two_of_nearest
from nelf.distill.rotations import from_vector

CANDIDATES = 64  # directions tried at once
ATTEMPTS = 64
SLACK_DEGREES = 30.0  # cameras surround a direction when no gap between them, seen from it, is wider than 180 + this


def shell_sampler(region: Region, config: DistillConfig) -> Sampler:
    """Uniform in solid angle over the covered directions, seen from the point that the training cameras look at.

    Distance, aim and roll come from two of the training cameras nearest in direction, and vary a little more, or else a
    student of cameras that all look at one point, upright, would know no other. Aim and roll of a training camera are
    the rotation from an upright camera that looks straight at that point to the real one.
    """
    center = looked_at(region)
    offsets = region.eyes - center
    distances = offsets.norm(dim=1)
    directions = offsets / distances[:, None]
    straight = upright(region.eyes, center, region.up)
    turns = straight.mT @ region.c2w[:, :, :3]
    nearest, farthest = float(distances.min()), float(distances.max())
    cover = Cover(directions, region.up, math.radians(config.reach_degrees), math.radians(config.margin_degrees))

    def sample(random: np.random.Generator) -> Tensor:
        direction = cover.sample(random)
        a, b = two_of_nearest(-(directions @ direction), random)
        t = share_of_way(random, config)
        distance = float(distances[a]) ** (1 - t) * float(distances[b]) ** t
        distance = min(max(distance, nearest), farthest)
        distance *= 1 + config.radius_jitter * random.uniform(-1, 1)
        eye = center + distance * direction
        turn = turn_between(turns[a], turns[b], t, config.jitter, random)
        aim = center + torch.from_numpy(random.normal(size=3)) * (config.aim_jitter * region.radius)
        roll = math.radians(config.roll_degrees) * random.normal()
        rotation = upright(eye, aim, region.up) @ turn @ from_vector(torch.tensor([0.0, 0.0, roll], dtype=eye.dtype))
        return torch.cat([rotation, eye[:, None]], dim=1)

    return sample


def looked_at(region: Region) -> Float[Tensor, "3"]:
    """The point nearest to all optical axes; the scene's center where that is not before every camera."""
    point = focus_point(region.c2w).double()
    depths = ((region.eyes - point) * region.c2w[:, :, 2]).sum(dim=1)
    return point if bool((depths > 0).all()) else region.center


def upright(
    eyes: Float[Tensor, "*batch 3"], center: Float[Tensor, "3"], up: Float[Tensor, "3"]
) -> Float[Tensor, "*batch 3 3"]:
    """Rotations of upright cameras at `eyes` that look straight at `center`."""
    # `look_at` knows single precision only.
    single = look_at(eyes.float(), center.expand_as(eyes).float(), up.float())
    return orthonormalize(single.double())[..., :3]


class Cover:
    """The directions that training cameras cover, seen from what they look at.

    A direction is covered when a camera is within `margin`, or when cameras within `reach` surround it (radians), and
    when it is no higher and no lower than all cameras, give or take `margin`. A sparse capture, whose cameras are
    farther apart than that, gets a longer reach.
    """

    def __init__(self, directions: Float[Tensor, "n 3"], up: Float[Tensor, "3"], reach: float, margin: float) -> None:
        self.directions = directions
        self.up = up
        elevations = torch.arcsin((directions @ up).clamp(-1, 1))
        self.lowest = math.sin(max(float(elevations.min()) - margin, -math.pi / 2))
        self.highest = math.sin(min(float(elevations.max()) + margin, math.pi / 2))
        cosines = directions @ directions.T
        cosines.fill_diagonal_(-1)
        spacing = float(torch.arccos(cosines.max(dim=1).values.clamp(-1, 1)).median())
        self.reach = min(max(reach, 3 * spacing), math.pi / 2)
        self.margin = margin
        self.axis, self.cap = self._cap()

    def _cap(self) -> tuple[Float[Tensor, "3"], float]:
        """A cap that holds the region: its axis, and the cosine of its half-angle."""
        mean = self.directions.mean(dim=0)
        if float(mean.norm()) < 1e-3:
            return torch.tensor([0.0, 0.0, 1.0], dtype=mean.dtype), -1.0
        axis = mean / mean.norm()
        widest = math.acos(min(max(float((self.directions @ axis).min()), -1.0), 1.0))
        slack = self.margin + math.radians(SLACK_DEGREES)
        return axis, math.cos(min(widest + slack, math.pi))

    def contains(self, candidates: Float[Tensor, "m 3"]) -> Bool[Tensor, "m"]:
        """Which unit directions are covered."""
        cosines = candidates @ self.directions.T
        close = cosines.max(dim=1).values > math.cos(self.margin)
        # Bearings of the cameras as seen from the candidate, in its tangent plane.
        first, second = _tangents(candidates)
        bearings = torch.atan2(second @ self.directions.T, first @ self.directions.T)
        bearings = torch.where(cosines > math.cos(self.reach), bearings, torch.inf).sort(dim=1).values
        steps = torch.where(bearings[:, 1:].isinf(), 0.0, bearings[:, 1:] - bearings[:, :-1])
        last = torch.where(bearings.isinf(), -torch.inf, bearings).max(dim=1).values
        around = bearings[:, 0] + 2 * math.pi - last
        widest = torch.maximum(steps.max(dim=1).values, around)
        surrounded = widest < math.radians(180 + SLACK_DEGREES)
        height = candidates @ self.up
        return (close | surrounded) & (height >= self.lowest) & (height <= self.highest)

    def sample(self, random: np.random.Generator) -> Float[Tensor, "3"]:
        """A covered direction, uniform in solid angle."""
        for _ in range(ATTEMPTS):
            heights = random.uniform(self.cap, 1.0, size=CANDIDATES)
            angles = random.uniform(0, 2 * math.pi, size=CANDIDATES)
            sides = np.sqrt(1 - heights**2)
            local = torch.from_numpy(np.stack([sides * np.cos(angles), sides * np.sin(angles), heights], axis=1))
            first, second = _tangents(self.axis[None])
            candidates = local @ torch.cat([first, second, self.axis[None]])
            covered = self.contains(candidates).nonzero()
            if len(covered):
                return candidates[int(covered[0, 0])]
        # A region too thin to hit by chance: stay near one of the cameras.
        direction = self.directions[int(random.integers(len(self.directions)))]
        nearby = direction + math.tan(self.margin / 2) * torch.from_numpy(random.uniform(-0.5, 0.5, size=3))
        return nearby / nearby.norm()


def _tangents(directions: Float[Tensor, "m 3"]) -> tuple[Float[Tensor, "m 3"], Float[Tensor, "m 3"]]:
    """Two unit vectors at right angles to each direction and to each other."""
    smallest = torch.nn.functional.one_hot(directions.abs().argmin(dim=1), 3).to(directions.dtype)
    first = torch.nn.functional.normalize(torch.linalg.cross(smallest, directions), dim=1)
    return first, torch.linalg.cross(directions, first)
