"""What a teacher is made of and how it is trained. Choices are configs/teacher/*.yaml."""

from dataclasses import dataclass

from nelf.errors import ConfigError


@dataclass
class TeacherConfig:
    """What all teachers share: how they are trained."""

    name: str = "hashgrid"
    """hashgrid, or vanilla (NeRF's MLP, slow, the readable reference)."""
    minutes: float | None = 10.0
    """Training time; null to train for `iterations`."""
    iterations: int | None = None
    """Training steps, where minutes is null; with both, whichever ends first."""
    batch: int = 16384
    """Samples a training step; the number of rays follows from how many samples a ray needs."""
    max_rays: int = 16384
    """Rays a training step at most."""
    lr: float = 1e-2
    """Learning rate at the start; it falls to a hundredth along a cosine."""
    seed: int = 0
    """Of the initial weights and of the rays drawn."""
    checkpoint_seconds: float = 60.0
    """Seconds between checkpoints."""

    def __post_init__(self) -> None:
        if self.minutes is None and self.iterations is None:
            raise ConfigError("teacher.minutes and teacher.iterations are both null; set one of them")
        for key in ("batch", "max_rays", "lr", "checkpoint_seconds"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"teacher.{key}={getattr(self, key)} must be positive")


@dataclass
class HashGridConfig(TeacherConfig):
    """Hash-grid NeRF (Müller et al. 2022)."""

    levels: int = 8
    """Levels of the hash grid; each gives 4 features."""
    log2_entries: int = 17
    """Binary logarithm of the entries of a level's table."""
    coarsest: int = 16
    """Cells across the unit cube at the coarsest level."""
    finest: int = 256
    """Cells across the unit cube at the finest level."""
    width: int = 64
    """Channels of the two small networks."""
    occupancy: int = 128
    """Cells across the occupancy grid."""
    steps: int = 256
    """Samples over the depth range, before empty space is skipped."""
    samples: int | None = None
    """Samples a ray, drawn where the occupancy grid's densities say that it ends; null asks all occupied cells."""
    opacity_threshold: float = 0.01
    """A cell is empty when one step through it is thinner than this."""

    def __post_init__(self) -> None:
        super().__post_init__()
        limits = {"levels": 32, "log2_entries": 26, "coarsest": 2**12, "finest": 2**16, "width": 4096, "occupancy": 512}
        _check_limits(self, {**limits, "steps": 2**16})
        if self.samples is not None and self.samples < 2:
            raise ConfigError(f"teacher.samples={self.samples} is too small; use 2 or more, or null")


@dataclass
class VanillaConfig(TeacherConfig):
    """NeRF as published (Mildenhall et al. 2020): one MLP over positional encoding, uniform and importance samples."""

    name: str = "vanilla"
    """vanilla."""
    lr: float = 5e-4
    """Learning rate at the start."""
    max_rays: int = 1024
    """Rays a training step."""
    depth: int = 8
    """Layers of the density network."""
    width: int = 256
    """Channels of the density network."""
    coarse: int = 64
    """Stratified samples a ray."""
    fine: int = 128
    """Samples a ray drawn where the coarse ones found something."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_limits(self, {"depth": 64, "width": 4096, "coarse": 4096, "fine": 4096})


def _check_limits(config: TeacherConfig, largest: dict[str, int]) -> None:
    for key, most in largest.items():
        if not 1 <= getattr(config, key) <= most:
            raise ConfigError(f"teacher.{key}={getattr(config, key)} is out of range; use 1 to {most}")
