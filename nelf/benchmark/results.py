"""Results of a benchmark: models, frame times and their statistics, and the report."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nelf.bundle import Manifest, open_bundle
from nelf.bundle.contents import golden_entries
from nelf.bundle.manifest import MANIFEST
from nelf.compatibility import graph_macs, read_graph
from nelf.core.errors import BenchError
from nelf.core.files import write_json
from nelf.runtime import RUNTIMES

RESAMPLES = 2000
LEVEL = 0.95
LEAST_ROUNDS = 8
"""With fewer rounds a bootstrap interval is too narrow; with one round it has no width."""


@dataclass(frozen=True)
class Times:
    """Milliseconds of `frames` frames. Percentiles are nearest-rank: each is a measured time."""

    frames: int
    median_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float


@dataclass(frozen=True)
class Ratio:
    """Ratio of two medians, with its 95 % confidence interval, or None after too few rounds."""

    value: float
    low: float | None
    high: float | None


def times(milliseconds: Sequence[float]) -> Times:
    """Statistics of at least one frame time."""
    values = np.asarray(milliseconds, dtype=np.float64)
    p50, p90, p99 = (float(np.percentile(values, p, method="inverted_cdf")) for p in (50, 90, 99))
    return Times(len(values), p50, p90, p99, float(values.mean()), float(values.min()), float(values.max()))


def ratio(rounds: Sequence[Sequence[float]], to: Sequence[Sequence[float]]) -> Ratio:
    """Median of `rounds` over median of `to`, from the same rounds, in which both ran right after each other.

    The interval is a bootstrap over rounds (Efron and Tibshirani 1993, chapter 13, percentile interval). Rounds are
    drawn with replacement, the same ones for both sides, so that a slow phase of the machine counts for both. With
    fewer than `LEAST_ROUNDS` there is no interval.
    """
    numerator, denominator = (np.asarray(side, dtype=np.float64) for side in (rounds, to))
    value = float(np.median(numerator) / np.median(denominator))
    if len(numerator) < LEAST_ROUNDS:
        return Ratio(value, None, None)
    drawn = np.random.default_rng(0).integers(len(numerator), size=(RESAMPLES, len(numerator)))
    medians = [np.median(side[drawn].reshape(RESAMPLES, -1), axis=1) for side in (numerator, denominator)]
    low, high = np.quantile(medians[0] / medians[1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Ratio(value, float(low), float(high))


SUFFIXES = (".tflite", ".onnx", ".mlpackage")


@dataclass(frozen=True)
class ModelUnderTest:
    """name: short and unique within the run. path: the model file.

    manifest: the bundle's; None for a single file. size: bytes of the model. macs: multiply-accumulates per image; of a
    program, which leaves some out, those of the whole network.
    """

    name: str
    path: Path
    folder: Path | None
    manifest: Manifest | None
    size: int
    macs: int

    @property
    def untimed(self) -> str | None:
        """Of `Runtime`; for a program it is that of its parts' files."""
        program = self.manifest.program if self.manifest is not None else None
        return RUNTIMES[self.path.suffix if program is None else Path(program.first).suffix].untimed

    def write_inputs(self, path: Path) -> Path | None:
        """Write the bundle's golden poses for the worker; None for a single file, which gets random inputs."""
        if self.manifest is None or self.folder is None:
            return None
        poses = np.asarray([view.c2w for view in golden_entries(self.folder, self.manifest)], dtype=np.float32)
        np.savez(path, allow_pickle=False, **{self.manifest.model.input.name: poses[:, None]})
        return path


def open_subjects(paths: Sequence[Path]) -> list[ModelUnderTest]:
    """Open bundles (checked against their manifests) and model files. Raises BundleError or BenchError, one line."""
    names = [path.resolve().name for path in paths]
    unique = [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]
    if len(set(unique)) < len(unique):
        raise BenchError(f"{next(n for n in unique if unique.count(n) > 1)} is given twice; name each bundle once")
    return [_open(path, name) for path, name in zip(paths, unique, strict=True)]


def _open(path: Path, name: str) -> ModelUnderTest:
    if path.suffix in SUFFIXES and path.exists():
        return ModelUnderTest(name, path, None, None, _bytes(path), graph_macs(read_graph(path)))
    bundle = open_bundle(path)
    model = path / bundle.manifest.model.path
    if bundle.manifest.program is not None:
        return ModelUnderTest(name, path / MANIFEST, path, bundle.manifest, _bytes(model), bundle.manifest.student.macs)
    if model.suffix not in SUFFIXES:
        raise BenchError(
            f"{path}: {model.name} is not a model file that nelf bench knows; they end in {', '.join(SUFFIXES)}"
        )
    return ModelUnderTest(name, model, path, bundle.manifest, _bytes(model), graph_macs(read_graph(model)))


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


FORMAT = "nelf-bench"
VERSION = "1.1"


@dataclass(frozen=True)
class OperationShare:
    """All operations of one kind: their number, milliseconds per frame, and share of the frame."""

    kind: str
    count: int
    ms: float
    share: float


@dataclass(frozen=True)
class OperationTime:
    """One operation as the runtime executes it: milliseconds per frame."""

    kind: str
    ms: float


@dataclass(frozen=True)
class Measurement:
    """One model on one number of threads.

    load_ms: time to read and prepare the file. peak_memory_mb: most memory used for that and the frames, above the same
    process without a model; None if unknown.
    gflops: 2 * multiply-accumulates over the median. peak_share: of the machine's matrix product on as many threads.
    ratio: to the first model on as many threads. profile: time by kind of operation, longest first; operations: one by
    one, as executed; profiled_ms: their sum; no_profile: why there is no profile.
    """

    threads: int
    times: Times
    load_ms: float
    peak_memory_mb: float | None
    gflops: float
    peak_share: float
    ratio: Ratio
    profile: list[OperationShare] = field(default_factory=list)
    operations: list[OperationTime] = field(default_factory=list)
    profiled_ms: float | None = None
    no_profile: str | None = None


@dataclass(frozen=True)
class Result:
    """One bundle or model file. not_timed: why it was not executed here; None if it was."""

    name: str
    target: str | None
    precision: str | None
    bytes: int
    macs: int
    runtime: str | None
    measurements: list[Measurement]
    not_timed: str | None = None


@dataclass(frozen=True)
class Machine:
    """processor, system: as the machine reports them. matmul_gflops: best float32 matrix product, by threads."""

    processor: str
    system: str
    cores: int
    load_average: float | None
    matmul_gflops: dict[str, float]


@dataclass(frozen=True)
class Report:
    """One run of `nelf bench` on this machine. rounds: turns of every model."""

    machine: Machine
    rounds: int
    results: list[Result]
    format: str = FORMAT
    version: str = VERSION

    def as_json(self) -> dict[str, Any]:
        """The report as plain values, for `--json`."""
        return dataclasses.asdict(self)

    def write(self, path: Path) -> None:
        """Write the report as JSON, atomically."""
        write_json(path, self.as_json())
