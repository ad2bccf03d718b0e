"""Training a student: stage 1 on pseudo views, stage 2 on the real training views."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from nelf.checkpoint import CheckpointFolder
from nelf.data import Views
from nelf.devices import agree_on_step
from nelf.errors import CheckpointError, Interrupted, SceneError
from nelf.progress import Stop
from nelf.student import Student, check_same_architecture
from nelf.train.config import TrainConfig
from nelf.train.feed import CachedViews, Feed, MemoryBudget, Source
from nelf.train.journal import Journal
from nelf.train.learner import Learner
from nelf.train.stage import Course, Stage, StageRunner


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
    """Train `model` and give the best weights as a model in eval mode on the CPU.

    pseudo: the teacher's renders. real: training photos. val: photos that choose the weights; never the test views.
    folder: gets checkpoints, TensorBoard files and history.json. Where it holds a checkpoint, training goes on from
    there, exactly; call CheckpointFolder(folder / "checkpoints").clear() to start afresh.
    fabric: launched, where it has more than one process. compiled: use torch.compile.

    Raises Interrupted when `stop` was asked for (everything is saved) and CheckpointError when the checkpoint is
    damaged or of another architecture.
    """
    if len(pseudo) == 0:
        raise SceneError("there are no pseudo views to train on; make some with: nelf distill RUN")
    checkpoints = CheckpointFolder(folder / "checkpoints")
    learner = Learner(model, config, fabric, compiled=compiled)
    course, best = Course(), None
    if (found := checkpoints.latest()) is not None:
        course, best = _resume(found[1], learner, checkpoints.path)
        fabric.print(f"going on from step {course.total_steps}, saved in {checkpoints.path}")
    agree_on_step(fabric, course.total_steps, checkpoints.path)

    def save() -> None:
        if fabric.is_global_zero:
            state = {"learner": learner.state(), "course": dataclasses.asdict(course), "best": runner.best}
            checkpoints.save(course.total_steps, state)

    memory = MemoryBudget(config.cache_gb)
    channels, pixels = model.frame.channels, model.depth_pixels
    cached = {name: CachedViews(v, channels, memory, pixels) for name, v in (("pseudo", pseudo), ("real", real))}
    val_views = CachedViews(_spread(val, config.val_views), channels, memory)
    with Journal(folder, course.total_steps, active=fabric.is_global_zero) as journal:
        runner = StageRunner(learner, course, val_views, config, journal, save, stop, clock)
        runner.best = best
        if course.stage == 1:
            with _feed([Source(cached["pseudo"], config.batch)], config, 1, fabric) as feed:
                _run(runner, Stage("train", feed, config.budget, config.rate, config.val_every), folder)
        if config.finetune.enabled and len(real) > 0 and len(val) > 0:
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
            lacking = "validation" if len(real) else "training"
            fabric.print(
                f"train: no fine-tuning on the photos, the scene has no {lacking} views; "
                "let scene.val_holdout=8 hold some out, or add a val split"
            )
    result = learner.average.model()
    if runner.best is not None:
        result.load_state_dict(runner.best)
    return result.cpu().to(memory_format=torch.contiguous_format).eval()


def _run(runner: StageRunner, stage: Stage, folder: Path) -> None:
    if not runner.run(stage):
        step = runner.course.total_steps
        raise Interrupted(f"stopped after step {step}; all is saved in {folder}: the same command goes on from there")


def _feed(sources: list[Source], config: TrainConfig, stage: int, fabric: Fabric) -> Feed:
    pin = fabric.device.type == "cuda"
    return Feed(sources, (config.seed, stage), rank=fabric.global_rank, ranks=fabric.world_size, pin=pin)


def _mixed(cached: dict[str, CachedViews], config: TrainConfig) -> list[Source]:
    """Sources of stage 2: at least one real view in each batch."""
    pseudo = min(round(config.finetune.pseudo_fraction * config.batch), config.batch - 1)
    real = Source(cached["real"], config.batch - pseudo)
    return [real, Source(cached["pseudo"], pseudo)] if pseudo else [real]


def _spread(views: Views, count: int) -> Views:
    """`count` of the views at even distances; all where there are no more, or count is 0."""
    if not 0 < count < len(views):
        return views
    return views.select([(2 * i + 1) * len(views) // (2 * count) for i in range(count)])


def _resume(state: dict[str, Any], learner: Learner, folder: Path) -> tuple[Course, dict[str, Tensor] | None]:
    """Bring `learner` to the checkpoint's state; gives how far it had come and the best weights until then."""
    try:
        weights = state["learner"]["model"]
        check_same_architecture(folder, weights, learner.model)
        made_with = state["learner"]["optimizer_name"]
        if made_with != learner.config.optimizer:
            raise CheckpointError(
                f"{folder} was made with train.optimizer={made_with}, not {learner.config.optimizer}; "
                "set that one, or delete the folder to start afresh"
            )
        learner.load_state(state["learner"])
        return Course(**state["course"]), state["best"]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{folder} is not from this training ({type(error).__name__}: {reason}); delete it to start afresh"
        ) from error
