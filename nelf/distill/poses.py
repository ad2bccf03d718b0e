"""Poses of pseudo views: one sampler for each scene type."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial.transform import Rotation
from torch import Tensor

from nelf.core.cameras import focus_point, look_at, orthonormalize
from nelf.core.errors import SceneError
from nelf.distill.config import DistillConfig
from nelf.scene import SceneBounds, SceneType

Sampler = Callable[[np.random.Generator], Tensor]
"""Random numbers of one view -> its pose, c2w [3, 4], double precision."""

NEAREST = 4  # training cameras from which a pose takes its distance, aim and roll
CANDIDATES = 64  # directions per attempt
ATTEMPTS = 64
SLACK_DEGREES = 30.0  # cameras surround a direction if no gap between their bearings exceeds 180 + this


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


def object_sampler(region: TrainCameras, config: DistillConfig) -> Sampler:
    """Uniform in solid angle over the covered directions around the point that the training cameras look at.

    Distance, aim and roll come from two of the nearest training cameras, and vary a little more. Otherwise a student of
    cameras that all look at one point, upright, would know no other view. Aim and roll are the rotation from an upright
    camera that looks straight at that point to the real camera.
    """
    center = looked_at(region)
    offsets = region.eyes - center
    distances = offsets.norm(dim=1)
    directions = offsets / distances[:, None]
    straight = upright(region.eyes, center, region.up)
    turns = straight.mT @ region.c2w[:, :, :3]
    nearest, farthest = float(distances.min()), float(distances.max())
    cover = CoveredDirections(
        directions, region.up, math.radians(config.coverage_degrees), math.radians(config.coverage_margin_degrees)
    )

    def sample(random: np.random.Generator) -> Tensor:
        direction = cover.sample(random)
        a, b = two_of_nearest(-(directions @ direction), random)
        t = share_of_way(random, config)
        distance = float(distances[a]) ** (1 - t) * float(distances[b]) ** t
        distance = min(max(distance, nearest), farthest)
        distance *= 1 + config.radius_jitter * random.uniform(-1, 1)
        eye = center + distance * direction
        turn = turn_between(turns[a], turns[b], t, config.pose_jitter, random)
        aim = center + torch.from_numpy(random.normal(size=3)) * (config.look_at_jitter * region.radius)
        roll = math.radians(config.roll_degrees) * random.normal()
        rolled = torch.from_numpy(Rotation.from_rotvec([0.0, 0.0, roll]).as_matrix())
        rotation = upright(eye, aim, region.up) @ turn @ rolled
        return torch.cat([rotation, eye[:, None]], dim=1)

    return sample


def looked_at(region: TrainCameras) -> Float[Tensor, "3"]:
    """The point nearest to all optical axes, or the scene's center if that point is not in front of every camera."""
    point = focus_point(region.c2w).double()
    depths = ((region.eyes - point) * region.c2w[:, :, 2]).sum(dim=1)
    return point if bool((depths > 0).all()) else region.center


def upright(
    eyes: Float[Tensor, "*batch 3"], center: Float[Tensor, "3"], up: Float[Tensor, "3"]
) -> Float[Tensor, "*batch 3 3"]:
    """Rotations of upright cameras at `eyes` that look straight at `center`."""
    # `look_at` computes in single precision.
    single = look_at(eyes.float(), center.expand_as(eyes).float(), up.float())
    return orthonormalize(single.double())[..., :3]


