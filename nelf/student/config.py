"""What a student is made of. Presets are configs/student/*.yaml."""

from dataclasses import dataclass

from nelf.errors import ConfigError
from nelf.student.body import BODIES
from nelf.student.frame import Mapping
from nelf.student.surface import NO_DEPTH, STRIDES
from nelf.student.upsampler import UPSAMPLERS

SURFACE = "surface"
FACTORS = {**{name: factors for name, (_, factors) in UPSAMPLERS.items()}, SURFACE: tuple(STRIDES)}
"""upsampler -> image pixels per coarse ray that it can do."""

LIMITS = {
    "points": (2, 1024), "octaves": (1, 32), "width": (1, 4096), "blocks": (1, 1024),
    "tail_width": (1, 4096), "tail_blocks": (1, 1024), "tail_octaves": (1, 32), "tail_rank": (0, 4096),
}  # fmt: skip
"""key -> least and greatest value."""


@dataclass
class StudentConfig:
    """Network from pose to image."""

    name: str = "m"
    """Preset that these values come from; recorded, not read."""
    points: int = 8
    """K, points a ray that are encoded."""
    octaves: int = 4
    """L, octaves of sin and cos for each coordinate."""
    mapping: str = "auto"
    """Where the points lie: linear, disparity or ndc; auto is linear for bounded scenes, else disparity."""
    within_ball: bool = True
    """Bounded scenes: points only at depths where the scene's ball is; false: from scene.near to scene.far."""
    body: str = "pyramid"
    """Residual blocks: pointwise (MobileR2L), conv3x3, depthwise, or pyramid (conv3x3, mostly at half resolution)."""
    width: int = 48
    """Channels of the body."""
    blocks: int = 3
    """Residual blocks of the body; of a pyramid those at half resolution, to which two at full resolution come."""
    upsampler: str = "surface"
    """From ray grid to image: transposed (MobileR2L), shuffle (sub-pixel convolution) or surface (depth first)."""
    factor: int = 8
    """Image pixels per coarse ray, in each direction."""
    tail_width: int = 56
    """Channels after the surface is known; upsampler=surface only."""
    tail_blocks: int = 2
    """Residual blocks after the surface is known; upsampler=surface only."""
    tail_octaves: int = 3
    """Octaves of sin and cos of the surface's coordinates; upsampler=surface only."""
    tail_rank: int = 96
    """Features of the surface's place, products of a function of x, of y and of z; 0: none; upsampler=surface only."""

    def __post_init__(self) -> None:
        _check_known("student.body", self.body, list(BODIES))
        _check_known("student.upsampler", self.upsampler, list(FACTORS))
        _check_known("student.mapping", self.mapping, ["auto", *(m.value for m in Mapping)])
        factors = FACTORS[self.upsampler]
        if self.factor not in factors:
            raise ConfigError(
                f"student.factor={self.factor} is not possible with student.upsampler={self.upsampler}; "
                f"use one of {', '.join(map(str, factors))}"
            )
        for key, (least, most) in LIMITS.items():
            value = getattr(self, key)
            if not least <= value <= most:
                remedy = f"small; use {least} or more" if value < least else f"large; use {most} or less"
                raise ConfigError(f"student.{key}={value} is too {remedy}")
        if self.upsampler == SURFACE and self.mapping == Mapping.NDC:
            raise ConfigError(NO_DEPTH)

    def mapping_for(self, *, bounded: bool) -> Mapping:
        """The mapping to use for a scene, `auto` resolved."""
        if self.mapping == "auto":
            return Mapping.LINEAR if bounded else Mapping.DISPARITY
        return Mapping(self.mapping)


def _check_known(key: str, value: str, known: list[str]) -> None:
    if value not in known:
        raise ConfigError(f"{key}={value} is not known; use one of {', '.join(known)}")
