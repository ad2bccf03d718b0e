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

from nelf.core.devices import Machine, measure_machine
from nelf.core.errors import StorageError
from nelf.core.files import read_json, write_json
from nelf.core.progress import duration, seconds_of
from nelf.pipeline.costs import REFERENCE, Expected, expect, on_cpu
from nelf.pipeline.run import Echo, Run
from nelf.student import Student

FILE = "machine.json"
ERROR = "give or take half"
SLOW = 0.75  # of the reference: slower machines get a warning
BUSY = 0.25  # of the cores: if others use more, there is a warning


@dataclass(frozen=True)
class Forecast:
    """Cost of the stages that have work to do. free_disk: bytes on the run's disk."""

    stages: Mapping[str, Expected]
    machine: Machine
    free_disk: int
    warning: str = ""

    @property
    def disk(self) -> float:
        """Bytes on disk of all stages together."""
        return sum(stage.disk for stage in self.stages.values())

    @property
    def memory(self) -> float:
        """Bytes of memory of the stage that needs most."""
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
    "train": "lower train.batch_size or train.cache_gb",
    "export": "use smaller images: scene.downscale=2",
    "eval": "use smaller images: scene.downscale=2",
}
"""Stage -> what lowers its memory use."""


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
    budgets = {"teach": ("teacher", run.config.teacher.max_minutes), "train": ("student", run.config.train.max_minutes)}
    for stage, (who, minutes) in budgets.items():
        key = {"teach": "teacher.max_minutes", "train": "train.max_minutes"}[stage]
        if stage in stages and minutes is not None and share < SLOW:
            parts.append(
                f"the {who} learns {share:.0%} of what it would in its {minutes:g} min: "
                f"{key}={_two_digits(minutes / share)} compensates"
            )
    seconds = stages["train"].seconds if "train" in stages else None
    if run.config.train.max_minutes is None and seconds is not None and share < SLOW:
        smaller = run.config.student.smaller
        less = f": student={smaller} takes less" if smaller else ""
        parts.append(f"the student takes {_time(seconds)} instead of {_time(seconds * share)}{less}")
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
