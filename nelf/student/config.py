"""What a student is made of. Presets are configs/student/*.yaml; each names its family by the schema it starts from.

Without torch, so that a wrong value is refused at once.
"""

import enum
from dataclasses import dataclass

from nelf.core.errors import ConfigError
from nelf.core.settings import OneOf, PlainName, Range, check, setting

READERS = ("planes", "lines", "volume")
COUNT = Range(1, 4096)
CHANNELS = Range(1, 256)


class Mapping(enum.StrEnum):
    """Where the points of a ray lie."""

    LINEAR = "linear"  # evenly spaced in depth: bounded scenes
    DISPARITY = "disparity"  # evenly spaced in 1 / depth, coordinates shrunk with depth: open scenes
    NDC = "ndc"  # normalised device coordinates of a reference camera (NeRF, appendix C): as published for LLFF


@dataclass
class StudentConfig:
    """What all families share."""

    family: str = "hierarchical"
    """Kind of network; set by the preset, not by itself."""
    name: str = "m"
    """Preset that these values come from; recorded, not read."""
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


@dataclass
class RaysConfig(StudentConfig):
    """What families share that look at points along rays."""

    points_per_ray: int = setting(32, Range(2, 1024))
    """K, points on a coarse ray that the network is told of."""
    depth_spacing: str = setting("auto", OneOf(("auto", *(mapping.value for mapping in Mapping))))
    """Where they lie: linear, disparity or ndc; auto is linear for bounded scenes, else disparity."""
    clip_to_sphere: bool = True
    """Bounded scenes: points only at depths where the scene's sphere is; false: from scene.near to scene.far."""
    width: int = setting(48, COUNT)
    """Channels of the blocks that work on coarse rays."""
    blocks: int = setting(2, Range(1, 1024))
    """Residual blocks that work on coarse rays."""

    def mapping_for(self, *, bounded: bool) -> Mapping:
        """The depth spacing to use for a scene, `auto` resolved."""
        return super().mapping_for(bounded=bounded) if self.depth_spacing == "auto" else Mapping(self.depth_spacing)

    @property
    def within_ball(self) -> bool:
        return self.clip_to_sphere


@dataclass
class HierarchicalConfig(RaysConfig):
    """Three levels of rays, coarse to fine, each reading learnt features of space (docs/student.md)."""

    coarse_reader: str = setting("volume", OneOf(READERS))
    """What coarse rays read: volume (trilinear), planes (three of them, bilinear) or lines (a product of three)."""
    coarse_nodes: int = setting(32, Range(2, 1024))
    """Nodes along each axis of the tables that coarse rays read."""
    coarse_channels: int = setting(4, CHANNELS)
    """Features of each of these tables."""
    middle_reader: str = setting("volume", OneOf(READERS))
    """What middle rays read; lines for devices that cannot gather from large tables."""
    middle_nodes: int = setting(36, Range(2, 1024))
    """Nodes along each axis of the tables that middle rays read."""
    middle_channels: int = setting(8, CHANNELS)
    """Features of each of these tables."""
    middle_samples: int = setting(5, Range(1, 64))
    """Points around its depth at which a middle ray (4x4 pixels) reads them."""
    middle_spread: float = setting(0.04, Range(0, 1))
    """How far from that depth the outermost of them lie, as a share of the way from near to far."""
    middle_width: int = setting(56, COUNT)
    """Channels of the blocks that work on middle rays."""
    middle_blocks: int = setting(2, Range(1, 1024))
    """Residual blocks that work on middle rays."""
    cell: int = setting(2, OneOf((1, 2, 4)), unit="pixels")
    """Side of a cell, for which one fine ray is followed."""
    cell_features: int = setting(32, COUNT)
    """Features that the middle level hands on to each cell."""
    fine_reader: str = setting("planes", OneOf(READERS))
    """What cells read."""
    fine_nodes: int = setting(128, Range(2, 4096))
    """Nodes along each axis of the tables that cells read."""
    fine_channels: int = setting(8, CHANNELS)
    """Features of each of these tables."""
    fine_samples: int = setting(3, Range(1, 64))
    """Points around its depth at which a cell reads them."""
    fine_spread: float = setting(0.012, Range(0, 1))
    """How far from that depth the outermost of them lie, as a share of the way from near to far."""
    decoder_width: int = setting(32, COUNT)
    """Channels of the decoder, which works on cells."""
    decoder_blocks: int = setting(2, Range(0, 1024))
    """Residual blocks of the decoder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth_spacing == Mapping.NDC:
            raise ConfigError("student.depth_spacing=ndc has no depths, which this student needs; use auto")


@dataclass
class MobileR2LConfig(RaysConfig):
    """MobileR2L as published (Cao et al., CVPR 2023)."""

    family: str = "mobiler2l"
    """Kind of network; set by the preset, not by itself."""
    name: str = "mobiler2l"
    """Preset that these values come from; recorded, not read."""
    points_per_ray: int = setting(8, Range(2, 1024))
    """K, points on a ray that are encoded."""
    clip_to_sphere: bool = False
    """Bounded scenes: points only at depths where the scene's sphere is; false: from scene.near to scene.far."""
    width: int = setting(256, COUNT)
    """Channels of the blocks."""
    blocks: int = setting(29, Range(1, 1024))
    """Residual blocks."""
    num_frequencies: int = setting(6, Range(1, 32))
    """L, octaves of sin and cos for each coordinate."""
    upscale_factor: int = setting(8, OneOf((8, 12)), unit="pixels")
    """Side of the square of pixels that one ray stands for: 8, or 12 as published for 1008x756."""
