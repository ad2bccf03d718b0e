"""Train a student: stage 1 on pseudo views, stage 2 on real training views, with validation."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor

from nelf.core.checkpoints import CheckpointFolder
from nelf.core.devices import agree_on_step, sync
from nelf.core.errors import CheckpointError, Interrupted, SceneError, one_line
from nelf.core.progress import ProgressLine, Stop
from nelf.scene import Views
from nelf.student import Student, check_same_architecture
from nelf.train.batches import Batch, BatchLoader, CachedViews, MemoryBudget, Source
from nelf.train.config import Budget, LearningRate, TrainConfig
from nelf.train.log import TrainingLog
from nelf.train.losses import over_white, premultiplied, psnr
from nelf.train.trainer import StudentTrainer


@torch.no_grad()
def validate(model: Student, views: CachedViews, batch: int) -> tuple[float, Float[Tensor, "3 h w2"]]:
    """Mean PSNR of all views in dB (RGBA on white), and the first view: prediction left, truth right."""
    device = next(model.parameters()).device
    values: list[Tensor] = []
    picture: Tensor | None = None
    for start in range(0, len(views), batch):
        part = views.batch(range(start, min(start + batch, len(views))))
        predicted = model(part.c2w.to(device), part.intrinsics.to(device))
        truth = premultiplied(part.images.to(device))
        values.append(psnr(predicted, truth))
        if picture is None:
            picture = torch.cat([over_white(predicted[:1]), over_white(truth[:1])], dim=3)[0].clamp(0, 1).cpu()
    assert picture is not None, "no views to validate on"
    return float(torch.cat(values).cpu().double().mean()), picture


@dataclass
class TrainingState:
    """Progress of training, as plain values, which go into the checkpoint."""

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
    """Stage 2: best validation PSNR so far."""
    waited: int = 0
    """Stage 2: validations since then."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry per validation; train_psnr: of the last logged batch, None before the first."""

    @property
    def total_steps(self) -> int:
        """Steps done in all stages so far."""
        return self.steps_before + self.step


@dataclass(frozen=True)
class Stage:
    """How one stage differs from the other. patience: validations without improvement that end it; None: never."""

    label: str
    feed: BatchLoader
    budget: Budget
    rate: LearningRate
    val_every: int
    patience: int | None = None


