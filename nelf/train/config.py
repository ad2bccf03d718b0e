"""How a student is trained. Recipes are configs/train/*.yaml."""

from dataclasses import dataclass, field

from nelf.errors import ConfigError
from nelf.train.losses import LOSSES
from nelf.train.optimizers import OPTIMIZERS
from nelf.train.schedule import SCHEDULES, Budget, LearningRate


@dataclass
class FinetuneConfig:
    """Stage 2: go on with the real training views, as long as the validation views get better."""

    enabled: bool = True
    """Whether there is a stage 2."""
    steps: int | None = 300
    """Most steps of stage 2; null: no limit by steps."""
    minutes: float | None = None
    """Most minutes of stage 2; null: no limit by time."""
    lr: float = 2e-4
    """Learning rate at its start; falls to zero along a cosine."""
    warmup_steps: int = 20
    """Steps in which the rate rises from zero to lr."""
    val_every: int = 50
    """Steps between looks at the validation views."""
    patience: int = 6
    """Looks without improvement after which stage 2 ends."""
    pseudo_fraction: float = 0.5
    """Share of pseudo views in a batch: against overfitting to few real views."""

    def __post_init__(self) -> None:
        _check_budget("train.finetune", self.steps, self.minutes)
        _check_least("train.finetune", self, {"val_every": 1, "patience": 1, "warmup_steps": 0})
        _check_positive("train.finetune", self, "lr")
        if not 0 <= self.pseudo_fraction < 1:
            raise ConfigError(
                f"train.finetune.pseudo_fraction={self.pseudo_fraction} must be at least 0 and below 1; "
                "for pseudo views only, set train.finetune.enabled=false"
            )

    @property
    def budget(self) -> Budget:
        return Budget(self.steps, self.minutes)

    @property
    def rate(self) -> LearningRate:
        return LearningRate("cosine", self.lr, 0.0, self.warmup_steps, 1)


@dataclass
class TrainConfig:
    """Stage 1: learn from the pseudo views. What is said for batch, loss and optimizer holds for stage 2, too."""

    steps: int | None = 6000
    """Most steps of stage 1, the preset's by default; null: no limit by steps."""
    minutes: float | None = None
    """Most minutes of stage 1, wall time; null: no limit by time. With steps too, the first to run out ends it."""
    batch: int = 8
    """Whole views a step, on each device."""
    optimizer: str = "muon"
    """muon (for the convolutions; adamw for the rest), adamw, adam or sgd."""
    lr: float = 3e-3
    """Highest learning rate."""
    weight_decay: float = 1e-2
    """Weight decay of the optimizer."""
    schedule: str = "trapezoid"
    """Learning rate after the warm-up: constant, cosine or trapezoid (to zero at the end of the budget) or
    exponential."""
    warmup_steps: int = 100
    """Steps in which the rate rises linearly to lr."""
    warmup_lr: float = 0.0
    """Rate at the first step of the warm-up."""
    decay_steps: int = 500_000
    """Steps in which the exponential schedule falls by ten."""
    loss: str = "mse"
    """mse, l1 or charbonnier; of RGBA the mean over a white and a black background."""
    depth_loss_weight: float = 2.0
    """Weight of the error of the depth (fraction of near to far) next to that of the colours, for views with depth."""
    jitter: bool = False
    """Move the points of each ray at random inside their bins (MobileR2L)."""
    ema: float = 0.999
    """Decay of the moving average of the weights, which is what is kept; 0 keeps the weights themselves."""
    grad_clip: float = 0.0
    """Largest norm of the gradient; 0 does not clip."""
    checkpoint_every: float = 120.0
    """Seconds between checkpoints."""
    log_every: int = 50
    """Steps between TensorBoard scalars."""
    val_every: int = 500
    """Steps between looks at the validation views."""
    val_views: int = 16
    """Validation views looked at, evenly spread over all that there are; 0: all of them."""
    image_every: int = 2000
    """Steps between TensorBoard images; they come with the next look at the validation views."""
    seed: int = 0
    """Seed of the order of the views and of the jitter."""
    cache_gb: float = 4.0
    """Memory for decoded views, GB (8 bit a channel); views beyond it are decoded again each time."""
    channels_last: bool = True
    """Memory layout of the network's tensors; changes the speed only."""
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    """Stage 2."""

    def __post_init__(self) -> None:
        _check_budget("train", self.steps, self.minutes)
        for key, known in {"optimizer": [*OPTIMIZERS], "schedule": [*SCHEDULES], "loss": [*LOSSES]}.items():
            if getattr(self, key) not in known:
                raise ConfigError(f"train.{key}={getattr(self, key)} is not known; use one of {', '.join(known)}")
        least = {"batch": 1, "warmup_steps": 0, "decay_steps": 1, "log_every": 1, "val_every": 1, "image_every": 1}
        _check_least("train", self, least)
        none = {"seed": 0, "val_views": 0, "weight_decay": 0, "grad_clip": 0, "cache_gb": 0, "depth_loss_weight": 0}
        _check_least("train", self, none)
        _check_positive("train", self, "lr")
        _check_positive("train", self, "checkpoint_every")
        if not 0 <= self.warmup_lr <= self.lr:
            raise ConfigError(f"train.warmup_lr={self.warmup_lr} must lie between 0 and train.lr={self.lr}")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"train.ema={self.ema} must be at least 0 and below 1, e.g. 0.999; 0 turns it off")

    @property
    def budget(self) -> Budget:
        return Budget(self.steps, self.minutes)

    @property
    def rate(self) -> LearningRate:
        return LearningRate(self.schedule, self.lr, self.warmup_lr, self.warmup_steps, self.decay_steps)


def _check_budget(prefix: str, steps: int | None, minutes: float | None) -> None:
    if steps is None and minutes is None:
        raise ConfigError(
            f"{prefix}.steps and {prefix}.minutes are both null; set one of them, e.g. {prefix}.minutes=10"
        )
    for key, value in (("steps", steps), ("minutes", minutes)):
        if value is not None and value <= 0:
            raise ConfigError(f"{prefix}.{key}={value} must be above 0, or null for no limit by {key}")


def _check_least(prefix: str, config: object, least: dict[str, int]) -> None:
    for key, bound in least.items():
        if getattr(config, key) < bound:
            raise ConfigError(f"{prefix}.{key}={getattr(config, key)} is too small; use {bound} or more")


def _check_positive(prefix: str, config: object, key: str) -> None:
    if getattr(config, key) <= 0:
        raise ConfigError(f"{prefix}.{key}={getattr(config, key)} must be above 0")
