"""What a user may say about pseudo views."""

from dataclasses import dataclass

from nelf.core.errors import ConfigError
from nelf.core.settings import MOST_MINUTES, MOST_SEED, OneOf, Positive, Range, check, setting

SOURCES = ("teacher", "folder")


@dataclass
class DistillConfig:
    """Which pseudo views the student learns from, and how they are made."""

    source: str = setting("teacher", OneOf(SOURCES))
    """teacher renders with the teacher of this run; folder takes the posed renders in distill.folder as they are."""
    folder: str | None = None
    """Folder of posed renders of any other teacher, in any scene format that nelf reads."""
    views: int = setting(1000, Range(1, 200_000))
    """Pseudo views to render."""
    max_minutes: float | None = setting(None, Positive(MOST_MINUTES), unit="minutes")
    """Stop after this wall time with the views rendered so far; null renders all of distill.views."""
    min_views: int = setting(100, Range(1, 200_000))
    """Views that are rendered even when distill.max_minutes is over."""
    depth: bool = True
    """Write a depth map beside each view, about as large again; without it the student has to find its depths from
    the colours alone."""
    seed: int = setting(0, Range(0, MOST_SEED))
    """Chooses the poses; view i depends on the seed, i and the training cameras only."""
    workers: int = setting(1, Range(1, 1024))
    """Processes on this machine that share the rendering."""
    extrapolate: float = setting(0.1, Range(0, 1))
    """How far beyond two neighbouring training cameras a pose may lie, as a share of the way between them."""
    pose_jitter: float = setting(0.1, Range(0, 1))
    """Random displacement and rotation of a pose, as a share of the difference between the cameras it lies between."""
    radius_jitter: float = setting(0.02, Range(0, 0.5))
    """Object scenes: random change of the distance from the object, as a share of it."""
    look_at_jitter: float = setting(0.03, Range(0, 0.5))
    """Object scenes: random displacement of the point looked at, as a share of the scene's radius (standard deviation
    along each axis), besides what the training cameras differ in."""
    roll_degrees: float = setting(2.0, Range(0, 45), unit="degrees")
    """Object scenes: random turn about the view axis (standard deviation), besides what the training cameras differ
    in."""
    coverage_degrees: float = setting(60.0, Range(1, 90), unit="degrees")
    """Object scenes: a direction counts as covered when training cameras closer than this surround it."""
    coverage_margin_degrees: float = setting(5.0, Range(0.1, 90), unit="degrees")
    """Object scenes: how far outside of what the training cameras surround a direction still counts as covered."""
    hull_margin: float = setting(0.05, Range(0, 1))
    """Forward-facing scenes: the hull of the training cameras is enlarged by this share."""

    def __post_init__(self) -> None:
        check(self, "distill")
        if self.source == "folder" and not self.folder:
            raise ConfigError("distill.source=folder needs distill.folder=FOLDER, the folder of the posed renders")
        if self.source == "teacher" and self.folder:
            raise ConfigError(
                f"distill.folder={self.folder} is not used by distill.source=teacher; add distill.source=folder"
            )

    def pose_settings(self) -> dict[str, int | float]:
        """The values that decide what pseudo view i shows. How many there are is not among them."""
        keys = ("seed", "extrapolate", "pose_jitter", "radius_jitter", "look_at_jitter", "roll_degrees")
        return {
            key: getattr(self, key) for key in (*keys, "coverage_degrees", "coverage_margin_degrees", "hull_margin")
        }
