"""Gestures for the vectors, and the poses that the reference camera gives after each call."""

from typing import Any

from tests.vectors.manifests import MANIFESTS
from tests.vectors.reference_camera import OrbitCamera

Call = tuple[Any, ...]
FRAME = 1 / 64  # seconds; exact in binary, so that every language reads the same number

PHONE: Call = ("resize", 390, 844)
BEGIN: Call = ("begin",)
RESET: Call = ("reset",)


def swipe(name: str, dx: float, dy: float, moves: int = 4) -> list[Call]:
    """A gesture that is let go while moving."""
    return [BEGIN, *[(name, dx, dy, FRAME)] * moves, ("end", 0)]


def steps(count: int, dt: float = FRAME) -> list[Call]:
    return [("step", dt)] * count


GESTURES: dict[str, tuple[str, list[Call]]] = {
    "drag, let go, coast, stand": ("around", [PHONE, *swipe("drag", 12, 5), *steps(10), ("step", 0.5), *steps(3, 2.0)]),
    "a bundle in tiles": ("tiles", [PHONE, BEGIN, ("drag", 40, -30, FRAME)]),
    "drag at rest does not coast": ("around", [PHONE, BEGIN, ("drag", 40, -30, FRAME), ("end", 1.0), *steps(2)]),
    "around more than once, either way": ("around", [PHONE, *[("drag", 300, 0, FRAME)] * 4, ("drag", -5000, 0, FRAME)]),
    "elevation is held": ("around", [PHONE, *[("drag", 3, 150, FRAME)] * 3, *[("drag", 3, -150, FRAME)] * 4]),
    "pinch to both ends": (
        "around",
        [PHONE, BEGIN, *[("pinch", 1.25, FRAME)] * 3, *[("pinch", 0.7, FRAME)] * 4, ("end", 0), *steps(3)],
    ),
    "pan to every side": (
        "around",
        [PHONE, *[("pan", 40, 25, FRAME)] * 3, *[("pan", -60, -90, FRAME)] * 4, *swipe("pan", 9, 9), *steps(4)],
    ),
    "reset while coasting": ("around", [PHONE, *swipe("drag", 20, 0), *steps(2), RESET, *steps(2)]),
    "a finger stops it": ("around", [PHONE, *swipe("drag", 20, 8), *steps(2), BEGIN, *steps(2), ("end", 0), *steps(2)]),
    "nothing moves": (
        "around",
        [PHONE, BEGIN, ("drag", 0, 0, FRAME), ("pan", 0, 0, 0), ("pinch", 1, 0), ("end", 0), *steps(2)],
    ),
    "tiny and large times": (
        "around",
        [
            PHONE,
            BEGIN,
            ("drag", 5, 5, 1e-9),
            ("drag", 5, 5, 1e-5),
            ("drag", 1, 1, 30),
            ("drag", 6, 6, FRAME),
            ("end", 1e-4),
            ("step", 1e-9),
            ("step", 1e-6),
            ("step", 1e-3),
            ("step", 0),
            ("step", -1),
            ("step", 1e6),
        ],
    ),
    "nonsense is ignored": (
        "around",
        [
            ("resize", 0, 100),
            ("resize", -5, -5),
            PHONE,
            ("pinch", 0, FRAME),
            ("pinch", -2, FRAME),
            ("drag", 7, 7, -1),
            ("end", -1),
            ("step", -2),
            ("drag", 1e300, 0, FRAME),
            ("drag", -1e300, 1e300, FRAME),
            ("pinch", 1e-300, 0),
        ],
    ),
    "too fast is slowed": ("around", [PHONE, BEGIN, ("drag", 3000, 90, FRAME), ("end", 0), *steps(5, 0.125)]),
    "a wheel has no inertia": (
        "around",
        [("resize", 1280, 720), ("pinch", 1.1, FRAME), ("pinch", 1.1, FRAME), *steps(2)],
    ),
    "turning the phone": ("around", [PHONE, ("drag", 30, 0, FRAME), ("resize", 844, 300), ("drag", 30, 0, FRAME)]),
    "over the poles": (
        "poles",
        [
            PHONE,
            *[("drag", 20, 130, FRAME)] * 4,
            *[("drag", 35, -260, FRAME)] * 3,
            ("pan", 30, 20, 0),
            ("pinch", 1e9, 0),
        ],
    ),
    "coasting into a pole": ("poles", [PHONE, *swipe("drag", 3, 40), *steps(8, 0.0625)]),
    "the ends of an arc": (
        "arc",
        [PHONE, *[("drag", 50, 0, FRAME)] * 3, ("drag", -2000, 0, 0), *[("drag", 25, 40, 0)] * 4],
    ),
    "an arc's distance is fixed": (
        "arc",
        [PHONE, *swipe("drag", -9, 7), *steps(5), ("pinch", 2, 0), ("pinch", 0.5, 0)],
    ),
    "a region of one pose": ("point", [PHONE, *swipe("drag", 50, 50), *steps(3), ("pinch", 3, 0), ("pan", 15, -10, 0)]),
    "shift in the window": ("window", [PHONE, *swipe("drag", 25, 15), *steps(6), ("step", 3)]),
    "the window's corners": (
        "window",
        [
            PHONE,
            ("drag", 900, 0, 0),
            ("drag", 0, 900, 0),
            ("drag", -900, 0, 0),
            ("drag", 0, -900, 0),
            ("drag", 150, 100, 0),
        ],
    ),
    "forwards and back": ("window", [PHONE, ("pinch", 1.3, 0), ("pinch", 9, 0), ("pinch", 0.8, 0), ("pinch", 0.01, 0)]),
    "looking aside": (
        "window",
        [PHONE, *swipe("pan", 14, -11), *steps(4), *[("pan", 300, 0, 0), ("pan", 0, 300, 0)] * 2, RESET],
    ),
    "a line of cameras": (
        "narrow",
        [PHONE, *[("drag", 60, 60, 0)] * 4, ("pinch", 2, 0), ("pan", -80, 10, 0), ("drag", -390, 0, 0)],
    ),
    "cameras that look one way": (
        "parallel",
        [PHONE, ("drag", 80, 30, 0), ("pan", 40, 40, 0), ("pinch", 1.2, 0), RESET],
    ),
    "an open scene without cameras": (
        "wide",
        [PHONE, ("drag", 80, 30, 0), ("pan", 40, 40, 0), ("pinch", 1.2, 0), *swipe("drag", 30, -20), *steps(4), RESET],
    ),
    "around the ring": ("ring", [PHONE, *[("drag", 23, 0, 0)] * 16, ("drag", -700, 0, 0)]),
    "coasting along the ring": ("ring", [PHONE, *swipe("drag", 13, 4), *steps(8), ("step", 0.7), RESET]),
    "leaving the ring": (
        "ring",
        [
            PHONE,
            *[("pinch", 1.6, 0)] * 4,
            *[("pinch", 0.5, 0)] * 3,
            *[("pan", 150, 37, 0)] * 4,
            *[("drag", 5, 190, 0)] * 3,
            ("drag", 5, -500, 0),
        ],
    ),
    "looking around a room": ("room", [PHONE, *[("drag", -31, 3, 0)] * 14, *swipe("pan", 9, 5), *steps(3)]),
    "the room's ceiling and floor": ("room", [PHONE, *[("drag", 4, 60, 0)] * 3, *[("drag", 4, -90, 0)] * 4, RESET]),
    "one camera": (
        "alone",
        [PHONE, ("drag", 3, 2, 0), ("drag", 90, -90, 0), ("pinch", 4, 0), ("pan", 30, 3, 0), RESET],
    ),
}
"""What it shows -> manifest, calls."""


def pose_cases() -> dict[str, Any]:
    """Every case with the pose (c2w, 9 decimals) and whether the camera is still moving, after each call."""
    cases = []
    for name, (manifest, calls) in GESTURES.items():
        camera = OrbitCamera(MANIFESTS[manifest])
        start, made = rounded(camera.c2w), []
        for method, *arguments in calls:
            getattr(camera, method)(*map(float, arguments))
            made.append({"call": [method, *arguments], "moving": camera.moving, "c2w": rounded(camera.c2w)})
        cases.append({"name": name, "manifest": manifest, "start": start, "steps": made})
    return {"made_by": "python -m tests.vectors.make", "tolerance": 1e-6, "cases": cases}


def rounded(pose: list[float]) -> list[float]:
    return [round(value, 9) + 0.0 for value in pose]
