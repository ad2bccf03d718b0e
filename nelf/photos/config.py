"""What a user may say about raw photos."""

from dataclasses import dataclass

from nelf.core.settings import MOST_SEED, OneOf, Range, check, setting

MATCHINGS = ("auto", "exhaustive", "sequential")


@dataclass
class PhotosConfig:
    """How poses are found for photos that have none."""

    size: int = setting(1600, Range(64, 16384), unit="pixels")
    """Longest side of the scene's images, pixels; larger photos are reduced to it."""
    features: int = setting(4096, Range(256, 65536))
    """Most features that are sought in a photo."""
    feature_size: int = setting(1280, Range(64, 16384), unit="pixels")
    """Longest side at which features are sought, pixels."""
    matching: str = setting("auto", OneOf(MATCHINGS))
    """exhaustive: every pair. sequential: photos that follow each other by name, and some farther apart.
    auto: exhaustive up to 100 photos; sequential for more, and for a video."""
    frames: int = setting(120, Range(3, 10_000))
    """Most frames that are taken from a video."""
    seed: int = setting(0, Range(0, MOST_SEED))
    """Of what structure from motion draws at random."""

    def __post_init__(self) -> None:
        check(self, "photos")
