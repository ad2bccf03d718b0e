"""One stage of training: steps until its budget is used up, with logs, validation and checkpoints on the way."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nelf.devices import agree
from nelf.progress import ProgressLine, Stop
from nelf.train.config import TrainConfig
from nelf.train.feed import Batch, CachedViews, Feed
from nelf.train.journal import Journal
from nelf.train.learner import Learner
from nelf.train.losses import psnr
from nelf.train.schedule import Budget, LearningRate
from nelf.train.validate import validate


@dataclass
class Course:
    """How far training has come. Plain values: they go into the checkpoint as they are."""

    stage: int = 1
    """1: pseudo views, 2: fine-tuning on real views."""
    step: int = 0
    """Steps done in this stage."""
    seconds: float = 0.0
    """Wall time spent in this stage, over all runs."""
    steps_before: int = 0
    """Steps of the stages before."""
    seconds_before: float = 0.0
    """Seconds of the stages before."""
    finished: bool = False
    """Whether this stage has ended."""
    best_psnr: float | None = None
    """Stage 2: best on the validation views so far."""
    waited: int = 0
    """Stage 2: looks at the validation views since then."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry a look at the validation views; train_psnr: of the last batch that was logged, None before one."""

    @property
    def total_steps(self) -> int:
        return self.steps_before + self.step


@dataclass(frozen=True)
class Stage:
    """What makes one stage differ from the other. patience: looks without improvement that end it; None: never."""

    label: str
    feed: Feed
    budget: Budget
    rate: LearningRate
    val_every: int
    patience: int | None = None


class StageRunner:
    """Runs a stage from wherever `course` stands. `save` writes a checkpoint."""

    def __init__(
        self,
        learner: Learner,
        course: Course,
        val: CachedViews,
        config: TrainConfig,
        journal: Journal,
        save: Callable[[], None],
        stop: Stop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.learner, self.course, self.val, self.config = learner, course, val, config
        self.journal, self.save, self.stop, self.clock = journal, save, stop, clock
        self.fabric = learner.fabric
        self.best: dict[str, Tensor] | None = None
        self._val_psnr: float | None = None
        self._train_psnr: float | None = None
        self._speed = 0.0
        self._loss = float("nan")
        self._logged = (0, 0.0)
        self._pictured: int | None = None

    def run(self, stage: Stage) -> bool:
        """Train until the stage is over (True) or a stop is asked for (False). Either way a checkpoint is written."""
        course = self.course
        if course.finished:
            return True
        began = self.clock() - course.seconds
        saved = self.clock()
        self._logged = (course.step, course.seconds)
        if stage.patience is not None and self.best is None:
            self.look(stage)  # what has to be improved on
        total, unit = stage.budget.total
        fraction = stage.budget.fraction(course.step, course.seconds)
        shown = self.fabric.is_global_zero
        with ProgressLine(stage.label, total, unit, start=fraction * total, shown=shown) as line:
            stopping = False
            while True:
                if course.step % self.learner.readings.every == 0:
                    course.seconds, stopping = agree(self.fabric, self.clock() - began, self.stop)
                fraction = stage.budget.fraction(course.step, course.seconds)
                line.update(min(fraction, 1.0) * total, self._figure(), f"{self._speed:.3g} views/s")
                if stopping or fraction >= 1 or self._patience_is_over(stage):
                    break
                if self.clock() - saved >= self.config.checkpoint_every:
                    self.save()
                    saved = self.clock()
                self._step(stage, stage.feed.get(course.step), stage.rate.at(course.step, fraction))
            if not stopping:
                if not course.history or course.history[-1]["step"] != course.total_steps:
                    self.look(stage)
                course.seconds = self.clock() - began
                course.finished = True
        self.save()
        return not stopping

    def look(self, stage: Stage) -> None:
        """Validate the averaged weights; in a stage with patience, keep the best."""
        if len(self.val) == 0:
            return
        course = self.course
        average = self.learner.average.model()
        value, picture = validate(average, self.val, self.config.batch)
        value = self.fabric.broadcast(value)
        step = course.total_steps
        entry = {"stage": course.stage, "step": step, "seconds": round(course.seconds_before + course.seconds, 3)}
        course.history.append({**entry, "val_psnr": value, "train_psnr": self._train_psnr})
        self._val_psnr = value
        self.journal.scalars(step, val_psnr=value)
        if self._pictured is None or step - self._pictured >= self.config.image_every:
            self.journal.image(step, "val: prediction, truth", picture)
            self._pictured = step
        self.journal.history(course.history)
        if stage.patience is not None:
            if course.best_psnr is None or value > course.best_psnr:
                course.best_psnr, course.waited = value, 0
                self.best = {k: v.detach().clone() for k, v in average.state_dict().items()}
            else:
                course.waited += 1

    def _step(self, stage: Stage, batch: Batch, rate: float) -> None:
        course = self.course
        result = self.learner.step(batch, rate, key=(self.config.seed, course.stage, course.step))
        course.step += 1
        if result is not None and course.step % self.config.log_every == 0:
            self._log(*result, rate)
        if course.step % stage.val_every == 0:
            self.look(stage)

    def _log(self, loss: Tensor, predicted: Tensor, truth: Tensor, rate: float) -> None:
        course = self.course
        mean = torch.stack([loss, psnr(predicted, truth).mean()])
        total, value = self.fabric.all_reduce(mean).tolist() if self.fabric.world_size > 1 else mean.tolist()
        steps, seconds = course.step - self._logged[0], course.seconds - self._logged[1]
        speed = steps * predicted.shape[0] * self.fabric.world_size / seconds if seconds > 0 else 0.0
        self._logged = (course.step, course.seconds)
        self._train_psnr, self._speed = value, speed
        rate *= self.learner.guard.rate_factor
        self.journal.scalars(
            course.total_steps, loss=total, train_psnr=value, learning_rate=rate, views_per_second=speed
        )

    def _figure(self) -> str:
        """How good the student is, for the progress line."""
        if self._val_psnr is not None:
            return f"validation PSNR {self._val_psnr:.1f} dB"
        if self._train_psnr is None:
            return ""
        return f"PSNR {self._train_psnr:.1f} dB on {'pseudo views' if self.course.stage == 1 else 'its batch'}"

    def _patience_is_over(self, stage: Stage) -> bool:
        return stage.patience is not None and self.course.waited >= stage.patience
