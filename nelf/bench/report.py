"""What a measurement found; its JSON is described in docs/benchmark.md."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nelf.bench.statistics import Ratio, Times
from nelf.storage import write_json

FORMAT = "nelf-bench"
VERSION = "1.1"


@dataclass(frozen=True)
class OperationShare:
    """All operations of one kind together: how many, their milliseconds a frame, and their share of the frame."""

    kind: str
    count: int
    ms: float
    share: float


@dataclass(frozen=True)
class OperationTime:
    """One operation as the runtime executes it: milliseconds of a frame."""

    kind: str
    ms: float


@dataclass(frozen=True)
class Measurement:
    """One model on one number of threads.

    load_ms: reading the file and making it ready. peak_memory_mb: what that and the frames needed at most, above the
    same process with the runtime loaded and no model; None where the system does not tell.
    gflops: 2 x multiply-accumulates over the median. peak_share: of the machine's matrix product on as many threads.
    ratio: to the first model on as many threads. profile: where the frame went by the runtime's own profiler, most
    first; operations: one by one, as executed; profiled_ms: all of it together; no_profile: why there is none.
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
    """One bundle or model file. not_timed: why it was not executed here, None where it was."""

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
    """processor, system: as the machine calls itself. matmul_gflops: best float32 matrix product, by threads."""

    processor: str
    system: str
    cores: int
    load_average: float | None
    matmul_gflops: dict[str, float]


@dataclass(frozen=True)
class Report:
    """All of one run of `nelf bench` on this machine. rounds: turns that every model had."""

    machine: Machine
    rounds: int
    results: list[Result]
    format: str = FORMAT
    version: str = VERSION

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def write(self, path: Path) -> None:
        """As JSON, atomically."""
        write_json(path, self.as_json())
