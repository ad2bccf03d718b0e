"""The camera of a viewer: gestures in, pose out, never outside the region that training covered.

The reference of the classes of the same name in Swift, Kotlin and TypeScript; docs/viewers.md specifies it, and
tests/vectors/poses.json, which is made with it, holds all four together. No clock: time steps are arguments.
"""

import math
from collections.abc import Mapping
from typing import Any

from nelf.view.geometry import clamp
from nelf.view.motions import motion

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
