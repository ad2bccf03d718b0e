"""Camera paths for the orbit video. All are closed, and stay where the training cameras were.

The way round is measured by azimuth, the angle around `up`. Where cameras stand all around, the path is a full
turn; where they cover an arc only, it swings to and fro inside that.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from nelf.cameras import look_at
from nelf.data.scene import Kind

FULL_TURN_GAP = math.radians(100)  # a wider gap between neighbouring cameras' azimuths is not crossed
STEEPEST = math.radians(80)  # elevation of an object's orbit; nearer to the pole `up` says little about the image
FACING_EXTENT = 0.7  # of the largest ellipse inside the hull of forward-facing cameras
SMOOTHING = math.radians(15)  # standard deviation in azimuth over which an unbounded scene's cameras are averaged


def orbit_poses(
    kind: Kind, c2w: Float[Tensor, "n 3 4"], center: Float[Tensor, "3"], up: Float[Tensor, "3"], frames: int
) -> Float[Tensor, "frames 3 4"]:
    """A closed path of `frames` poses (world space) for a scene whose training cameras are `c2w`.

    center: what the cameras look at. up: unit length.
    """
    path = {Kind.OBJECT: _around_object, Kind.FORWARD_FACING: _before_scene, Kind.UNBOUNDED: _between_cameras}[kind]
    return path(c2w, center, up, frames)


def _around_object(c2w: Tensor, center: Tensor, up: Tensor, frames: int) -> Tensor:
    """A turn around the `up` axis through `center` at the cameras' mean distance and elevation."""
    offset = c2w[:, :, 3] - center
    azimuth, height, _ = _cylindrical(offset, up)
    distance = offset.norm(dim=-1)
    elevation = float(torch.asin((height / distance).clamp(-1, 1)).mean().clamp(-STEEPEST, STEEPEST))
    turned = _turn(azimuth, frames)
    direction = math.cos(elevation) * _horizontal(turned, up) + math.sin(elevation) * up
    return look_at(center + distance.mean() * direction, center.expand_as(direction), up)


def _before_scene(c2w: Tensor, center: Tensor, up: Tensor, frames: int) -> Tensor:
    """An ellipse in the plane of the cameras, inside their convex hull, all frames looking at one point."""
    mean = c2w[:, :, 3].mean(0)
    forward = torch.nn.functional.normalize(-c2w[:, :, 2].mean(0), dim=0)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=0)
    upwards = torch.linalg.cross(right, forward)
    offset = c2w[:, :, 3] - mean
    plane = torch.stack([offset @ right, offset @ upwards], dim=-1)
    half = plane.abs().amax(0)
    # The ellipse lies in the hull where it reaches no further than the hull does, in whatever direction one looks.
    angle = torch.arange(360) * (2 * math.pi / 360)
    look = torch.stack([angle.cos(), angle.sin()], dim=-1)
    reach_of_hull = (look @ plane.T).amax(-1)
    reach_of_ellipse = (look * half).norm(dim=-1).clamp_min(1e-12)
    half = half * FACING_EXTENT * float((reach_of_hull / reach_of_ellipse).amin().clamp(0, 1))
    turn = torch.arange(frames)[:, None] * (2 * math.pi / max(frames, 1))
    eye = mean + half[0] * turn.cos() * right + half[1] * turn.sin() * upwards
    ahead = (center - mean) @ forward
    focus = mean + forward * (ahead if ahead > 0 else 1.0)
    return look_at(eye, focus.expand_as(eye), up)


def _between_cameras(c2w: Tensor, center: Tensor, up: Tensor, frames: int) -> Tensor:
    """A path in order of the direction in which cameras look; each frame averages the cameras that look its way.

    The direction, not the place, is the order: it serves cameras around a thing and cameras that look out of a room.
    """
    view = -torch.nn.functional.normalize(c2w[:, :, 2], dim=-1)
    azimuth, _, _ = _cylindrical(view, up)
    turned = _turn(azimuth, frames)
    apart = torch.remainder(turned[:, None] - azimuth + math.pi, 2 * math.pi) - math.pi
    weight = torch.softmax(-0.5 * (apart / SMOOTHING).square(), dim=-1)  # never all zero, however far the nearest is
    # Places are averaged in cylindrical coordinates around the centre: the mean of points of a ring falls inside it.
    place, height, radius = _cylindrical(c2w[:, :, 3] - center, up)
    around = weight @ _horizontal(place, up)
    outwards = torch.nn.functional.normalize(around, dim=-1) * (weight @ radius)[:, None]
    inside = around.norm(dim=-1, keepdim=True) < 0.7  # places on different sides: there the plain mean is meant
    eye = center + torch.where(inside, weight @ (_horizontal(place, up) * radius[:, None]), outwards)
    eye = eye + (weight @ height)[:, None] * up
    return look_at(eye, eye + weight @ view, up)


def _turn(azimuth: Tensor, frames: int) -> Tensor:
    """[frames] azimuths: once around, or to and fro over the covered arc where cameras leave a wide gap."""
    phase = torch.arange(frames) * (2 * math.pi / max(frames, 1))
    around = azimuth.remainder(2 * math.pi).sort().values
    gaps = torch.diff(around, append=around[:1] + 2 * math.pi)
    widest = int(gaps.argmax())
    if gaps[widest] <= FULL_TURN_GAP:
        return azimuth[0] + phase
    arc = 2 * math.pi - gaps[widest]
    start = around[(widest + 1) % len(around)]
    return start + arc * (0.5 + 0.5 * phase.sin())


def _cylindrical(vectors: Tensor, up: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Azimuth, height and radius, each [n], of vectors [n, 3] around the `up` axis."""
    first, second = _basis(up)
    x, y = vectors @ first, vectors @ second
    return torch.atan2(y, x), vectors @ up, torch.hypot(x, y)


def _horizontal(azimuth: Tensor, up: Tensor) -> Tensor:
    """Unit vectors [n, 3] of the given azimuths."""
    first, second = _basis(up)
    return azimuth.cos()[:, None] * first + azimuth.sin()[:, None] * second


def _basis(up: Tensor) -> tuple[Tensor, Tensor]:
    """Two unit vectors that make a right-handed frame with `up`."""
    least = torch.eye(3)[int(up.abs().argmin())]
    first = torch.nn.functional.normalize(least - (least @ up) * up, dim=0)
    return first, torch.linalg.cross(up, first)
