"""The camera of all viewers, as their ports are held to it: motions about an object, before a window, among cameras."""

import math
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

Vector = tuple[float, float, float]

PARALLEL = 1e-9
"""Length below which the product of two unit vectors says nothing of a direction."""


def dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def add(a: Vector, b: Vector, scale: float = 1.0) -> Vector:
    """a + scale b."""
    return (a[0] + scale * b[0], a[1] + scale * b[1], a[2] + scale * b[2])


def times(a: Vector, scale: float) -> Vector:
    return (a[0] * scale, a[1] * scale, a[2] * scale)


def length(a: Vector) -> float:
    return math.sqrt(dot(a, a))


def unit(a: Vector, otherwise: Vector) -> Vector:
    """`a` at length 1; `otherwise` where `a` is too short to have a direction."""
    size = length(a)
    return times(a, 1 / size) if size >= PARALLEL else otherwise


def across(up: Vector) -> Vector:
    """Unit vector across `up` (unit length): the axis farthest from it (the first of equals), made perpendicular."""
    sizes = [abs(x) for x in up]
    index = sizes.index(min(sizes))
    axis = (float(index == 0), float(index == 1), float(index == 2))
    return unit(add(axis, up, -dot(axis, up)), axis)


def turned(a: Vector, axis: Vector, angle: float) -> Vector:
    """`a` turned about the unit vector `axis` by `angle` radians, anticlockwise (Rodrigues)."""
    c, s = math.cos(angle), math.sin(angle)
    along = dot(axis, a) * (1 - c)
    side = cross(axis, a)
    return (
        c * a[0] + s * side[0] + along * axis[0],
        c * a[1] + s * side[1] + along * axis[1],
        c * a[2] + s * side[2] + along * axis[2],
    )


def toward(a: Vector, pole: Vector, widest: float) -> Vector:
    """The unit vector `a`, brought to within `widest` radians of the unit vector `pole` by the shortest way."""
    off = add(a, pole, -dot(a, pole))
    if math.atan2(length(off), dot(a, pole)) <= widest:
        return a
    side = unit(off, (0.0, 0.0, 0.0))
    if side == (0.0, 0.0, 0.0):  # opposite: there is no shortest way
        return pole
    return add(times(pole, math.cos(widest)), side, math.sin(widest))


def clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def pose(right: Vector, up: Vector, back: Vector, eye: Vector) -> list[float]:
    """c2w, 3 rows of 4."""
    return [x for i in range(3) for x in (right[i], up[i], back[i], eye[i])]


def upright(back: Vector, up: Vector, eye: Vector) -> list[float]:
    """c2w of the camera at `eye` with backward axis `back` and `up` upwards in its image (unit vectors)."""
    aside = across(up)
    right = unit(cross(up, back), unit(cross(aside, back), aside))
    return pose(right, cross(back, right), back, eye)


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


class OrbitMotion:
    """Region `orbit`: the camera circles `center` in spherical coordinates, each held to its range."""

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


class BoxMotion:
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


class NearbyCamerasMotion:
    """Region `box` with `cameras`: the camera goes where it likes, and is drawn back to the nearest covered one."""

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        region, camera = manifest["region"], manifest["camera"]
        self.eyes = [vector(pose[3::4]) for pose in region["cameras"]]
        self.backs = [unit(vector(pose[2::4]), (0.0, 0.0, 1.0)) for pose in region["cameras"]]
        self.reach, self.widest = float(region["max_distance"]), math.radians(region["max_angle"])
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
    if region["type"] == "orbit":
        return OrbitMotion(manifest)
    return NearbyCamerasMotion(manifest) if region.get("cameras") else BoxMotion(manifest)


def span(manifest: Mapping[str, Any]) -> float:
    """Width of what the image's shorter side shows at distance 1."""
    image, (fx, fy, _, _) = manifest["image"], manifest["camera"]["intrinsics"]
    return float(min(image["width"] / fx, image["height"] / fy))


def shifted(shift: tuple[float, float], dx: float, dy: float) -> tuple[float, float]:
    return clamp(shift[0] - dx, -PAN_LIMIT, PAN_LIMIT), clamp(shift[1] + dy, -PAN_LIMIT, PAN_LIMIT)


def vector(values: Any) -> Vector:
    x, y, z = (float(value) for value in values)
    return (x, y, z)


