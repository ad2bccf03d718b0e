"""Forecast time, disk and memory of a run on this machine, before the first stage.

The figures are those of the demo and of `fern` in docs/results.md, which also has the commands. They were measured on a
machine that reaches `REFERENCE` GFLOP/s: two cores of an AMD EPYC with AVX512_BF16, nothing else running. They are
scaled by pixels, views, steps and multiply-adds, and by this machine's current GFLOP/s. `python benchmarks/forecast.py
RUN...` compares them with finished runs.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nelf import evaluate as evaluation
from nelf.core.devices import best_accelerator, multiplies_bfloat16
from nelf.core.errors import StorageError
from nelf.core.files import read_json, write_json
from nelf.core.machine import Machine, measure_machine
from nelf.core.progress import duration, seconds_of
from nelf.distill.workers import most_workers
from nelf.evaluate import lpips_is_here
from nelf.export import plan as planned_bundles
from nelf.pipeline.record import StageRecord
from nelf.pipeline.run import PSEUDO, STUDENT, TEACHER, Echo, Run
from nelf.scene import SceneType
from nelf.student import Student, count_macs, count_parameters
from nelf.teacher import HashGridConfig, TeacherConfig, VanillaConfig

FILE = "machine.json"
REFERENCE = 200.0  # GFLOP/s

# The demo on the reference machine: 4000 steps of a teacher in 2.8 minutes, 1400 views of 128x128 in 2.2, 4400 steps of
# a student (preset m, 4 views of 0.461 GMAC) in 6.6, four bundles in 0.5, 20 views of six models in 0.1. Step times of
# students at 200x200 come from `benchmarks/student.py --calibrate`.
TEACH_START = 6.0  # seconds
TEACH_SAMPLE = 2.4e-6  # seconds per sample in training a hash grid: steps of 16384 in 39 ms
RENDER_START = 10.0  # seconds to start worker processes
RENDER_PIXEL = 4.5e-6  # seconds, for an object
RENDER_PIXEL_DENSE = 16e-6  # seconds, if every ray hits something: fern, 581 views of 504x378 in 30 minutes
TRAIN_STEP = 0.044  # seconds per step, independent of network size: table reads, optimizer, many small operations
TRAIN_SPEED = 1.58  # relative to the matrix product, on a processor with bfloat16 instructions
TRAIN_SPEED_FLOAT32 = 0.9
EXPORT_BUNDLE = 6.5  # seconds
EVAL_PIXEL = 2e-6  # seconds per pixel, view and model: PSNR, SSIM and FLIP
LPIPS_PIXEL = 13e-6  # seconds: 16 GMAC of AlexNet and VGG for 224x224 pixels, twice, at half the matrix product's speed
# Estimated: convolutions or fully connected layers run at half the matrix product's speed.
PLAIN_SPEED = 0.5
GOLDEN_RUNS = 16  # pictures that an export computes operation by operation
GOLDEN_SPEED = 0.25
ERROR = "give or take half"

PROCESS_MEMORY = 0.9e9  # bytes of a process with PyTorch and the imports of a stage
WORKER_MEMORY = 1.1e9  # docs/scaling.md
EXPORT_MEMORY = 1.3e9  # with the converters
PARAMETER_MEMORY = 74  # bytes per parameter in training, docs/scaling.md
MAC_MEMORY = 0.08  # bytes per multiply-add in training: MobileR2L, 8.4 GB for two views of 50.6 GMAC, docs/results.md
PNG_SHARE = {4: 0.25, 3: 0.5}  # of the pixels' bytes, by channels: pseudo views of demo and fern, with depths

SLOW = 0.75  # of the reference: slower machines get a warning
BUSY = 0.25  # of the cores: if others use more, there is a warning


@dataclass(frozen=True)
class Expected:
    """Cost of a stage. seconds: None if unknown for this device. disk, memory: bytes; memory at the stage's peak."""

    seconds: float | None
    disk: float
    memory: float


