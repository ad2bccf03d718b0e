"""Duration and learning rate of a stage, by steps or by wall time."""

import math
from collections.abc import Callable
from dataclasses import dataclass

COOLDOWN = 0.25  # final share of the budget in which a trapezoid falls


@dataclass(frozen=True)
class Budget:
    """Steps, minutes of wall time, or both: then the first to run out ends the stage."""

    steps: int | None
    minutes: float | None

    def fraction(self, step: int, seconds: float) -> float:
        """Share used after `step` steps and `seconds` seconds; at 1 and above nothing is left."""
        by_steps = step / self.steps if self.steps is not None else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes is not None else 0.0
        return max(by_steps, by_time)

    @property
    def total(self) -> tuple[float, str]:
        """Size and unit of the whole budget, for the progress line."""
        if self.steps is not None:
            return float(self.steps), "steps"
        assert self.minutes is not None
        return self.minutes, "min"


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

cosine reaches zero at the end of the budget (steps or wall time). trapezoid stays at the peak and falls linearly to 0
in the last `COOLDOWN` of it (Hägele et al. 2024). exponential falls by ten every `decay_steps`.
"""