SMOOTHING = 0.05
"""Seconds over which the speed of a gesture is averaged."""
INERTIA = 0.35
"""Seconds in which the speed after a gesture falls to 1/e."""
SLOWEST, FASTEST = 0.002, 8.0
"""Speeds, view sides (or e-foldings of scale) a second: below the first the camera stands; none is above the second."""
LONGEST = 100.0
"""View sides, or e-foldings, that one move goes at most: nothing overflows, whatever a device reports."""
SHORTEST_TIME = 1e-6
"""Seconds that are none: no speed comes of them."""


class OrbitCamera:
    """Lengths are points (CSS pixels), x to the right and y downwards; times are seconds.

    A move counts towards inertia only between `begin` and `end`. Arguments that are no finite numbers, sizes and
    scales that are not positive, make a call do nothing; a time below a microsecond is none.
    """

    def __init__(self, manifest: Mapping[str, Any]) -> None:
        """manifest: the content of a valid manifest.json."""
        self._motion = motion(manifest)
        self._unit = 1.0
        self._held = False
        self._speeds = self._at_rest()

    @staticmethod
    def _at_rest() -> dict[str, tuple[float, ...]]:
        return {"orbit": (0.0, 0.0), "pan": (0.0, 0.0), "dolly": (0.0,)}

    @property
    def c2w(self) -> list[float]:
        """The pose, camera to world, OpenGL axes: 3 rows of 4."""
        return self._motion.c2w()

    @property
    def moving(self) -> bool:
        """Whether `step` would move it."""
        return not self._held and any(any(speed) for speed in self._speeds.values())

    def resize(self, width: float, height: float) -> None:
        """The view's size."""
        if _finite(width, height) and width > 0 and height > 0:
            self._unit = float(min(width, height))

    def begin(self) -> None:
        """Fingers were put down, or their number changed: what moved stops."""
        self._held = True
        self._speeds = self._at_rest()

    def drag(self, dx: float, dy: float, dt: float) -> None:
        """One finger moved by (dx, dy) in the time dt."""
        if _finite(dx, dy):
            self._move("orbit", (dx / self._unit, dy / self._unit), dt)

    def pan(self, dx: float, dy: float, dt: float) -> None:
        """Two fingers moved; (dx, dy) is the way of the point between them."""
        if _finite(dx, dy):
            self._move("pan", (dx / self._unit, dy / self._unit), dt)

    def pinch(self, scale: float, dt: float) -> None:
        """The distance of two fingers became `scale` times what it was."""
        if _finite(scale) and scale > 0:
            self._move("dolly", (math.log(scale),), dt)

    def end(self, dt: float) -> None:
        """The last finger was lifted, the time dt after the last move: what was moving goes on by itself."""
        rest = math.exp(-_time(dt) / SMOOTHING)
        for name, speed in self._speeds.items():
            now = tuple(x * rest for x in speed)
            size = math.hypot(*now)
            # Nothing comes out of a gesture that had come to rest.
            keep = 0.0 if size < SLOWEST else min(1.0, FASTEST / size)
            self._speeds[name] = tuple(x * keep for x in now)
        self._held = False

    def step(self, dt: float) -> bool:
        """Let the time dt pass. Returns whether the camera is still moving."""
        time = _time(dt)
        for name, speed in self._speeds.items():
            size = math.hypot(*speed)
            if self._held or size == 0:
                continue
            # Exact solution of v' = -v / INERTIA up to the moment of standing still: the same in one step or many.
            left = INERTIA * math.log(size / SLOWEST)
            way = -INERTIA * math.expm1(-min(time, left) / INERTIA)
            getattr(self._motion, name)(*(x * way for x in speed))
            keep = 0.0 if time >= left else math.exp(-time / INERTIA)
            self._speeds[name] = tuple(x * keep for x in speed)
        return self.moving

    def reset(self) -> None:
        """Back to where it began, at rest."""
        self._speeds = self._at_rest()
        self._motion.reset()

    def _move(self, name: str, way: tuple[float, ...], dt: float) -> None:
        way = tuple(clamp(x, -LONGEST, LONGEST) for x in way)
        getattr(self._motion, name)(*way)
        time = _time(dt)
        if self._held and time > 0:
            share = -math.expm1(-time / SMOOTHING)
            speed = self._speeds[name]
            self._speeds[name] = tuple(v + share * (x / time - v) for v, x in zip(speed, way, strict=True))


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def _time(dt: float) -> float:
    return dt if math.isfinite(dt) and dt >= SHORTEST_TIME else 0.0