@dataclass(frozen=True)
class Forecast:
    """Cost of the stages that have work to do. free_disk: bytes on the run's disk."""

    stages: Mapping[str, Expected]
    machine: Machine
    free_disk: int
    warning: str = ""

    @property
    def disk(self) -> float:
        return sum(stage.disk for stage in self.stages.values())

    @property
    def memory(self) -> float:
        return max(stage.memory for stage in self.stages.values())

    @property
    def line(self) -> str:
        """One line for the user."""
        known = sum(stage.seconds for stage in self.stages.values() if stage.seconds is not None)
        whole = all(stage.seconds is not None for stage in self.stages.values())
        time = _time(known) if whole else f"{_time(known)} and more"
        memory = self.machine.memory
        return (
            f"expected: {time}, {_gigabytes(self.disk)} of {_gigabytes(self.free_disk)} GB disk, "
            f"{_gigabytes(self.memory)}{f' of {_gigabytes(memory)}' if memory else ''} GB memory ({ERROR})"
        )


def foresee(run: Run, student: Student, stages: Sequence[str], echo: Echo) -> None:
    """Measure the machine; report and record the cost of `stages`, those that have work to do.

    student: an untrained one.

    Raises StorageError if disk or memory are too small.
    """
    machine = measure_machine()
    expected = expect(run, student, stages, machine)
    existing = run.folder
    while not existing.exists():
        existing = existing.parent
    forecast = Forecast(expected, machine, shutil.disk_usage(existing).free, warning_of(run, expected, machine))
    echo(forecast.line)
    check(run, forecast)
    if forecast.warning:
        echo(f"WARNING: {forecast.warning}")
    note_down(run.folder, forecast)


def check(run: Run, forecast: Forecast) -> None:
    """Raise StorageError if disk or memory are too small."""
    if forecast.disk > forecast.free_disk:
        raise StorageError(
            f"{run.folder} needs about {_gigabytes(forecast.disk)} GB of disk, but only "
            f"{forecast.free_disk / 1e9:.1f} GB are free; free some space, put the run elsewhere with runs=FOLDER, or "
            "lower distill.views"
        )
    memory = forecast.machine.memory
    if memory is not None and forecast.memory > memory:
        stage = max(forecast.stages, key=lambda name: forecast.stages[name].memory)
        raise StorageError(
            f"{stage} needs about {_gigabytes(forecast.memory)} GB of memory, but only {memory / 1e9:.1f} GB are free; "
            f"close other programs, or {MEMORY_REMEDIES[stage]}"
        )


MEMORY_REMEDIES = {
    "teach": "use smaller images: scene.downscale=2",
    "distill": "lower distill.workers",
    "train": "lower train.batch or train.cache_gb",
    "export": "use smaller images: scene.downscale=2",
    "eval": "use smaller images: scene.downscale=2",
}
"""Stage -> what lowers its memory use."""


def expect(run: Run, student: Student, stages: Sequence[str], machine: Machine) -> dict[str, Expected]:
    """Cost of `stages`, without the time that an interrupted stage has already used."""
    cost = _Costs(run, student, machine)
    found: dict[str, Expected] = {}
    for stage in stages:
        expected: Expected = getattr(cost, stage)()
        seconds = expected.seconds
        if seconds is not None and stage in FOLDERS:
            seconds = max(0.0, seconds - _spent(run.folder / FOLDERS[stage]))
        found[stage] = Expected(seconds, expected.disk, expected.memory)
    return found


FOLDERS = {"teach": TEACHER.parent, "distill": PSEUDO, "train": STUDENT.parent}


def _spent(folder: Path) -> float:
    """Seconds already spent on an interrupted stage."""
    record = StageRecord(folder)
    return 0.0 if "outputs" in record.content else record.seconds


