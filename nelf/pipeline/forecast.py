"""What a run will take of time, disk and memory on this machine, told before the first stage begins."""

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
from nelf.pipeline.run import Run, Say
from nelf.student import Student

FILE = "machine.json"
ERROR = "give or take half"
SLOW = 0.75  # of the reference: a machine below is told so
BUSY = 0.25  # of the cores: others that use more are told of


@dataclass(frozen=True)
class Forecast:
    """What the stages that have work to do will take. free_disk: bytes where the run is."""

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
        """The one line for the user."""
        known = sum(stage.seconds for stage in self.stages.values() if stage.seconds is not None)
        whole = all(stage.seconds is not None for stage in self.stages.values())
        time = _time(known) if whole else f"{_time(known)} and more"
        memory = self.machine.memory
        return (
            f"expected: {time}, {_gigabytes(self.disk)} of {_gigabytes(self.free_disk)} GB disk, "
            f"{_gigabytes(self.memory)}{f' of {_gigabytes(memory)}' if memory else ''} GB memory ({ERROR})"
        )


def foresee(run: Run, student: Student, stages: Sequence[str], say: Say) -> None:
    """Measure the machine, say and note down what `stages`, which have work to do, will take.

    student: an untrained one.

    Raises StorageError where the disk or the memory will not do.
    """
    machine = measure_machine()
    expected = expect(run, student, stages, machine)
    existing = run.folder
    while not existing.exists():
        existing = existing.parent
    forecast = Forecast(expected, machine, shutil.disk_usage(existing).free, warning_of(run, expected, machine))
    say(forecast.line)
    check(run, forecast)
    if forecast.warning:
        say(f"WARNING: {forecast.warning}")
    note_down(run.folder, forecast)


def check(run: Run, forecast: Forecast) -> None:
    """Raise StorageError where the disk or the memory will not do."""
    if forecast.disk > forecast.free_disk:
        raise StorageError(
            f"{run.folder} needs about {_gigabytes(forecast.disk)} GB of disk, {forecast.free_disk / 1e9:.1f} GB are "
            "free; free some space, put the run elsewhere with runs=FOLDER, or lower distill.views"
        )
    memory = forecast.machine.memory
    if memory is not None and forecast.memory > memory:
        stage = max(forecast.stages, key=lambda name: forecast.stages[name].memory)
        raise StorageError(
            f"{stage} needs about {_gigabytes(forecast.memory)} GB of memory, {memory / 1e9:.1f} GB are free; "
            f"end other programs, or {MEMORY_REMEDIES[stage]}"
        )


MEMORY_REMEDIES = {
    "teach": "give smaller images: scene.downscale=2",
    "distill": "lower distill.workers",
    "train": "lower train.batch or train.cache_gb",
    "export": "give smaller images: scene.downscale=2",
    "eval": "give smaller images: scene.downscale=2",
}
"""Stage -> what lowers its memory."""


def warning_of(run: Run, stages: Mapping[str, Expected], machine: Machine) -> str:
    """What a slow or busy machine means for the result, and what helps; empty where there is nothing to say."""
    others = machine.others or 0.0
    busy = others > BUSY * machine.cores
    share = machine.gflops * run.ranks / REFERENCE
    if not on_cpu(run) or (not busy and share >= SLOW):
        return ""
    reached = (
        f"{machine.gflops:.0f} GFLOP/s on {machine.threads} of {machine.cores} cores, the reference {REFERENCE:.0f}"
    )
    parts = [f"{'busy' if busy else 'slow'} machine: it reaches {reached}"]
    if busy:
        parts.append(f"other programs use {others:.1f} cores: end them, or wait")
    elif machine.threads < machine.cores:
        parts.append(f"{machine.cores} cores are there: device.threads={machine.cores} uses them")
    share = min(share, 1.0)
    budgets = {"teach": ("teacher", run.config.teacher.minutes), "train": ("student", run.config.train.minutes)}
    for stage, (who, minutes) in budgets.items():
        key = {"teach": "teacher.minutes", "train": "train.minutes"}[stage]
        if stage in stages and minutes is not None and share < SLOW:
            parts.append(
                f"the {who} learns {share:.0%} of what it would in its {minutes:g} min: "
                f"{key}={_two_digits(minutes / share)} makes up for it"
            )
    seconds = stages["train"].seconds if "train" in stages else None
    if run.config.train.minutes is None and seconds is not None and share < SLOW:
        parts.append(f"the student takes {_time(seconds)} instead of {_time(seconds * share)}: student=s takes less")
    return "; ".join(parts)


def note_down(folder: Path, forecast: Forecast) -> None:
    """Keep what was expected of these stages in the run's folder; what is noted of others stays."""
    machine = {**asdict(forecast.machine), "reference_gflops": REFERENCE}
    noted = {
        name: {**asdict(expected), "warning": forecast.warning, "machine": machine}
        for name, expected in forecast.stages.items()
    }
    write_json(folder / FILE, {**_read(folder), **noted})


def noted_warnings(folder: Path) -> list[str]:
    """What was said of the machine before the stages that made the run, each with the stages it was said of; empty
    where it was fast enough and free."""
    stages: dict[str, list[str]] = {}
    for name, noted in _read(folder).items():
        if isinstance(noted, dict) and isinstance(warning := noted.get("warning"), str) and warning:
            stages.setdefault(warning, []).append(name)
    return [f"{', '.join(names)}: {warning}" for warning, names in stages.items()]


def noted_seconds(folder: Path) -> dict[str, float]:
    """Stage -> seconds that were expected."""
    found = {name: seconds_of(noted.get("seconds")) for name, noted in _read(folder).items() if isinstance(noted, dict)}
    return {name: seconds for name, seconds in found.items() if seconds}


def _read(folder: Path) -> dict[str, Any]:
    try:
        content = read_json(folder / FILE)
    except (OSError, ValueError):  # absent or damaged: nothing was noted
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
