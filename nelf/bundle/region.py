"""The region of poses that training covered. Viewers keep their camera inside: a light field is undefined outside."""

from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import ConfigDict, Field, model_validator
from torch import Tensor

from nelf.bundle.fields import (
    UNIT_TOLERANCE,
    Angle,
    Elevation,
    NotNegative,
    Part,
    Pose,
    Vector,
    check_range,
    check_rigid,
    check_unit,
    dot,
)
from nelf.core.cameras import is_rigid, mean_pose

MOST_CAMERAS = 64  # that a manifest lists
LEAST_ANGLE = 5.0  # degrees that a viewer may look aside from a listed camera
FULL_CIRCLE_GAP = 60.0  # degrees without a camera that still count as covered all around


class OrbitRegion(Part):
    """Cameras around an object: spherical coordinates about `center`."""

    type: Literal["orbit"]
    center: Vector
    up: Vector
    """Unit length."""
    radius: Annotated[list[NotNegative], Field(min_length=2, max_length=2)]
    """Least and largest distance from center."""
    elevation: Annotated[list[Elevation], Field(min_length=2, max_length=2)]
    """Least and largest angle above the plane across up."""
    azimuth_zero: Vector
    """Direction of azimuth 0, unit length, across up."""
    azimuth_start: float
    """Where the interval starts, anticlockwise seen from above."""
    azimuth_width: Annotated[float, Field(ge=0, le=360)]
    """360: all around."""

    @model_validator(mode="after")
    def _ranges_and_directions(self) -> "OrbitRegion":
        check_unit("up", self.up)
        check_unit("azimuth_zero", self.azimuth_zero)
        if abs(dot(self.up, self.azimuth_zero)) > UNIT_TOLERANCE:
            raise ValueError("azimuth_zero is not at right angles to up")
        check_range("radius", *self.radius)
        check_range("elevation", *self.elevation)
        return self


class BoxRegion(Part):
    """Cameras in a box whose axes are those of the camera `reference`."""

    model_config = ConfigDict(json_schema_extra={"dependentRequired": {"cameras": ["max_distance", "max_angle"]}})

    type: Literal["box"]
    reference: Pose
    """c2w of the camera in whose frame the box lies."""
    low: Vector
    high: Vector
    angle: Angle
    """Largest angle between a camera's axis and the reference's."""
    cameras: Annotated[list[Pose], Field(min_length=1)] | None = None
    """For unbounded scenes: c2w of cameras that stand for all, the most central one first. Stay near them."""
    max_distance: NotNegative | None = None
    """How far a camera may be from the nearest of cameras, in world units."""
    max_angle: Angle | None = None
    """Largest angle between an axis and that of the nearest of cameras."""

    @model_validator(mode="after")
    def _ranges_and_poses(self) -> "BoxRegion":
        for axis, low, high in zip("xyz", self.low, self.high, strict=True):
            check_range(axis, low, high)
        check_rigid("reference", self.reference)
        for i, camera in enumerate(self.cameras or []):
            check_rigid(f"cameras.{i}", camera)
        if self.cameras is not None and (self.max_distance is None or self.max_angle is None):
            raise ValueError("cameras need max_distance and max_angle")
        return self


def covered_region(
    scene_type: str, c2w: Float[Tensor, "n 3 4"], center: Float[Tensor, "3"], up: Float[Tensor, "3"]
) -> OrbitRegion | BoxRegion:
    """What the cameras `c2w` cover: an orbit around an object, otherwise a box; in open scenes with cameras in it."""
    c2w, center, up = c2w.double(), center.double(), torch.nn.functional.normalize(up.double(), dim=0)
    if scene_type == "object":
        return _orbit(c2w[:, :, 3], center, up)
    listed = {} if scene_type == "forward-facing" else _representatives(c2w, center)
    return _box(c2w, up, listed)


def _orbit(eyes: Float[Tensor, "n 3"], center: Float[Tensor, "3"], up: Float[Tensor, "3"]) -> OrbitRegion:
    offset = eyes - center
    radius = offset.norm(dim=1)
    height = offset @ up
    elevation = torch.rad2deg(torch.asin((height / radius.clamp_min(1e-12)).clamp(-1, 1)))
    zero = _across(up)
    side = torch.linalg.cross(up, zero)
    azimuth = torch.rad2deg(torch.atan2(offset @ side, offset @ zero)) % 360
    start, width = _covering_arc(azimuth)
    return OrbitRegion(
        type="orbit",
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


def _box(c2w: Float[Tensor, "n 3 4"], up: Float[Tensor, "3"], listed: dict[str, Any]) -> BoxRegion:
    reference = mean_pose(c2w)
    if not is_rigid(reference):  # cameras that look all around have no mean axis
        back = _across(up)
        axes = torch.stack([torch.linalg.cross(up, back), up, back], dim=1)
        reference = torch.cat([axes, c2w[:, :, 3].mean(0)[:, None]], dim=1)
    local = (c2w[:, :, 3] - reference[:, 3]) @ reference[:, :3]
    axes = torch.nn.functional.normalize(c2w[:, :, 2], dim=1)
    angle = torch.rad2deg(torch.acos((axes @ reference[:, 2]).clamp(-1, 1)))
    return BoxRegion(
        type="box",
        reference=reference.flatten().tolist(),
        low=local.min(0).values.tolist(),
        high=local.max(0).values.tolist(),
        angle=float(angle.max()),
        **listed,
    )


def _representatives(c2w: Float[Tensor, "n 3 4"], center: Float[Tensor, "3"]) -> dict[str, Any]:
    """`cameras`, `max_distance` and `max_angle` of a box: farthest-point sampling, neighbours in each other's range.

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
        "max_distance": float((eyes - eyes[other]).norm(dim=1).median()),
        "max_angle": max(LEAST_ANGLE, float(between.median())),
    }