class _Costs:
    """The figures above, applied to one run on one machine."""

    def __init__(self, run: Run, student: Student, machine: Machine) -> None:
        self.run, self.config = run, run.config
        self.on_cpu = on_cpu(run)
        self.flops = machine.gflops * 1e9 * run.ranks
        self.rate = machine.gflops * run.ranks / REFERENCE
        height, width = run.scene.size
        self.pixels = height * width
        self.channels = run.scene.channels
        self.macs, self.parameters = count_macs(student), count_parameters(student)
        export = self.config.export
        self.bundles = planned_bundles(export.targets, export.precision, export.image_output)

    def teach(self) -> Expected:
        teacher = self.config.teacher
        step = self.samples(teacher.batch, TEACH_SAMPLE, 6)
        seconds = self.budget(teacher.minutes, teacher.iterations, step)
        views = len(self.run.scene.train)
        weights = _weights(teacher)
        return Expected(
            None if seconds is None else seconds + TEACH_START / min(self.rate, 1.0),
            disk=7 * weights,  # with two checkpoints, each with Adam's two moments
            memory=PROCESS_MEMORY + 8 * self.pixels * views + 8 * weights,  # pixels and their indices
        )

    def distill(self) -> Expected:
        config, teacher = self.config.distill, self.config.teacher
        dense = RENDER_PIXEL if self.run.scene.kind is SceneType.OBJECT else RENDER_PIXEL_DENSE
        one = self.samples(self.pixels * _samples(teacher), dense / _samples(teacher), 2)
        views: float = config.views
        if config.minutes is not None and one is not None:
            views = min(views, max(config.min_views, 60 * config.minutes / one))
        seconds = views * one if one is not None else 60 * config.minutes if config.minutes is not None else None
        if seconds is not None and config.workers > 1:
            seconds += RENDER_START / min(self.rate, 1.0)
        bytes_ = self.pixels * (self.channels + (2 if config.depth else 0)) * PNG_SHARE[self.channels] + 8192
        workers = min(config.workers, most_workers(config, self.run.ranks)[0]) if config.workers > 1 else 0
        return Expected(seconds, views * bytes_, PROCESS_MEMORY + workers * WORKER_MEMORY)

    def train(self) -> Expected:
        config, tune = self.config.train, self.config.train.finetune
        precision = self.config.device.precision
        half = precision != "32-true" and (precision != "auto" or multiplies_bfloat16())
        speed = self.flops * (TRAIN_SPEED if half else TRAIN_SPEED_FLOAT32)
        step = TRAIN_STEP / self.rate + config.batch * 6 * self.macs / speed
        parts = [self.budget(config.minutes, config.steps, step if self.on_cpu else None)]
        if tune.enabled:
            parts.append(self.budget(tune.minutes, tune.steps, step if self.on_cpu else None))
        decoded = self.config.distill.views * self.pixels * self.channels
        return Expected(
            None if None in parts else sum(part for part in parts if part is not None),
            disk=(4 + 2 * 20) * self.parameters + 2e6,
            memory=PROCESS_MEMORY
            + min(config.cache_gb * 1e9, decoded)
            + PARAMETER_MEMORY * self.parameters
            + MAC_MEMORY * self.macs * config.batch,
        )

    def export(self) -> Expected:
        seconds = EXPORT_BUNDLE / self.rate + GOLDEN_RUNS * 2 * self.macs / (self.flops * GOLDEN_SPEED)
        golden = self.config.export.golden_views * self.pixels * 3 * PNG_SHARE[3]
        return Expected(
            len(self.bundles) * seconds,  # on the CPU, whatever the device
            disk=len(self.bundles) * (3 * self.parameters + golden),
            memory=EXPORT_MEMORY + MAC_MEMORY * self.macs + 40 * self.parameters,
        )

    def eval(self) -> Expected:
        config, views = self.config.eval, len(self.run.scene.test)
        models = 1 + len(self.bundles) + (1 if self.run.teacher else 0)
        lpips = sum(name.startswith("lpips") for name in config.metrics) if config.lpips and lpips_is_here() else 0
        pixel = (EVAL_PIXEL + (LPIPS_PIXEL if lpips else 0.0)) / self.rate
        student = 2 * self.macs / (self.flops * PLAIN_SPEED)
        seconds = models * views * (self.pixels * pixel + student) + config.video_frames * student
        if self.run.teacher:
            dense = RENDER_PIXEL if self.run.scene.kind is SceneType.OBJECT else RENDER_PIXEL_DENSE
            one = self.samples(self.pixels * _samples(self.config.teacher), dense / _samples(self.config.teacher), 2)
            seconds += views * (one or 0.0)
        pictures = (models + 1) * views * self.pixels * 3 * PNG_SHARE[3]
        return Expected(seconds, pictures + evaluation.PICTURE_BUDGET * 4 / 3, EXPORT_MEMORY + 300 * self.pixels)

    def samples(self, count: int, reference: float, passes: int) -> float | None:
        """Seconds for `count` samples of the field. reference: per sample of a hash grid. passes: flops per MAC."""
        if not self.on_cpu:
            return None
        teacher = self.config.teacher
        if isinstance(teacher, VanillaConfig):
            macs = teacher.depth * teacher.width**2
            return count * passes * macs / (self.flops * PLAIN_SPEED)
        return count * reference / self.rate

    def budget(self, minutes: float | None, steps: int | None, step: float | None) -> float | None:
        """Seconds of a budget. step: seconds per step; None if unknown."""
        parts = [60 * minutes] if minutes is not None else []
        if steps is not None and step is not None:
            parts.append(steps * step)
        return min(parts, default=None)


