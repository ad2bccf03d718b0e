"""Settings of teachers and their training. The choices are configs/teacher/*.yaml."""

from dataclasses import dataclass

from nelf.core.errors import ConfigError
from nelf.core.settings import MOST_MINUTES, MOST_SEED, Positive, Range, check, setting


@dataclass
class TeacherConfig:
    """Settings that all teachers share."""

    name: str = "instant_ngp"
    """instant_ngp, or nerf (an MLP: slow, the readable reference)."""
    max_minutes: float | None = setting(10.0, Positive(MOST_MINUTES), unit="minutes")
    """Training time; null trains for `max_steps`."""
    max_steps: int | None = setting(None, Range(1, 10**9))
    """Training steps. With minutes set too, whichever ends first."""
    samples_per_step: int = setting(16384, Range(1, 2**26))
    """Samples per training step; the number of rays follows from the samples that a ray needs."""
    max_rays_per_step: int = setting(16384, Range(1, 2**24))
    """Most rays per training step."""
    lr: float = setting(1e-2, Positive(10))
    """Learning rate at the start; it falls to a hundredth along a cosine."""
    seed: int = setting(0, Range(0, MOST_SEED))
    """Seed of the initial weights and of the rays drawn."""
    checkpoint_seconds: float = setting(60.0, Positive(86_400), unit="seconds")
    """Seconds between checkpoints."""

    def __post_init__(self) -> None:
        check(self, "teacher")
        if self.max_minutes is None and self.max_steps is None:
            raise ConfigError("teacher.max_minutes and teacher.max_steps are both null; set one of them")


@dataclass
class InstantNGPConfig(TeacherConfig):
    """Hash-grid NeRF (Müller et al. 2022)."""

    num_levels: int = setting(8, Range(1, 32))
    """Levels of the hash grid, with 4 features each."""
    log2_hashmap_size: int = setting(17, Range(1, 26))
    """Binary logarithm of the entries per level's table."""
    base_resolution: int = setting(16, Range(1, 2**12))
    """Cells across the unit cube at the coarsest level."""
    max_resolution: int = setting(256, Range(1, 2**16))
    """Cells across the unit cube at the finest level."""
    feature_decay: float = setting(0.0, Range(0, 1))
    """Weight decay of the hash grid's features, added to their gradient before Adam. It fades what few photos saw and
    what would otherwise float in front of the cameras of new views."""
    width: int = setting(64, Range(1, 4096))
    """Channels of the two small networks."""
    deferred_color: bool = False
    """Blend features along the ray and ask the colour network once a ray, not once a sample (Hedman et al. 2021)."""
    occupancy_resolution: int = setting(128, Range(1, 512))
    """Cells across the occupancy grid."""
    march_steps: int = setting(256, Range(1, 2**16))
    """Samples over the depth range, before empty space is skipped."""
    importance_samples: int | None = setting(None, Range(2, 2**16))
    """Samples per ray, drawn where the occupancy grid expects the ray to end; null samples all occupied cells."""
    render_samples: int | None = setting(None, Range(2, 2**16))
    """The same in renders; null takes as many as in training."""
    opacity_threshold: float = setting(0.01, Range(0, 1, open_start=True, open_end=True))
    """A cell is empty if one step through it has less opacity than this."""


@dataclass
class NeRFConfig(TeacherConfig):
    """NeRF as published (Mildenhall et al. 2020): one MLP over positional encoding, uniform and importance samples."""

    name: str = "nerf"
    """nerf."""
    lr: float = setting(5e-4, Positive(10))
    """Learning rate at the start."""
    max_rays_per_step: int = setting(1024, Range(1, 2**24))
    """Rays per training step."""
    depth: int = setting(8, Range(1, 64))
    """Layers of the density network."""
    width: int = setting(256, Range(1, 4096))
    """Channels of the density network."""
    coarse_samples: int = setting(64, Range(1, 4096))
    """Stratified samples per ray."""
    fine_samples: int = setting(128, Range(1, 4096))
    """Importance samples per ray, drawn where the coarse ones found something."""


TEACHER_CONFIGS: dict[str, type[TeacherConfig]] = {"instant_ngp": InstantNGPConfig, "nerf": NeRFConfig}
"""name -> its configuration."""