class CoveredDirections:
    """The directions that training cameras cover, seen from the point they look at.

    A direction is covered if a camera is within `margin`, or if cameras within `reach` surround it (radians). It must
    also lie between the lowest and the highest camera, plus `margin`. In a sparse capture, whose cameras are farther
    apart, `reach` grows.
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
        """A cap around the region: its axis, and the cosine of its half-angle."""
        mean = self.directions.mean(dim=0)
        if float(mean.norm()) < 1e-3:
            return torch.tensor([0.0, 0.0, 1.0], dtype=mean.dtype), -1.0
        axis = mean / mean.norm()
        widest = math.acos(min(max(float((self.directions @ axis).min()), -1.0), 1.0))
        slack = self.margin + math.radians(SLACK_DEGREES)
        return axis, math.cos(min(widest + slack, math.pi))

    def contains(self, candidates: Float[Tensor, "m 3"]) -> Bool[Tensor, "m"]:
        """Mask of the unit directions that are covered."""
        cosines = candidates @ self.directions.T
        close = cosines.max(dim=1).values > math.cos(self.margin)
        # Bearings of the cameras in the candidate's tangent plane.
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
        """A covered direction [3], uniform in solid angle."""
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
        # The region is too thin to hit by chance: stay near a camera.
        direction = self.directions[int(random.integers(len(self.directions)))]
        nearby = direction + math.tan(self.margin / 2) * torch.from_numpy(random.uniform(-0.5, 0.5, size=3))
        return nearby / nearby.norm()


def _tangents(directions: Float[Tensor, "m 3"]) -> tuple[Float[Tensor, "m 3"], Float[Tensor, "m 3"]]:
    """Two unit vectors at right angles to each direction and to each other."""
    smallest = torch.nn.functional.one_hot(directions.abs().argmin(dim=1), 3).to(directions.dtype)
    first = torch.nn.functional.normalize(torch.linalg.cross(smallest, directions), dim=1)
    return first, torch.linalg.cross(directions, first)


def forward_facing_sampler(region: TrainCameras, config: DistillConfig) -> Sampler:
    """Uniform over the box of the camera positions in the mean camera's image plane, in which viewers let people move.

    Depth along the view axis and orientation come from two of the nearest training cameras.
    """
    origin = region.eyes.mean(dim=0)
    mean = torch.cat([region.c2w[:, :, :3].mean(dim=0), origin[:, None]], dim=1)
    axes = orthonormalize(mean)[:, :3]
    local = (region.eyes - origin) @ axes
    low, high = local.amin(dim=0), local.amax(dim=0)
    middle, half = (low + high)[:2] / 2, (high - low)[:2] / 2 * (1 + config.box_margin)

    def sample(random: np.random.Generator) -> Tensor:
        place = middle + half * torch.from_numpy(random.uniform(-1, 1, size=2))
        a, b = two_of_nearest((local[:, :2] - place).norm(dim=1), random)
        t = share_of_way(random, config)
        depth = (local[a, 2] + t * (local[b, 2] - local[a, 2])).clamp(low[2], high[2])
        rotation = turn_between(region.c2w[a, :, :3], region.c2w[b, :, :3], t, config.pose_jitter, random)
        eye = origin + axes @ torch.cat([place, depth[None]])
        return torch.cat([rotation, eye[:, None]], dim=1)

    return sample


NEIGHBOURS = 6
LONGEST = 4.0  # of the median way, for its share of the views: one stray camera does not take most of them


def interpolation_sampler(region: TrainCameras, config: DistillConfig) -> Sampler:
    """Any position between a training camera and one of its nearest ones, slightly displaced and rotated.

    Longer ways get more views: people film quickly what they pass, and viewers let them stay there.
    """
    distances = camera_distances(region)
    neighbours = nearest_others(distances, NEIGHBOURS)
    ways = distances.gather(1, neighbours).flatten()
    ways = ways.clamp(min=1e-9, max=max(1e-9, LONGEST * float(ways.median())))
    upto = (ways.cumsum(0) / ways.sum()).numpy()

    def sample(random: np.random.Generator) -> Tensor:
        way = min(int(np.searchsorted(upto, random.uniform())), len(upto) - 1)
        a, b = way // neighbours.shape[1], int(neighbours.flatten()[way])
        t = share_of_way(random, config)
        there = region.eyes[b] - region.eyes[a]
        off = torch.from_numpy(random.normal(size=3)) * (config.pose_jitter * there.norm())
        rotation = turn_between(region.c2w[a, :, :3], region.c2w[b, :, :3], t, config.pose_jitter, random)
        return torch.cat([rotation, (region.eyes[a] + t * there + off)[:, None]], dim=1)

    return sample


def camera_distances(region: TrainCameras) -> Float[Tensor, "n n"]:
    """Pairwise differences of the cameras, in world units.

    The distance between positions, plus the angle between orientations times the distance of the point of interest:
    that is how far the picture's content moves.
    """
    rotations = region.c2w[:, :, :3].flatten(1)
    # Two rotations that are an angle apart differ by 2 sqrt(2) sin(angle / 2), in the Frobenius norm.
    angles = 2 * torch.asin((torch.cdist(rotations, rotations) / math.sqrt(8)).clamp(max=1.0))
    distance = (region.eyes - region.center).norm(dim=1).median()
    return torch.cdist(region.eyes, region.eyes) + distance * angles


SAMPLERS: dict[SceneType, Callable[[TrainCameras, DistillConfig], Sampler]] = {
    SceneType.OBJECT: object_sampler,
    SceneType.FORWARD_FACING: forward_facing_sampler,
    SceneType.UNBOUNDED: interpolation_sampler,
}


def pseudo_poses(
    bounds: SceneBounds, train: Float[Tensor, "n 3 4"], config: DistillConfig, indices: Iterable[int]
) -> Float[Tensor, "m 3 4"]:
    """The pseudo poses (c2w) of the given indices; see `pose_sampler`."""
    sample = pose_sampler(bounds, train, config)
    poses = [sample(index, 0) for index in indices]
    return torch.stack(poses) if poses else torch.zeros(0, 3, 4)


def pose_sampler(
    bounds: SceneBounds, train: Float[Tensor, "n 3 4"], config: DistillConfig
) -> Callable[[int, int], Tensor]:
    """A function that returns candidate k for pseudo pose i, c2w [3, 4].

    The pose depends only on the seed, i, k and the training cameras. So any number of processes may share the work, and
    a longer run begins with the same views.

    center, radius: ball of interest (world space). up: world direction, unit length.
    """
    if len(train) < 2:
        raise SceneError(f"distill: {len(train)} training view; at least 2 are needed to place cameras between them")
    c2w = orthonormalize(train.double().cpu())
    region = TrainCameras(c2w, bounds.center.double().cpu(), bounds.radius, bounds.up.double().cpu())
    sample = SAMPLERS[bounds.type](region, config)
    return lambda index, candidate: sample(generator(config.seed, index, candidate)).float()


def generator(seed: int, index: int, candidate: int = 0) -> np.random.Generator:
    """Random number generator of one candidate for a pseudo view."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index, candidate])))


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
