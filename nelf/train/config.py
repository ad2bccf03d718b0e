"""How a student is trained: settings, budgets and learning rates. Recipes are configs/train/*.yaml."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from nelf.core.errors import ConfigError
from nelf.core.settings import MOST_MINUTES, MOST_SEED, OneOf, Positive, Range, check, setting

COOLDOWN = 0.25  # final share of the budget in which a trapezoid falls


@dataclass(frozen=True)
class Budget:
    """Steps, minutes of wall time, or both: then the first to run out ends the stage."""

    max_steps: int | None
    max_minutes: float | None

    def fraction(self, step: int, seconds: float) -> float:
        """Share used after `step` steps and `seconds` seconds; at 1 and above nothing is left."""
        by_steps = step / self.max_steps if self.max_steps is not None else 0.0
        by_time = seconds / (60 * self.max_minutes) if self.max_minutes is not None else 0.0
        return max(by_steps, by_time)

    @property
    def total(self) -> tuple[float, str]:
        """Size and unit of the whole budget, for the progress line."""
        if self.max_steps is not None:
            return float(self.max_steps), "steps"
        assert self.max_minutes is not None
        return self.max_minutes, "min"


@dataclass(frozen=True)
class LearningRate:
    """Linear warm-up from `warmup_from` to `peak` over `warmup_steps`, then the named decay."""

    name: str
    peak: float
    warmup_from: float
    warmup_steps: int
    decay_steps: int

    def at(self, step: int, fraction: float) -> float:
        """Rate at `step` (from 0), after `fraction` of the budget."""
        if step < self.warmup_steps:
            return self.warmup_from + (self.peak - self.warmup_from) * step / self.warmup_steps
        return self.peak * SCHEDULES[self.name](step, min(fraction, 1.0), self.decay_steps)


def _constant(step: int, fraction: float, decay_steps: int) -> float:
    return 1.0


def _cosine(step: int, fraction: float, decay_steps: int) -> float:
    return (1 + math.cos(math.pi * fraction)) / 2


def _trapezoid(step: int, fraction: float, decay_steps: int) -> float:
    return min(1.0, (1 - fraction) / COOLDOWN)


def _exponential(step: int, fraction: float, decay_steps: int) -> float:
    return float(0.1 ** (step / decay_steps))


SCHEDULES: dict[str, Callable[[int, float, int], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "exponential": _exponential,
    "trapezoid": _trapezoid,
}
"""name -> (step, fraction of the budget, steps per tenfold decay) -> factor on the peak rate.

