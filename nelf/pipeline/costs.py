"""What the stages of a run cost on a processor: seconds, disk and memory.

The figures are those of the demo and of `fern` in docs/results.md, which names the commands. That machine reaches
`REFERENCE` GFLOP/s: two cores of an AMD EPYC with AVX512_BF16, nothing else running. They are scaled by pixels, views,
steps and multiply-adds, and by the GFLOP/s that this machine reaches now. `python benchmarks/forecast.py
RUN...` compares them with finished runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nelf import evaluate as evaluation
from nelf.core.devices import Machine, best_accelerator, multiplies_bfloat16
from nelf.distill.workers import most_workers
from nelf.evaluate import lpips_is_here
from nelf.export import plan as planned_bundles
from nelf.pipeline.record import StageRecord
from nelf.pipeline.run import PSEUDO, STUDENT, TEACHER, Run
from nelf.scene import SceneType
from nelf.student import Student, count_macs, count_parameters
from nelf.teacher import InstantNGPConfig, NeRFConfig, TeacherConfig

REFERENCE = 200.0  # GFLOP/s

# The demo on the reference machine: 4000 steps of a teacher in 2.8 minutes, 1400 views of 128x128 in 2.2, 4400 steps of
# a student (preset m, 4 views of 0.461 GMAC) in 6.6, four bundles in 0.5, 20 views of six models in 0.1. Step times of
# students at 200x200 come from `benchmarks/student.py --calibrate`.
TEACH_START = 6.0  # seconds
TEACH_SAMPLE = 2.4e-6  # seconds per sample in training a hash grid: steps of 16384 in 39 ms
RENDER_START = 10.0  # seconds to start worker processes
RENDER_PIXEL = {SceneType.OBJECT: 4.5e-6, SceneType.FORWARD_FACING: 10e-6, SceneType.UNBOUNDED: 32e-6}
"""Seconds. Forward-facing: fern, 1.9 seconds a view of 504x378. Unbounded: fox, 1.05 seconds a view of 240x135."""
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

PROCESS_MEMORY = 0.9e9  # bytes of a process with PyTorch and the imports of a stage
WORKER_MEMORY = 1.1e9  # docs/scaling.md
EXPORT_MEMORY = 1.3e9  # with the converters
PARAMETER_MEMORY = 74  # bytes per parameter in training, docs/scaling.md
MAC_MEMORY = 0.08  # bytes per multiply-add in training: MobileR2L, 8.4 GB for two views of 50.6 GMAC, docs/results.md
PNG_SHARE = {4: 0.25, 3: 0.5}  # of the pixels' bytes, by channels: pseudo views of demo and fern, with depths


@dataclass(frozen=True)
class Expected:
    """Cost of a stage. seconds: None if unknown for this device. disk, memory: bytes; memory at the stage's peak."""

    seconds: float | None
    disk: float
    memory: float


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
    """The figures above, for one run on one machine."""

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
        step = self.samples(teacher.samples_per_step, TEACH_SAMPLE, 6)
        seconds = self.budget(teacher.max_minutes, teacher.max_steps, step)
        views = len(self.run.scene.train)
        weights = _weights(teacher)
        return Expected(
            None if seconds is None else seconds + TEACH_START / min(self.rate, 1.0),
            disk=7 * weights,  # with two checkpoints, each with Adam's two moments
            memory=PROCESS_MEMORY + 8 * self.pixels * views + 8 * weights,  # pixels and their indices
        )

    def distill(self) -> Expected:
        config, one = self.config.distill, self.view()
        views: float = config.views
        if config.max_minutes is not None and one is not None:
            views = min(views, max(config.min_views, 60 * config.max_minutes / one))
        seconds = (
            views * one if one is not None else 60 * config.max_minutes if config.max_minutes is not None else None
        )
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
        step = TRAIN_STEP / self.rate + config.batch_size * 6 * self.macs / speed
        parts = [self.budget(config.max_minutes, config.max_steps, step if self.on_cpu else None)]
        if tune.enabled:
            parts.append(self.budget(tune.max_minutes, tune.max_steps, step if self.on_cpu else None))
        decoded = self.config.distill.views * self.pixels * self.channels
        return Expected(
            None if None in parts else sum(part for part in parts if part is not None),
            disk=(4 + 2 * 20) * self.parameters + 2e6,
            memory=PROCESS_MEMORY
            + min(config.cache_gb * 1e9, decoded)
            + PARAMETER_MEMORY * self.parameters
            + MAC_MEMORY * self.macs * config.batch_size,
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
        lpips = config.measures_lpips and lpips_is_here()
        pixel = (EVAL_PIXEL + (LPIPS_PIXEL if lpips else 0.0)) / self.rate
        student = 2 * self.macs / (self.flops * PLAIN_SPEED)
        seconds = models * views * (self.pixels * pixel + student) + config.video_frames * student
        if self.run.teacher:
            seconds += views * (self.view() or 0.0)
        pictures = (models + 1) * views * self.pixels * 3 * PNG_SHARE[3]
        return Expected(seconds, pictures + evaluation.PICTURE_BUDGET * 4 / 3, EXPORT_MEMORY + 300 * self.pixels)

    def view(self) -> float | None:
        """Seconds for one view that the teacher renders."""
        pixel = RENDER_PIXEL[self.run.scene.type]
        teacher = self.config.teacher
        # Counted for the MLP alone: a hash grid's samples are inside the figure for a pixel.
        a_ray = 2 * teacher.coarse_samples + teacher.fine_samples if isinstance(teacher, NeRFConfig) else 1
        return self.samples(self.pixels * a_ray, pixel / a_ray, 2)

    def samples(self, count: int, reference: float, passes: int) -> float | None:
        """Seconds for `count` samples of the field. reference: per sample of a hash grid. passes: flops per MAC."""
        if not self.on_cpu:
            return None
        teacher = self.config.teacher
        if isinstance(teacher, NeRFConfig):
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


def _weights(teacher: TeacherConfig) -> float:
    """Approximate bytes of a teacher's file."""
    if isinstance(teacher, InstantNGPConfig):
        return 1.5 * teacher.num_levels * 2**teacher.log2_hashmap_size * 4 * 4
    return 10e6
