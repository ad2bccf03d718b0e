"""What a user may say about pseudo views."""

import math
from dataclasses import dataclass

from nelf.errors import ConfigError

TEACHERS = ("own", "external")


@dataclass
class DistillConfig:
    """Which pseudo views the student learns from, and how they are made."""

    teacher: str = "own"
    """own renders with the teacher of this run; external takes the posed renders in distill.external as they are."""
    external: str | None = None
    """Folder of posed renders of any other teacher, in any scene format that nelf reads."""
    views: int = 1000
    """Pseudo views to render."""
    minutes: float | None = None
    """Stop after this wall time with the views rendered so far; null renders all of distill.views."""
    min_views: int = 100
    """Views that are rendered even when distill.minutes is over."""
    depth: bool = True
    """Write a depth map beside each view, about as large again; without it the student has to find its depths from
    the colours alone."""
    seed: int = 0
    """Chooses the poses; view i depends on the seed, i and the training cameras only."""
    workers: int = 1
    """Processes on this machine that share the rendering."""
    extrapolate: float = 0.1
    """How far beyond two neighbouring training cameras a pose may lie, as a share of the way between them."""
    jitter: float = 0.1
    """Random displacement and rotation of a pose, as a share of the difference between the cameras it lies between."""
    radius_jitter: float = 0.02
    """Object scenes: random change of the distance from the object, as a share of it."""
    aim_jitter: float = 0.03
    """Object scenes: random displacement of the point looked at, as a share of the scene's radius (standard deviation
    along each axis), besides what the training cameras differ in."""
    roll_degrees: float = 2.0
    """Object scenes: random turn about the view axis (standard deviation), besides what the training cameras differ
    in."""
    reach_degrees: float = 60.0
    """Object scenes: a direction counts as covered when training cameras closer than this surround it."""
    margin_degrees: float = 5.0
    """Object scenes: how far outside of what the training cameras surround a direction still counts as covered."""
    hull_margin: float = 0.05
    """Forward-facing scenes: the hull of the training cameras is enlarged by this share."""

    def __post_init__(self) -> None:
        if self.teacher not in TEACHERS:
            raise ConfigError(f"distill.teacher={self.teacher} is not known; use one of {', '.join(TEACHERS)}")
        if self.teacher == "external" and not self.external:
            raise ConfigError("distill.teacher=external needs distill.external=FOLDER, the folder of the posed renders")
        if self.teacher == "own" and self.external:
            raise ConfigError(
                f"distill.external={self.external} is not used by distill.teacher=own; add distill.teacher=external"
            )
        for key, least in {"views": 1, "min_views": 1, "workers": 1, "seed": 0}.items():
            if getattr(self, key) < least:
                raise ConfigError(f"distill.{key}={getattr(self, key)} is too small; use {least} or more")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ConfigError(f"distill.minutes={self.minutes} must be a positive number of minutes, or null")
        ranges = {
            "extrapolate": (0.0, 1.0),
            "jitter": (0.0, 1.0),
            "radius_jitter": (0.0, 0.5),
            "aim_jitter": (0.0, 0.5),
            "roll_degrees": (0.0, 45.0),
            "reach_degrees": (1.0, 90.0),
            "margin_degrees": (0.1, 90.0),
            "hull_margin": (0.0, 1.0),
        }
        for key, (low, high) in ranges.items():
            if not low <= getattr(self, key) <= high:
                raise ConfigError(f"distill.{key}={getattr(self, key)} must lie between {low:g} and {high:g}")

    def pose_settings(self) -> dict[str, int | float]:
        """The values that decide what pseudo view i shows. How many there are is not among them."""
        keys = ("seed", "extrapolate", "jitter", "radius_jitter", "aim_jitter", "roll_degrees")
        return {key: getattr(self, key) for key in (*keys, "reach_degrees", "margin_degrees", "hull_margin")}
