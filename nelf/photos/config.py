"""What a user may say about raw photos."""

from dataclasses import dataclass

from nelf.errors import ConfigError

MATCHINGS = ("auto", "exhaustive", "sequential")


@dataclass
class PhotosConfig:
    """How poses are found for photos that have none."""

    size: int = 1600
    """Longest side of the scene's images, pixels; larger photos are reduced to it."""
    features: int = 4096
    """Most features that are sought in a photo."""
    feature_size: int = 1280
    """Longest side at which features are sought, pixels."""
    matching: str = "auto"
    """exhaustive: every pair. sequential: photos that follow each other by name, and some farther apart.
    auto: exhaustive up to 100 photos; sequential for more, and for a video."""
    frames: int = 120
    """Most frames that are taken from a video."""
    seed: int = 0
    """Of what structure from motion draws at random."""

    def __post_init__(self) -> None:
        if self.matching not in MATCHINGS:
            raise ConfigError(f"photos.matching={self.matching} is not known; use one of {', '.join(MATCHINGS)}")
        for key, least in {"size": 64, "features": 256, "feature_size": 64, "frames": 3, "seed": 0}.items():
            if getattr(self, key) < least:
                raise ConfigError(f"photos.{key}={getattr(self, key)} is too small; use {least} or more")