def on_cpu(run: Run) -> bool:
    """Whether the run computes on the CPU, the only device with figures here."""
    accelerator = run.config.device.accelerator
    return (best_accelerator() if accelerator == "auto" else accelerator) == "cpu"


def _samples(teacher: TeacherConfig) -> int:
    """Samples of the field per ray; only for the MLP, since the figure per pixel includes those of a hash grid."""
    return 2 * teacher.coarse + teacher.fine if isinstance(teacher, VanillaConfig) else 1


def _weights(teacher: TeacherConfig) -> float:
    """Approximate bytes of a teacher's file."""
    if isinstance(teacher, HashGridConfig):
        return 1.5 * teacher.levels * 2**teacher.log2_entries * 4 * 4
    return 10e6


def warning_of(run: Run, stages: Mapping[str, Expected], machine: Machine) -> str:
    """What a slow or busy machine means for the result, and what helps; empty if the machine is fine."""
    others = machine.others or 0.0
    busy = others > BUSY * machine.cores
    share = machine.gflops * run.ranks / REFERENCE
    if not on_cpu(run) or (not busy and share >= SLOW):
        return ""
    reached = (
        f"{machine.gflops:.0f} GFLOP/s on {machine.threads} of {machine.cores} cores; the reference: {REFERENCE:.0f}"
    )
    parts = [f"{'busy' if busy else 'slow'} machine: it reaches {reached}"]
    if busy:
        parts.append(f"other programs use {others:.1f} cores: close them, or wait")
    elif machine.threads < machine.cores:
        parts.append(f"there are {machine.cores} cores: device.threads={machine.cores} uses them")
    share = min(share, 1.0)
    budgets = {"teach": ("teacher", run.config.teacher.minutes), "train": ("student", run.config.train.minutes)}
    for stage, (who, minutes) in budgets.items():
        key = {"teach": "teacher.minutes", "train": "train.minutes"}[stage]
        if stage in stages and minutes is not None and share < SLOW:
            parts.append(
                f"the {who} learns {share:.0%} of what it would in its {minutes:g} min: "
                f"{key}={_two_digits(minutes / share)} compensates"
            )
    seconds = stages["train"].seconds if "train" in stages else None
    if run.config.train.minutes is None and seconds is not None and share < SLOW:
        parts.append(f"the student takes {_time(seconds)} instead of {_time(seconds * share)}: student=s takes less")
    return "; ".join(parts)


def note_down(folder: Path, forecast: Forecast) -> None:
    """Record the forecast of these stages in the run's folder; keep that of other stages."""
    machine = {**asdict(forecast.machine), "reference_gflops": REFERENCE}
    noted = {
        name: {**asdict(expected), "warning": forecast.warning, "machine": machine}
        for name, expected in forecast.stages.items()
    }
    write_json(folder / FILE, {**_read(folder), **noted})


def noted_warnings(folder: Path) -> list[str]:
    """Warnings about the machine before the stages of the run, each with its stages. Empty if the machine was fast and
    idle."""
    stages: dict[str, list[str]] = {}
    for name, noted in _read(folder).items():
        if isinstance(noted, dict) and isinstance(warning := noted.get("warning"), str) and warning:
            stages.setdefault(warning, []).append(name)
    return [f"{', '.join(names)}: {warning}" for warning, names in stages.items()]


def noted_seconds(folder: Path) -> dict[str, float]:
    """Stage -> expected seconds."""
    found = {name: seconds_of(noted.get("seconds")) for name, noted in _read(folder).items() if isinstance(noted, dict)}
    return {name: seconds for name, seconds in found.items() if seconds}


def _read(folder: Path) -> dict[str, Any]:
    try:
        content = read_json(folder / FILE)
    except (OSError, ValueError):  # missing or damaged: nothing was recorded
        return {}
    return content if isinstance(content, dict) else {}


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{duration(seconds)[:-3]} h"


def _gigabytes(count: int | float) -> str:
    return f"{count / 1e9:.0f}" if count >= 9.95e9 else f"{max(count, 0.1e9) / 1e9:.1f}"


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):g}"
