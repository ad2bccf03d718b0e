"""Settings of scenes, and of photos that become one."""

import enum
import math
from dataclasses import dataclass
from pathlib import Path

from nelf.core.errors import ConfigError, SceneError
from nelf.core.files import why_absent
from nelf.core.settings import MOST_SEED, OneOf, PlainName, Range, check, setting, shown

AUTO = "auto"
SMALLEST, LARGEST = 1e-9, 1e12  # allowed lengths in world units
MOST_VIEWS = 10**6
FARTHEST = 1e9  # world units from the origin: enough for metres of a national grid


class SceneType(enum.StrEnum):
    """How the cameras are placed. It selects ray sampling, teacher space and pseudo poses."""

    OBJECT = "object"  # all around a bounded object
    FORWARD_FACING = "forward-facing"  # side by side, looking the same way
    UNBOUNDED = "unbounded"  # inside or around a place without bounds


@dataclass
class SceneConfig:
    """Which scene to use, and what to override."""

    path: str
    """Folder of the scene; nelf finds its format."""
    name: str | None = setting(None, PlainName())
    """Name of the scene in messages, runs and reports; by default the folder's name."""
    type: str = setting(AUTO, OneOf([AUTO, *(one.value for one in SceneType)]))
    """object, forward-facing or unbounded; auto decides by the cameras."""
    downscale: int = setting(1, Range(1, 1024))
    """Divide both image sides by this, averaging areas. With images_N folders it counts from full size."""
    near: float | None = setting(None, Range(SMALLEST, LARGEST), unit="world units")
    """Nearest depth along the view axis, world units; estimated if not given."""
    far: float | None = setting(None, Range(SMALLEST, LARGEST), unit="world units")
    """Farthest depth along the view axis, world units; estimated if not given."""
    up: list[float] | None = setting(None, Range(-FARTHEST, FARTHEST), advice="such as [0,0,1]")
    """World direction that points up, [x, y, z]; taken from the cameras if not given."""
    allow_missing: bool = False
    """Use the images that exist when the scene lists others as well."""
    holdout: int = setting(8, Range(0, MOST_VIEWS))
    """Every n-th view becomes a test view if the format has no split (0: none)."""
    val_holdout: int = setting(8, Range(0, MOST_VIEWS))
    """Every n-th training view becomes a validation view if the scene has none (0: none; all photos are learnt)."""

    def __post_init__(self) -> None:
        check(self, "scene")
        for key in ("holdout", "val_holdout"):
            if getattr(self, key) == 1:
                raise ConfigError(f"scene.{key}=1 holds out every view; use 0 (none) or at least 2 (every n-th view)")
        if self.near is not None and self.far is not None and self.near >= self.far:
            raise ConfigError(f"scene.near={self.near:g} must be smaller than scene.far={self.far:g}")
        if self.up is not None and (len(self.up) != 3 or math.hypot(*self.up) < 1e-6):
            raise ConfigError(f"scene.up={shown(self.up)} must be three numbers, not all zero, such as [0,0,1]")


def check_folder(root: Path) -> None:
    """Raise SceneError if the folder `root` cannot be a scene."""
    if not root.is_dir():
        raise SceneError(
            f"scene {'folder ' * (not root.exists())}{root} {why_absent(root)}; "
            "give the folder that holds the scene's images and poses"
        )


MATCHINGS = ("auto", "exhaustive", "sequential")


@dataclass
class PhotosConfig:
    """How to find poses of photos without them."""

    size: int = setting(1600, Range(64, 16384), unit="pixels")
    """Longest side of the scene's images, pixels; larger photos are reduced to it."""
    features: int = setting(4096, Range(256, 65536))
    """Most features per photo."""
    feature_size: int = setting(1280, Range(64, 16384), unit="pixels")
    """Longest side of the pictures in which features are found, pixels."""
    matching: str = setting("auto", OneOf(MATCHINGS))
    """exhaustive: every pair. sequential: photos that follow each other by name, and some farther apart.
    auto: exhaustive up to 100 photos; sequential for more, and for a video."""
    frames: int = setting(120, Range(3, 10_000))
    """Most frames taken from a video."""
    skip_others: bool = False
    """Leave out photos of another size, focal length or camera than most; by default they are refused."""
    seed: int = setting(0, Range(0, MOST_SEED))
    """Seed of structure from motion."""

    def __post_init__(self) -> None:
        check(self, "photos")
