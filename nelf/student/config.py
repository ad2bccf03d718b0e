"""Settings of students. Presets are configs/student/*.yaml; each selects its family by the schema it starts from.

This module does not import torch, so that a wrong value is refused at once.
"""

import enum
from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass

from nelf.core.errors import ConfigError
from nelf.core.settings import OneOf, PlainName, Range, check, setting

READERS = ("planes", "lines", "volume")
COUNT = Range(1, 4096)
CHANNELS = Range(1, 256)


class Mapping(enum.StrEnum):
    """Spacing of the points on a ray."""

    LINEAR = "linear"  # evenly spaced in depth: bounded scenes
    DISPARITY = "disparity"  # evenly spaced in 1 / depth, coordinates contracted with depth: open scenes
    NDC = "ndc"  # normalised device coordinates of a reference camera (NeRF, appendix C), as published for LLFF


@dataclass
class StudentConfig:
    """Settings that all families share."""

    family: str = "hierarchical"
    """Kind of network; the preset sets it."""
    name: str = "m"
    """Name of the preset; recorded, but not used."""
    larger: str | None = setting(None, PlainName())
    """Preset with more of everything, which a run advises where this one is not good enough; null: none."""
    smaller: str | None = setting(None, PlainName())
    """Preset with less of everything, which a run advises on a slow machine; null: none."""

    def __post_init__(self) -> None:
        check(self, "student")

    def mapping_for(self, *, bounded: bool) -> Mapping:
        """The depth spacing to use for a scene."""
        return Mapping.LINEAR if bounded else Mapping.DISPARITY

    @property
    def within_ball(self) -> bool:
        """Whether depths of a bounded scene are only those at which its sphere is."""
        return False

    @property
    def choices(self) -> Table[str, Sequence[int]]:
        """Setting -> values that `nelf fit` tries, the cheapest first. Empty: this family has one size."""
        return {}


@dataclass
class RaysConfig(StudentConfig):
    """What families share that look at points along rays."""

    points_per_ray: int = setting(32, Range(2, 1024))
    """K, points on a coarse ray that the network sees."""
    depth_spacing: str = setting("auto", OneOf(("auto", *(mapping.value for mapping in Mapping))))
    """Spacing of these points: linear, disparity or ndc; auto is linear for bounded scenes, else disparity."""
    clip_to_sphere: bool = True
    """Bounded scenes: place points only within the scene's sphere; false: from scene.near to scene.far."""
    width: int = setting(48, COUNT)
    """Channels of the blocks for coarse rays."""
    blocks: int = setting(2, Range(1, 1024))
    """Residual blocks for coarse rays."""

    def mapping_for(self, *, bounded: bool) -> Mapping:
        """The depth spacing for a scene, with `auto` resolved."""
        return super().mapping_for(bounded=bounded) if self.depth_spacing == "auto" else Mapping(self.depth_spacing)

    @property
    def within_ball(self) -> bool:
        return self.clip_to_sphere


HIERARCHICAL_CHOICES: Table[str, Sequence[int]] = {
    "points_per_ray": (8, 16, 24, 32),
    "width": (16, 24, 32, 48, 64),
    "blocks": (1, 2, 3),
    "coarse_channels": (4, 8),
    "middle_nodes": (24, 36, 48),
    "middle_channels": (4, 8),
    "middle_samples": (1, 3, 5, 7),
    "middle_width": (16, 24, 32, 40, 56, 72),
    "middle_blocks": (1, 2, 3),
    "cell": (2, 1),
    "cell_features": (16, 24, 32, 48),
    "fine_nodes": (64, 96, 128, 192),
    "fine_channels": (4, 8),
    "fine_samples": (1, 2, 3, 5),
    "decoder_width": (16, 24, 32, 48),
    "decoder_blocks": (0, 1, 2, 3),
}


