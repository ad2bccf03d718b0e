"""How a gesture moves the camera in each kind of region, and what keeps it inside. docs/viewers.md has the formulas.

A motion holds a place that is always inside the region. `orbit`, `pan` take fractions of the view's shorter side, x to
the right and y downwards; `dolly` takes the natural logarithm of how much larger things get.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from nelf.view.geometry import (
    Vector,
    add,
    clamp,
    cross,
    dot,
    length,
    pose,
    times,
    toward,
    turned,
    unit,
    upright,
)

TURN = math.pi
"""Radians that a drag over the view's shorter side turns by."""
START_ELEVATION = math.radians(20)
PAN_LIMIT = 0.15
"""Farthest that the point looked at moves from its place, as a share of its distance, to each side."""
STEEPEST = math.radians(85)


@runtime_checkable
class Motion(Protocol):
    """One kind of region."""

    def orbit(self, dx: float, dy: float) -> None: ...

    def pan(self, dx: float, dy: float) -> None: ...

    def dolly(self, log_scale: float) -> None: ...

    def reset(self) -> None: ...

    def c2w(self) -> list[float]: ...


class AroundObject:
    """Region `shell`: the camera circles `center` in spherical coordinates, each held to its range."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        region = manifest["region"]
        self.center, self.up, self.zero = vector(region["center"]), vector(region["up"]), vector(region["azimuth_zero"])
        self.side = cross(self.up, self.zero)
        self.nearest, self.farthest = (float(x) for x in region["radius"])
        self.lowest, self.highest = (math.radians(x) for x in region["elevation"])
        self.half_arc = math.radians(region["azimuth_width"]) / 2
        self.middle = math.radians(region["azimuth_start"]) + self.half_arc
        self.all_around = region["azimuth_width"] >= 360
        self.span = span(manifest)
        self.reset()

    def reset(self) -> None:
        self.turn = 0.0  # from the middle of the arc
        self.elevation = clamp(START_ELEVATION, self.lowest, self.highest)
        self.radius = (self.nearest + self.farthest) / 2
        self.shift = (0.0, 0.0)

    def orbit(self, dx: float, dy: float) -> None:
        turn = self.turn - dx * TURN
        if self.all_around:
            self.turn = turn - 2 * math.pi * math.floor((turn + math.pi) / (2 * math.pi))
        else:
            self.turn = clamp(turn, -self.half_arc, self.half_arc)
        self.elevation = clamp(self.elevation + dy * TURN, self.lowest, self.highest)

    def pan(self, dx: float, dy: float) -> None:
        self.shift = shifted(self.shift, dx * self.span, dy * self.span)

    def dolly(self, log_scale: float) -> None:
        self.radius = clamp(self.radius * math.exp(-log_scale), self.nearest, self.farthest)

    def c2w(self) -> list[float]:
        azimuth = self.middle + self.turn
        outwards = add(times(self.zero, math.cos(azimuth)), self.side, math.sin(azimuth))
        away = add(times(outwards, math.cos(self.elevation)), self.up, math.sin(self.elevation))
        right = add(times(self.side, math.cos(azimuth)), self.zero, -math.sin(azimuth))  # defined at the poles too
        above = cross(away, right)
        back = unit(add(add(away, right, -self.shift[0]), above, -self.shift[1]), away)
        right = unit(cross(above, back), right)
        return pose(right, cross(back, right), back, add(self.center, away, self.radius))


class BeforeWindow:
    """Region `box`: the camera shifts inside the box, in the frame of its reference camera, and looks at the focus."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        region, camera = manifest["region"], manifest["camera"]
        reference = region["reference"]
        self.axes = [vector(reference[i::4]) for i in range(3)]
        self.origin = vector(reference[3::4])
        self.low, self.high = vector(region["low"]), vector(region["high"])
        self.angle = math.radians(region["angle"])
        offset = add(vector(camera["focus"]), self.origin, -1.0)
        x, y, z = (dot(offset, axis) for axis in self.axes)
        self.aim = (x, y, min(z, self.low[2] - float(camera["near"])))  # before the box, wherever the focus is
        self.span = span(manifest)
        self.reset()

    def reset(self) -> None:
        self.shift = (0.0, 0.0)
        self._move_to((0.0, 0.0, 0.0))

    def _move_to(self, place: Vector) -> None:
        x, y, z = (clamp(place[i], self.low[i], self.high[i]) for i in range(3))
        self.place = (x, y, z)

    def orbit(self, dx: float, dy: float) -> None:
        size = add(self.high, self.low, -1.0)
        self._move_to(add(self.place, (-dx * size[0], dy * size[1], 0.0)))

    def pan(self, dx: float, dy: float) -> None:
        self.shift = shifted(self.shift, dx * self.span, dy * self.span)

    def dolly(self, log_scale: float) -> None:
        self._move_to(add(self.place, (0.0, 0.0, -log_scale * (self.high[2] - self.low[2]))))

    def c2w(self) -> list[float]:
        distance = self.place[2] - self.aim[2]
        target = add(self.aim, (self.shift[0] * distance, self.shift[1] * distance, 0.0))
        ahead = (0.0, 0.0, 1.0)
        back = toward(unit(add(self.place, target, -1.0), ahead), ahead, self.angle)
        right = unit((back[2], 0.0, -back[0]), (1.0, 0.0, 0.0))
        return pose(
            self._world(right),
            self._world(cross(back, right)),
            self._world(back),
            add(self.origin, self._world(self.place)),
        )

    def _world(self, local: Vector) -> Vector:
        x, y, z = self.axes
        return add(add(times(x, local[0]), y, local[1]), z, local[2])