class PhaseRunner:
    """Runs a phase from the state in `course`."""

    def __init__(
        self,
        learner: StudentTrainer,
        course: TrainingState,
        val: CachedViews,
        config: TrainConfig,
        journal: TrainingLog,
        checkpoints: CheckpointFolder,
        stop: Stop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.learner, self.course, self.val, self.config = learner, course, val, config
        self.journal, self.checkpoints, self.stop, self.clock = journal, checkpoints, stop, clock
        self.fabric = learner.fabric
        self.best: dict[str, Tensor] | None = None
        self._val_psnr: float | None = None
        self._train_psnr: float | None = None
        self._speed = 0.0
        self._loss = float("nan")
        self._logged = (0, 0.0)
        self._pictured: int | None = None

    def run(self, stage: Stage) -> bool:
        """Train to the end of the stage (True) or until a stop request (False). Writes a checkpoint either way."""
        course = self.course
        if course.finished:
            return True
        began = self.clock() - course.seconds
        saved = self.clock()
        self._logged = (course.step, course.seconds)
        if stage.patience is not None and self.best is None:
            self.validate(stage)  # the value to improve
        total, unit = stage.budget.total
        fraction = stage.budget.fraction(course.step, course.seconds)
        shown = self.fabric.is_global_zero
        with ProgressLine(stage.label, total, unit, start=fraction * total, shown=shown) as line:
            stopping = False
            while True:
                if course.step % self.learner.readings.every == 0:
                    course.seconds, stopping = sync(self.fabric, self.clock() - began, self.stop)
                fraction = stage.budget.fraction(course.step, course.seconds)
                line.update(min(fraction, 1.0) * total, self._figure(), f"{self._speed:.3g} views/s")
                if stopping or fraction >= 1 or self._patience_is_over(stage):
                    break
                if self.clock() - saved >= self.config.checkpoint_seconds:
                    self.save()
                    saved = self.clock()
                self._step(stage, stage.feed.get(course.step), stage.rate.at(course.step, fraction))
            if not stopping:
                if not course.history or course.history[-1]["step"] != course.total_steps:
                    self.validate(stage)
                course.seconds = self.clock() - began
                course.finished = True
        self.save()
        return not stopping

    def save(self) -> None:
        """Write a checkpoint."""
        if self.fabric.is_global_zero:
            state = {"learner": self.learner.state(), "course": dataclasses.asdict(self.course), "best": self.best}
            self.checkpoints.save(self.course.total_steps, state)

    def validate(self, stage: Stage) -> None:
        """Validate the averaged weights. In a stage with patience, keep the best."""
        if len(self.val) == 0:
            return
        course = self.course
        average = self.learner.average.model()
        value, picture = validate(average, self.val, self.config.batch_size)
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
            self.validate(stage)

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
        """Quality of the student, for the progress line."""
        if self._val_psnr is not None:
            return f"validation PSNR {self._val_psnr:.1f} dB"
        if self._train_psnr is None:
            return ""
        return f"PSNR {self._train_psnr:.1f} dB on {'pseudo views' if self.course.stage == 1 else 'its batch'}"

    def _patience_is_over(self, stage: Stage) -> bool:
        return stage.patience is not None and self.course.waited >= stage.patience


def train(
    model: Student,
    pseudo: Views,
    real: Views,
    val: Views,
    config: TrainConfig,
    folder: Path,
    fabric: Fabric,
    stop: Stop,
    *,
    compiled: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Student:
    """Train `model`; return the best weights as a model in eval mode on the CPU.

    pseudo: the teacher's renders. real: training photos. val: photos that select the weights, never the test views;
    without any the last weights are taken.
    folder: gets checkpoints, TensorBoard files and history.json. If it holds a checkpoint, training resumes exactly
    there; call CheckpointFolder(folder / "checkpoints").clear() to start over.
    fabric: launched if it has several processes. compiled: use torch.compile.

    Raises Interrupted after a stop request (everything is saved), and CheckpointError if the checkpoint is damaged or
    has another architecture.
    """
    if len(pseudo) == 0:
        raise SceneError("there are no pseudo views to train on; render some with: nelf distill RUN")
    checkpoints = CheckpointFolder(folder / "checkpoints")
    learner = StudentTrainer(model, config, fabric, compiled=compiled)
    course, best = TrainingState(), None
    if (found := checkpoints.latest()) is not None:
        course, best = _resume(found[1], learner, checkpoints.path)
        fabric.print(f"going on from step {course.total_steps}, saved in {checkpoints.path}")
    agree_on_step(fabric, course.total_steps, checkpoints.path)

    memory = MemoryBudget(config.cache_gb)
    channels, pixels = model.frame.channels, model.depth_pixels
    cached = {name: CachedViews(v, channels, memory, pixels) for name, v in (("pseudo", pseudo), ("real", real))}
    val_views = CachedViews(_spread(val, config.val_views), channels, memory)
    with TrainingLog(folder, course.total_steps, active=fabric.is_global_zero) as journal:
        runner = PhaseRunner(learner, course, val_views, config, journal, checkpoints, stop, clock)
        runner.best = best
        if course.stage == 1:
            with _feed([Source(cached["pseudo"], config.batch_size)], config, 1, fabric) as feed:
                _run(runner, Stage("train", feed, config.budget, config.rate, config.val_every), folder)
        if config.finetune.enabled and len(real) > 0:
            if course.stage == 1:
                learner.start_from(learner.average.model().state_dict())
                course.stage, course.finished = 2, False
                course.steps_before, course.seconds_before = course.total_steps, course.seconds
                course.step, course.seconds = 0, 0.0
            with _feed(_mixed(cached, config), config, 2, fabric) as feed:
                tune = config.finetune
                stage = Stage("fine-tune", feed, tune.budget, tune.rate, tune.val_every, tune.patience)
                _run(runner, stage, folder)
        elif config.finetune.enabled:
            fabric.print("train: no fine-tuning on the photos, the scene has no training views")
    result = learner.average.model()
    if runner.best is not None:
        result.load_state_dict(runner.best)
    return result.cpu().to(memory_format=torch.contiguous_format).eval()


def _run(runner: PhaseRunner, stage: Stage, folder: Path) -> None:
    if not runner.run(stage):
        step = runner.course.total_steps
        raise Interrupted(f"stopped after step {step}; saved in {folder}; the same command goes on from there")


def _feed(sources: list[Source], config: TrainConfig, stage: int, fabric: Fabric) -> BatchLoader:
    pin = fabric.device.type == "cuda"
    return BatchLoader(sources, (config.seed, stage), rank=fabric.global_rank, ranks=fabric.world_size, pin=pin)


def _mixed(cached: dict[str, CachedViews], config: TrainConfig) -> list[Source]:
    """Sources of stage 2, with at least one real view in each batch."""
    pseudo = min(round(config.finetune.pseudo_fraction * config.batch_size), config.batch_size - 1)
    real = Source(cached["real"], config.batch_size - pseudo)
    return [real, Source(cached["pseudo"], pseudo)] if pseudo else [real]


def _spread(views: Views, count: int) -> Views:
    """`count` views at even distances; all views if there are not more, or count is 0."""
    if not 0 < count < len(views):
        return views
    return views.select([(2 * i + 1) * len(views) // (2 * count) for i in range(count)])


def _resume(
    state: dict[str, Any], learner: StudentTrainer, folder: Path
) -> tuple[TrainingState, dict[str, Tensor] | None]:
    """Restore `learner` from the checkpoint. Returns the training state and the best weights so far."""
    try:
        weights = state["learner"]["model"]
        check_same_architecture(folder, weights, learner.model)
        made_with = state["learner"]["optimizer_name"]
        if made_with != learner.config.optimizer:
            raise CheckpointError(
                f"{folder} was made with train.optimizer={made_with}, not {learner.config.optimizer}; "
                "set that one, or delete the folder to start over"
            )
        learner.load_state(state["learner"])
        return TrainingState(**state["course"]), state["best"]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = one_line(error)
        raise CheckpointError(
            f"{folder} is not from this training ({type(error).__name__}: {reason}); delete it to start over"
        ) from error
