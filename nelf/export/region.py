"""The region of poses that training covered. Viewers keep their camera inside: a light field is undefined outside."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nelf.core.cameras import is_rigid, mean_pose

MOST_CAMERAS = 64  # that a manifest lists
LEAST_TURN = 5.0  # degrees that a viewer may look aside from a listed camera
FULL_CIRCLE_GAP = 60.0  # degrees without a camera that still count as covered all around


@dataclass(frozen=True)
class OrbitRegion:
    """Cameras around an object: spherical coordinates about `center`, angles in degrees.

    elevation: above the plane across `up`. azimuth: anticlockwise seen from above, from the direction `azimuth_zero`;
    the interval starts at `azimuth_start` and is `azimuth_width` wide (360: all around).
    """

    center: list[float]
    up: list[float]
    radius: list[float]
    elevation: list[float]
    azimuth_zero: list[float]
    azimuth_start: float
    azimuth_width: float
    type: str = field(default="shell")


@dataclass(frozen=True)
class BoxRegion:
    """Cameras in a box whose axes are those of the camera `reference` (c2w, 3x4 row by row).

    low, high: corners, in that camera's frame. angle: largest between an optical axis and the reference's, degrees.
    cameras: where a box is too coarse, c2w (row by row) of some that stand for all, the most central one first.
    reach, turn: how far from the nearest of them a camera may be (world units), and its axis (degrees).
    """

    reference: list[float]
    low: list[float]
    high: list[float]
    angle: float
    cameras: list[list[float]] | None = None
    reach: float | None = None
    turn: float | None = None
    type: str = field(default="box")


def covered_region(
    kind: str, c2w: Float[Tensor, "n 3 4"], center: Float[Tensor, "3"], up: Float[Tensor, "3"]
) -> OrbitRegion | BoxRegion:
    """What the cameras `c2w` cover: a shell around an object, otherwise a box; in open scenes with cameras in it."""
    c2w, center, up = c2w.double(), center.double(), torch.nn.functional.normalize(up.double(), dim=0)
    if kind == "object":
        return _shell(c2w[:, :, 3], center, up)
    box = _box(c2w, up)
    return box if kind == "forward-facing" else dataclasses.replace(box, **_representatives(c2w, center))


def _shell(eyes: Float[Tensor, "n 3"], center: Float[Tensor, "3"], up: Float[Tensor, "3"]) -> OrbitRegion:
    offset = eyes - center
    radius = offset.norm(dim=1)
    height = offset @ up
    elevation = torch.rad2deg(torch.asin((height / radius.clamp_min(1e-12)).clamp(-1, 1)))
    zero = _across(up)
    side = torch.linalg.cross(up, zero)
    azimuth = torch.rad2deg(torch.atan2(offset @ side, offset @ zero)) % 360
    start, width = _covering_arc(azimuth)
    return OrbitRegion(
        center=center.tolist(),
        up=up.tolist(),
        radius=[float(radius.min()), float(radius.max())],
        elevation=[float(elevation.min()), float(elevation.max())],
        azimuth_zero=zero.tolist(),
        azimuth_start=start,
        azimuth_width=width,
    )


def _across(up: Float[Tensor, "3"]) -> Float[Tensor, "3"]:
    """Unit vector across `up`: the world axis that is farthest from it, made perpendicular."""
    axis = torch.zeros(3, dtype=up.dtype)
    axis[int(up.abs().argmin())] = 1
    return torch.nn.functional.normalize(axis - (axis @ up) * up, dim=0)


def _covering_arc(azimuth: Float[Tensor, "n"]) -> tuple[float, float]:
    """Start and width of the smallest arc that holds all angles (degrees)."""
    ordered = azimuth.sort().values
    gaps = torch.diff(ordered, append=ordered[:1] + 360)
    widest = int(gaps.argmax())
    if float(gaps[widest]) < FULL_CIRCLE_GAP:
        return 0.0, 360.0
    return float(ordered[(widest + 1) % len(ordered)]), 360.0 - float(gaps[widest])


def _box(c2w: Float[Tensor, "n 3 4"], up: Float[Tensor, "3"]) -> BoxRegion:
    reference = mean_pose(c2w)
    if not is_rigid(reference):  # cameras that look all around have no mean axis
        back = _across(up)
        axes = torch.stack([torch.linalg.cross(up, back), up, back], dim=1)
        reference = torch.cat([axes, c2w[:, :, 3].mean(0)[:, None]], dim=1)
    local = (c2w[:, :, 3] - reference[:, 3]) @ reference[:, :3]
    axes = torch.nn.functional.normalize(c2w[:, :, 2], dim=1)
    angle = torch.rad2deg(torch.acos((axes @ reference[:, 2]).clamp(-1, 1)))
    return BoxRegion(
        reference=reference.flatten().tolist(),
        low=local.min(0).values.tolist(),
        high=local.max(0).values.tolist(),
        angle=float(angle.max()),
    )


def _representatives(c2w: Float[Tensor, "n 3 4"], center: Float[Tensor, "3"]) -> dict[str, Any]:
    """`cameras`, `reach` and `turn` of a Box: spread by farthest-point sampling, neighbours within reach of each other.

    Far is by place, and by axis times the mean distance of the center: what viewers measure by too.
    """
    eyes, axes = c2w[:, :, 3], torch.nn.functional.normalize(c2w[:, :, 2], dim=1)
    places = torch.cat([eyes, axes * (eyes - center).norm(dim=1).mean()], dim=1)
    chosen = [int((places - places.mean(0)).norm(dim=1).argmin())]
    nearest = (places - places[chosen[0]]).norm(dim=1)
    while len(chosen) < min(MOST_CAMERAS, len(c2w)) and float(nearest.max()) > 0:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (places - places[chosen[-1]]).norm(dim=1))
    eyes, axes, places = eyes[chosen], axes[chosen], places[chosen]
    apart = torch.cdist(places, places).fill_diagonal_(torch.inf)
    other = apart.argmin(dim=1) if len(chosen) > 1 else torch.zeros(1, dtype=torch.long)
    between = torch.rad2deg(torch.acos((axes * axes[other]).sum(1).clamp(-1, 1)))
    return {
        "cameras": c2w[chosen].flatten(1).tolist(),
        "reach": float((eyes - eyes[other]).norm(dim=1).median()),
        "turn": max(LEAST_TURN, float(between.median())),
    }
