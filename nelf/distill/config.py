"""Settings of pseudo views."""

from dataclasses import dataclass

from nelf.core.errors import ConfigError
from nelf.core.settings import MOST_MINUTES, MOST_SEED, OneOf, Positive, Range, check, setting

SOURCES = ("teacher", "folder")


@dataclass
class DistillConfig:
    """Which pseudo views the student learns from, and how to make them."""

    source: str = setting("teacher", OneOf(SOURCES))
    """teacher renders with the teacher of this run; folder uses the posed renders in distill.folder as they are."""
    folder: str | None = None
    """Folder with posed renders of any other teacher, in any scene format that nelf reads."""
    views: int = setting(1000, Range(1, 200_000))
    """Pseudo views to render."""
    max_minutes: float | None = setting(None, Positive(MOST_MINUTES), unit="minutes")
    """Stop after this wall time with the views rendered so far; null renders all of distill.views."""
    min_views: int = setting(100, Range(1, 200_000))
    """Views to render even after distill.max_minutes."""
    depth: bool = True
    """Write a depth map for each view, about as large as its image. Without depth maps the student must find its
    depths from the colours alone."""
    seed: int = setting(0, Range(0, MOST_SEED))
    """Selects the poses. View i depends only on the seed, i and the training cameras."""
    workers: int = setting(1, Range(1, 1024))
    """Rendering processes on this machine."""
    extrapolate: float = setting(0.1, Range(0, 1))
    """How far a pose may lie beyond two neighbouring training cameras, as a share of the distance between them."""
    pose_jitter: float = setting(0.1, Range(0, 1))
    """Random displacement and rotation of a pose, as a share of the difference between its two cameras."""
    radius_jitter: float = setting(0.02, Range(0, 0.5))
    """Object scenes: random change of the distance from the object, as a share of it."""
    look_at_jitter: float = setting(0.03, Range(0, 0.5))
    """Object scenes: random displacement of the look-at point, as a share of the scene's radius (standard deviation per
    axis), on top of the variation between training cameras."""
    roll_degrees: float = setting(2.0, Range(0, 45), unit="degrees")
    """Object scenes: random roll about the view axis (standard deviation), on top of the variation between training
    cameras."""
    coverage_degrees: float = setting(60.0, Range(1, 90), unit="degrees")
    """Object scenes: a direction is covered if training cameras closer than this surround it."""
    coverage_margin_degrees: float = setting(5.0, Range(0.1, 90), unit="degrees")
    """Object scenes: how far outside the surrounded directions a direction still counts as covered."""
    box_margin: float = setting(0.05, Range(0, 1))
    """Forward-facing scenes: the box of the training cameras is enlarged by this share."""
    min_confirmed: float = setting(0.0, Range(0, 1))
    """Least share of a view's pixels whose surface at least two training photos show, too. A pose with less is replaced
    by another one. 0 takes every pose. See `Confirmation` in `nelf.distill.views`."""

    def __post_init__(self) -> None:
        check(self, "distill")
        if self.source == "folder" and not self.folder:
            raise ConfigError("distill.source=folder needs distill.folder=FOLDER, the folder of the posed renders")
        if self.source == "teacher" and self.folder:
            raise ConfigError(
                f"distill.folder={self.folder} is not used by distill.source=teacher; add distill.source=folder"
            )

    def pose_settings(self) -> dict[str, int | float]:
        """The values that decide what pseudo view i shows; the number of views is not one of them."""
        keys = ("seed", "extrapolate", "pose_jitter", "radius_jitter", "look_at_jitter", "roll_degrees")
        return {
            key: getattr(self, key)
            for key in (*keys, "coverage_degrees", "coverage_margin_degrees", "box_margin", "min_confirmed")
        }
