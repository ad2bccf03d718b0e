"""What a user may say about a scene."""

import math
from dataclasses import dataclass

from nelf.cameras import FARTHEST
from nelf.data.json_fields import LARGEST, SMALLEST
from nelf.data.scene import Kind
from nelf.errors import ConfigError

AUTO = "auto"


@dataclass
class SceneConfig:
    """Which scene, and what to override of what is found in it."""

    path: str
    """Folder of the scene; its format is found by looking."""
    name: str | None = None
    """Name of the scene in messages, runs and reports; the folder's name when not given."""
    kind: str = AUTO
    """object, forward-facing or unbounded; auto decides from the cameras."""
    downscale: int = 1
    """Divide both image sides by this, averaging areas; where images_N folders exist it counts from full size."""
    near: float | None = None
    """Nearest depth along the view axis, world units; estimated when not given."""
    far: float | None = None
    """Farthest depth along the view axis, world units; estimated when not given."""
    up: list[float] | None = None
    """World direction that is upwards for the viewer, [x, y, z]; taken from the cameras when not given."""
    allow_missing: bool = False
    """Use the images that are there when some that the scene lists are not."""
    holdout: int = 8
    """Every n-th view becomes a test view where the format has no split (0: none)."""
    val_holdout: int = 8
    """Every n-th training view becomes a validation view where the scene has none (0: none)."""

    def __post_init__(self) -> None:
        allowed = [AUTO, *(kind.value for kind in Kind)]
        if self.kind not in allowed:
            raise ConfigError(f"scene.kind={self.kind} is unknown; use one of {', '.join(allowed)}")
        if self.downscale < 1:
            raise ConfigError(f"scene.downscale={self.downscale} must be a whole number of at least 1")
        for key in ("holdout", "val_holdout"):
            value = getattr(self, key)
            if value < 0 or value == 1:
                raise ConfigError(f"scene.{key}={value} must be 0 (hold out none) or at least 2 (every n-th view)")
        for key in ("near", "far"):
            value = getattr(self, key)
            if value is not None and not SMALLEST <= value <= LARGEST:
                raise ConfigError(
                    f"scene.{key}={value} must be a positive depth in world units, {SMALLEST:g} to {LARGEST:g}"
                )
        if self.near is not None and self.far is not None and self.near >= self.far:
            raise ConfigError(f"scene.near={self.near} must be smaller than scene.far={self.far}")
        if self.up is not None and (len(self.up) != 3 or not 1e-6 <= math.hypot(*self.up) <= FARTHEST):
            raise ConfigError(f"scene.up={list(self.up)} must be three numbers, not all zero, such as [0,0,1]")