@dataclass
class HierarchicalConfig(RaysConfig):
    """Three levels of rays, coarse to fine, each reading learnt features of space (docs/student.md)."""

    coarse_reader: str = setting("volume", OneOf(READERS))
    """Tables for coarse rays: volume (trilinear), planes (three, bilinear) or lines (product of three)."""
    coarse_nodes: int = setting(32, Range(2, 1024))
    """Nodes along each axis of the tables for coarse rays."""
    coarse_channels: int = setting(4, CHANNELS)
    """Features of each of these tables."""
    middle_reader: str = setting("volume", OneOf(READERS))
    """Tables for middle rays; choose lines for devices that cannot gather from large tables."""
    middle_nodes: int = setting(36, Range(2, 1024))
    """Nodes along each axis of the tables for middle rays."""
    middle_channels: int = setting(8, CHANNELS)
    """Features of each of these tables."""
    middle_samples: int = setting(5, Range(1, 64))
    """Points around its depth at which a middle ray (4x4 pixels) reads its tables."""
    middle_spread: float = setting(0.04, Range(0, 1))
    """Distance of the outermost of these points from that depth, as a share of the range from near to far."""
    middle_width: int = setting(56, COUNT)
    """Channels of the blocks for middle rays."""
    middle_blocks: int = setting(2, Range(1, 1024))
    """Residual blocks for middle rays."""
    cell: int = setting(2, OneOf((1, 2, 4)), unit="pixels")
    """Side of a cell in pixels; each cell has one fine ray."""
    cell_features: int = setting(32, COUNT)
    """Features that the middle level passes to each cell."""
    fine_reader: str = setting("planes", OneOf(READERS))
    """Tables for cells; see coarse_reader."""
    fine_nodes: int = setting(128, Range(2, 4096))
    """Nodes along each axis of the tables for cells."""
    fine_channels: int = setting(8, CHANNELS)
    """Features of each of these tables."""
    fine_samples: int = setting(3, Range(1, 64))
    """Points around its depth at which a cell reads its tables."""
    fine_spread: float = setting(0.012, Range(0, 1))
    """Distance of the outermost of these points from that depth, as a share of the range from near to far."""
    decoder_width: int = setting(32, COUNT)
    """Channels of the decoder, which works on cells."""
    decoder_blocks: int = setting(2, Range(0, 1024))
    """Residual blocks of the decoder."""
    table_bits: int = setting(32, OneOf((4, 32)), unit="bits")
    """Bits of each value of the tables. With 4 they are rounded while they learn, and an int8 file holds 4 of each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth_spacing == Mapping.NDC:
            raise ConfigError("student.depth_spacing=ndc gives no depths, but this student needs them; use auto")

    @property
    def choices(self) -> Table[str, Sequence[int]]:
        return HIERARCHICAL_CHOICES


@dataclass
class MobileR2LConfig(RaysConfig):
    """MobileR2L as published (Cao et al., CVPR 2023)."""

    family: str = "mobiler2l"
    """Kind of network; the preset sets it."""
    name: str = "mobiler2l"
    """Name of the preset; recorded, but not used."""
    points_per_ray: int = setting(8, Range(2, 1024))
    """K, encoded points per ray."""
    clip_to_sphere: bool = False
    """Bounded scenes: place points only within the scene's sphere; false: from scene.near to scene.far."""
    width: int = setting(256, COUNT)
    """Channels of the blocks."""
    blocks: int = setting(29, Range(1, 1024))
    """Residual blocks."""
    num_frequencies: int = setting(6, Range(1, 32))
    """L, octaves of sin and cos per coordinate."""
    upscale_factor: int = setting(8, OneOf((8, 12)), unit="pixels")
    """Side of the square of pixels per ray: 8, or 12 as published for 1008x756."""


STUDENT_CONFIGS: dict[str, type[StudentConfig]] = {"hierarchical": HierarchicalConfig, "mobiler2l": MobileR2LConfig}
"""student.family -> its configuration."""
