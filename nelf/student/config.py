"""What a student is made of. Presets are configs/student/*.yaml; each names its family by the schema it starts from."""

from collections.abc import Iterable
from dataclasses import dataclass

from nelf.errors import ConfigError
from nelf.student.frame import Mapping

READERS = ("planes", "lines", "volume")
SCALES = (8, 12)
"""Image pixels per coarse ray, in each direction, that MobileR2L's transposed convolutions can do."""


@dataclass
class StudentConfig:
    """What all families share."""

    family: str = "hierarchical"
    """Kind of network; set by the preset, not by itself."""
    name: str = "m"
    """Preset that these values come from; recorded, not read."""
    points_per_ray: int = 16
    """K, points on a coarse ray that the network is told of."""
    depth_spacing: str = "auto"
    """Where they lie: linear, disparity or ndc; auto is linear for bounded scenes, else disparity."""
    clip_to_sphere: bool = True
    """Bounded scenes: points only at depths where the scene's sphere is; false: from scene.near to scene.far."""
    width: int = 48
    """Channels of the blocks that work on coarse rays."""
    blocks: int = 3
    """Residual blocks that work on coarse rays."""

    def __post_init__(self) -> None:
        _check_known("student.depth_spacing", self.depth_spacing, ["auto", *(m.value for m in Mapping)])
        self._check_ranges({"points_per_ray": (2, 1024), "width": (1, 4096), "blocks": (1, 1024)})

    def _check_ranges(self, limits: dict[str, tuple[float, float]]) -> None:
        for key, (least, most) in limits.items():
            value = getattr(self, key)
            if not least <= value <= most:
                remedy = f"small; use {least} or more" if value < least else f"large; use {most} or less"
                raise ConfigError(f"student.{key}={value} is too {remedy}")

    def mapping_for(self, *, bounded: bool) -> Mapping:
        """The depth spacing to use for a scene, `auto` resolved."""
        if self.depth_spacing == "auto":
            return Mapping.LINEAR if bounded else Mapping.DISPARITY
        return Mapping(self.depth_spacing)


@dataclass
class HierarchicalConfig(StudentConfig):
    """Three levels of rays, coarse to fine, each reading learnt features of space (docs/student.md)."""

    coarse_reader: str = "volume"
    """What coarse rays read: volume (trilinear), planes (three of them, bilinear) or lines (a product of three)."""
    coarse_nodes: int = 32
    """Nodes along each axis of the tables that coarse rays read."""
    coarse_channels: int = 8
    """Features of each of these tables."""
    middle_reader: str = "planes"
    """What middle rays read; lines for devices that cannot gather from large tables."""
    middle_nodes: int = 128
    """Nodes along each axis of the tables that middle rays read."""
    middle_channels: int = 8
    """Features of each of these tables."""
    middle_samples: int = 5
    """Points around its depth at which a middle ray (4x4 pixels) reads them."""
    middle_spread: float = 0.04
    """How far from that depth the outermost of them lie, as a share of the way from near to far."""
    middle_width: int = 56
    """Channels of the blocks that work on middle rays."""
    middle_blocks: int = 2
    """Residual blocks that work on middle rays."""
    cell: int = 2
    """Pixels of a cell in each direction, for which one fine ray is followed: 1, 2 or 4."""
    cell_features: int = 32
    """Features that the middle level hands on to each cell."""
    fine_reader: str = "planes"
    """What cells read."""
    fine_nodes: int = 128
    """Nodes along each axis of the tables that cells read."""
    fine_channels: int = 8
    """Features of each of these tables."""
    fine_samples: int = 3
    """Points around its depth at which a cell reads them."""
    fine_spread: float = 0.012
    """How far from that depth the outermost of them lie, as a share of the way from near to far."""
    decoder_width: int = 32
    """Channels of the decoder, which works on cells."""
    decoder_blocks: int = 2
    """Residual blocks of the decoder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for level in ("coarse", "middle", "fine"):
            _check_known(f"student.{level}_reader", getattr(self, f"{level}_reader"), READERS)
        if self.cell not in (1, 2, 4):
            raise ConfigError(f"student.cell={self.cell} is not possible; use one of 1, 2, 4")
        nodes, count = (2, 4096), (1, 4096)
        self._check_ranges({f"{level}_nodes": nodes for level in ("coarse", "middle", "fine")})
        self._check_ranges({f"{level}_channels": (1, 256) for level in ("coarse", "middle", "fine")})
        self._check_ranges({"middle_samples": (1, 64), "fine_samples": (1, 64)})
        self._check_ranges({"middle_spread": (0.0, 1.0), "fine_spread": (0.0, 1.0)})
        self._check_ranges({"middle_width": count, "middle_blocks": (1, 1024), "cell_features": count})
        self._check_ranges({"decoder_width": count, "decoder_blocks": (0, 1024)})
        if self.depth_spacing == Mapping.NDC:
            raise ConfigError("student.depth_spacing=ndc has no depths, which this student needs; use auto")


@dataclass
class MobileR2LConfig(StudentConfig):
    """MobileR2L as published (Cao et al., CVPR 2023)."""

    family: str = "mobiler2l"
    """Kind of network; set by the preset, not by itself."""
    name: str = "mobiler2l"
    """Preset that these values come from; recorded, not read."""
    points_per_ray: int = 8
    """K, points on a ray that are encoded."""
    clip_to_sphere: bool = False
    """Bounded scenes: points only at depths where the scene's sphere is; false: from scene.near to scene.far."""
    width: int = 256
    """Channels of the blocks."""
    blocks: int = 29
    """Residual blocks."""
    num_frequencies: int = 6
    """L, octaves of sin and cos for each coordinate."""
    upscale_factor: int = 8
    """Image pixels per ray, in each direction: 8, or 12 as published for 1008x756."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_ranges({"num_frequencies": (1, 32)})
        if self.upscale_factor not in SCALES:
            raise ConfigError(
                f"student.upscale_factor={self.upscale_factor} is not possible; "
                f"use one of {', '.join(map(str, SCALES))}"
            )


def _check_known(key: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise ConfigError(f"{key}={value} is not known; use one of {', '.join(known)}")