class NearCameras:
    """Region `box` with `cameras`: the camera goes where it likes, and is drawn back to the nearest covered one."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        region, camera = manifest["region"], manifest["camera"]
        self.eyes = [vector(pose[3::4]) for pose in region["cameras"]]
        self.backs = [unit(vector(pose[2::4]), (0.0, 0.0, 1.0)) for pose in region["cameras"]]
        self.reach, self.widest = float(region["reach"]), math.radians(region["turn"])
        self.up, self.focus = vector(camera["up"]), vector(camera["focus"])
        self.distance = sum(length(add(eye, self.focus, -1.0)) for eye in self.eyes) / len(self.eyes)
        self.span = span(manifest)
        self.reset()

    def reset(self) -> None:
        self.eye, self.back = self.eyes[0], self.backs[0]

    def orbit(self, dx: float, dy: float) -> None:
        self._turn(self.up, -dx * TURN)
        elevation = math.asin(clamp(dot(self.back, self.up), -1.0, 1.0))
        steepest = max(STEEPEST, abs(elevation))
        rise = clamp(elevation + dy * TURN, -steepest, steepest) - elevation
        self._turn(self._right(), -rise)
        self._stay()

    def pan(self, dx: float, dy: float) -> None:
        right = self._right()
        move = self.span * self.distance
        self.eye = add(add(self.eye, right, -dx * move), cross(self.back, right), dy * move)
        self._stay()

    def dolly(self, log_scale: float) -> None:
        self.eye = add(self.eye, self.back, -log_scale * self.distance)
        self._stay()

    def c2w(self) -> list[float]:
        return upright(self.back, self.up, self.eye)

    def _right(self) -> Vector:
        return vector(self.c2w()[0::4])

    def _turn(self, axis: Vector, angle: float) -> None:
        """Everything about an axis through the focus."""
        self.eye = add(self.focus, turned(add(self.eye, self.focus, -1.0), axis, angle))
        self.back = unit(turned(self.back, axis, angle), self.back)

    def _stay(self) -> None:
        def difference(index: int) -> float:
            place, look = add(self.eye, self.eyes[index], -1.0), add(self.back, self.backs[index], -1.0)
            return dot(place, place) + self.distance**2 * dot(look, look)

        nearest = min(range(len(self.eyes)), key=difference)  # the first of equals
        offset = add(self.eye, self.eyes[nearest], -1.0)
        size = length(offset)
        if size > self.reach:
            self.eye = add(self.eyes[nearest], offset, self.reach / size)
        self.back = toward(self.back, self.backs[nearest], self.widest)


def motion(manifest: Mapping[str, Any]) -> Motion:
    """The motion for a manifest's region."""
    region = manifest["region"]
    if region["type"] == "shell":
        return AroundObject(manifest)
    return NearCameras(manifest) if region.get("cameras") else BeforeWindow(manifest)


def span(manifest: Mapping[str, Any]) -> float:
    """Width of what the image's shorter side shows at distance 1."""
    image, (fx, fy, _, _) = manifest["image"], manifest["camera"]["intrinsics"]
    return float(min(image["width"] / fx, image["height"] / fy))


def shifted(shift: tuple[float, float], dx: float, dy: float) -> tuple[float, float]:
    return clamp(shift[0] - dx, -PAN_LIMIT, PAN_LIMIT), clamp(shift[1] + dy, -PAN_LIMIT, PAN_LIMIT)


def vector(values: Any) -> Vector:
    x, y, z = (float(value) for value in values)
    return (x, y, z)