cosine: to zero at the end of the budget, by steps or wall time. trapezoid: at the peak, then along a line to zero in
the last `COOLDOWN` of the budget (Hägele et al. 2024). exponential: a tenth every `decay_steps`.
"""


OPTIMIZERS = ("adamw", "adam", "sgd", "muon")
LOSSES = ("mse", "l1", "charbonnier")
MOST_STEPS = 10**9


@dataclass
class FinetuneConfig:
    """Stage 2: continue on the real training views; as long as the validation views improve, if there are any."""

    enabled: bool = True
    """Whether to run stage 2."""
    max_steps: int | None = setting(300, Range(1, MOST_STEPS))
    """Most steps of stage 2; null: no limit by steps."""
    max_minutes: float | None = setting(None, Positive(MOST_MINUTES), unit="minutes")
    """Most minutes of stage 2; null: no limit by time."""
    lr: float = setting(2e-4, Positive(100))
    """Learning rate at the start of stage 2; falls to zero along a cosine."""
    warmup_steps: int = setting(20, Range(0, MOST_STEPS))
    """Steps in which the rate rises from zero to lr."""
    val_every: int = setting(50, Range(1, MOST_STEPS))
    """Steps between validations."""
    patience: int = setting(6, Range(1, 1_000_000))
    """Validations without improvement that end stage 2."""
    pseudo_fraction: float = setting(
        0.5, Range(0, 1, open_end=True), advice="for pseudo views only, set train.finetune.enabled=false"
    )
    """Share of pseudo views in a batch, against overfitting to few real views."""

    def __post_init__(self) -> None:
        check(self, "train.finetune")
        _check_budget("train.finetune", self.max_steps, self.max_minutes)

    @property
    def budget(self) -> Budget:
        """When stage 2 ends at the latest."""
        return Budget(self.max_steps, self.max_minutes)

    @property
    def rate(self) -> LearningRate:
        """The learning rate of stage 2."""
        return LearningRate("cosine", self.lr, 0.0, self.warmup_steps, 1)


@dataclass
class TrainConfig:
    """Stage 1: learn from the pseudo views. Batch, loss and optimizer hold for stage 2 too."""

    max_steps: int | None = setting(6000, Range(1, MOST_STEPS))
    """Most steps of stage 1, by default the preset's; null: no limit by steps."""
    max_minutes: float | None = setting(None, Positive(MOST_MINUTES), unit="minutes")
    """Most minutes of stage 1, wall time; null: no limit by time. With steps too, the first limit ends it."""
    batch_size: int = setting(4, Range(1, 65536))
    """Whole views per step, on each device."""
    optimizer: str = setting("muon", OneOf(OPTIMIZERS))
    """muon (for convolutions; adamw for the rest), adamw, adam or sgd."""
    lr: float = setting(3e-3, Positive(100))
    """Highest learning rate."""
    weight_decay: float = setting(1e-2, Range(0, 100))
    """Weight decay of the optimizer."""
    schedule: str = setting("trapezoid", OneOf(SCHEDULES))
    """Learning rate after the warm-up: constant, cosine or trapezoid (to zero at the end of the budget) or
    exponential."""
    warmup_steps: int = setting(100, Range(0, MOST_STEPS))
    """Steps in which the rate rises linearly to lr."""
    warmup_lr: float = setting(0.0, Range(0, 100))
    """Rate at the first step of the warm-up."""
    decay_steps: int = setting(500_000, Range(1, MOST_STEPS))
    """Steps in which the exponential schedule falls by ten."""
    loss: str = setting("mse", OneOf(LOSSES))
    """mse, l1 or charbonnier; for RGBA the mean over a white and a black background."""
    depth_loss_weight: float = setting(2.0, Range(0, 1_000_000))
    """Weight of the depth error (fraction of near to far) next to the colour error, for views with depth."""
    jitter_points: bool = False
    """Move the points of each ray randomly inside their bins (MobileR2L)."""
    ema_decay: float = setting(0.999, Range(0, 1, open_end=True), advice="0 turns it off")
    """Decay of the moving average of the weights, which is what nelf keeps; 0 keeps the weights themselves."""
    grad_clip: float = setting(0.0, Range(0, 1_000_000))
    """Largest norm of the gradient; 0 does not clip."""
    checkpoint_seconds: float = setting(120.0, Positive(86_400), unit="seconds")
    """Seconds between checkpoints."""
    log_every: int = setting(50, Range(1, MOST_STEPS))
    """Steps between TensorBoard scalars."""
    val_every: int = setting(500, Range(1, MOST_STEPS))
    """Steps between validations."""
    val_views: int = setting(16, Range(0, 1_000_000))
    """Validation views to use, evenly spread; 0: all of them."""
    image_every: int = setting(2000, Range(1, MOST_STEPS))
    """Steps between TensorBoard images; they come with the next validation."""
    seed: int = setting(0, Range(0, MOST_SEED))
    """Seed of the order of the views and of the jitter."""
    cache_gb: float = setting(4.0, Range(0, 10_000), unit="GB")
    """Memory for decoded views, GB (8 bits per channel); other views are decoded again each time."""
    channels_last: bool = True
    """Memory layout of the network's tensors; changes only the speed."""
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    """Stage 2."""

    def __post_init__(self) -> None:
        check(self, "train")
        _check_budget("train", self.max_steps, self.max_minutes)
        if self.warmup_lr > self.lr:
            raise ConfigError(f"train.warmup_lr={self.warmup_lr} must be at most train.lr={self.lr}")

    @property
    def budget(self) -> Budget:
        """When stage 1 ends."""
        return Budget(self.max_steps, self.max_minutes)

    @property
    def rate(self) -> LearningRate:
        """The learning rate of stage 1."""
        return LearningRate(self.schedule, self.lr, self.warmup_lr, self.warmup_steps, self.decay_steps)


def _check_budget(prefix: str, steps: int | None, minutes: float | None) -> None:
    if steps is None and minutes is None:
        raise ConfigError(
            f"{prefix}.max_steps and {prefix}.max_minutes are both null; set one of them, e.g. {prefix}.max_minutes=10"
        )
