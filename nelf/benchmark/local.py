"""Time bundles on this machine, in turns, each model in its own process."""

import collections
import contextlib
import itertools
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from nelf.benchmark.results import (
    Machine,
    Measurement,
    ModelUnderTest,
    OperationShare,
    OperationTime,
    Report,
    Result,
    ratio,
    times,
)
from nelf.core.errors import BenchError, ConfigError
from nelf.core.processes import usable_cores
from nelf.runtime import RUNTIMES

KEPT_CHARACTERS = 300


class WorkerProcess:
    """A process that holds one model, or none, and answers requests. Leaving the context ends it."""

    def __init__(self, name: str, path: Path | None, threads: int, inputs: Path | None = None) -> None:
        """name: for messages. inputs: an .npz file, see the worker."""
        self.name = name
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        command = [sys.executable, "-m", "nelf.runtime.worker", str(path or "-"), str(threads)]
        self._process = subprocess.Popen(
            command + ([str(inputs)] if inputs else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """The worker's answer. Raises BenchError if the process died or reports an error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise BenchError(
                f"{self.name}: its process ended (code {self._process.wait()}) during {do}: {self._tail()}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(f"{self.name}: {do} failed: {answer['error'][:KEPT_CHARACTERS]}")
        return answer

    def _tail(self) -> str:
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").split("\n")
        return " ".join(" ".join(said).split())[-KEPT_CHARACTERS:] or "it said nothing"

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):  # a request that a dead process did not read
            self._process.stdin.close()
        self._process.stdout.close()
        self._said.close()


ROUNDS = 20
WARM_FRAMES = 10
FRAMES_TO_CATCH_UP = 1  # uncounted at the start of a turn: other models have used the caches
PROFILED_FRAMES = 20
APPLE_ONLY = (
    "Core ML runs only on Apple's systems: here the file is interpreted to verify it, which says nothing about speed"
)


CPU_INFO = Path("/proc/cpuinfo")


def describe_machine(threads: Sequence[int]) -> Machine:
    """This machine, with its best matrix product for each number of threads, each in its own process."""
    best = {}
    for count in threads:
        with WorkerProcess("matrix product", None, count) as child:
            best[str(count)] = float(child.ask("matmul", size=MATMUL_SIZE)["gflops"])
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Machine(_processor(), f"{platform.system()} {platform.machine()}", usable_cores(), load, best)


def _processor() -> str:
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@dataclass(frozen=True)
class BenchOptions:
    """threads: numbers of threads to measure. runs: fewest counted frames per model.

    minutes: continue with turns for this long; 0 stops after `runs`.
    """

    threads: tuple[int, ...]
    runs: int = 100
    minutes: float = 0.0

    def __post_init__(self) -> None:
        most = usable_cores()
        if not self.threads or any(not 1 <= count <= most for count in self.threads):
            asked = ",".join(map(str, self.threads))
            raise ConfigError(f"--threads {asked}: this process may use {most} cores; give numbers from 1 to {most}")
        if len(set(self.threads)) < len(self.threads):
            raise ConfigError(f"--threads {','.join(map(str, self.threads))} names a number twice")
        check_amount(self.runs, self.minutes)


def check_amount(runs: int, minutes: float) -> None:
    """Raise ConfigError for less than one frame, or a negative or infinite time."""
    if runs < 1:
        raise ConfigError(f"--runs {runs} is too few; use 1 or more")
    if not 0 <= minutes < math.inf:
        raise ConfigError(f"--minutes {minutes:g} is {'negative' if minutes < 0 else 'not a time'}; use 0 or more")


def parse_threads(text: str) -> tuple[int, ...]:
    """Numbers of threads from the command line, such as "1,2". Raises ConfigError."""
    try:
        return tuple(int(count) for count in text.split(","))
    except ValueError:
        raise ConfigError(f"--threads {text} is not a list of numbers; use e.g. --threads 1,2") from None


@dataclass
class _Variant:
    """One model on one number of threads, in its process. rounds: milliseconds of each counted frame, by turn."""

    subject: ModelUnderTest
    threads: int
    child: WorkerProcess
    load_ms: float
    rounds: list[list[float]] = field(default_factory=list)


def bench(
    subjects: Sequence[ModelUnderTest],
    options: BenchOptions,
    progress: Callable[[float], None] = lambda done: None,
    describe: Callable[[Sequence[int]], Machine] = describe_machine,
) -> Report:
    """Measure every subject that a runtime here can execute. For others, report size and multiply-accumulates.

    Each model has its own process and waits while others run. In every round each runs a few frames, so that a slow
    phase of the machine affects all. progress: called after each round with the share done; if it raises, measuring
    ends. Raises BenchError.
    """
    timed = [subject for subject in subjects if subject.untimed is None]
    machine = describe(options.threads if timed else ())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        variants = [
            _started(stack, subject, threads, subject.write_inputs(folder / f"{number}.npz"))
            for number, subject in enumerate(timed)
            for threads in options.threads
        ]
        rounds = _take_turns(variants, options, progress) if variants else 0
        found = {id(variant): _measurement(variant, variants, machine) for variant in variants}
        results = [
            _result(subject, [found[id(variant)] for variant in variants if variant.subject is subject])
            for subject in subjects
        ]
    return Report(machine, rounds, results)


def _started(stack: contextlib.ExitStack, subject: ModelUnderTest, threads: int, inputs: Path | None) -> _Variant:
    child = stack.enter_context(WorkerProcess(subject.name, subject.path, threads, inputs))
    load_ms = float(child.ask("load")["load_ms"])
    child.ask("run", frames=0, warm=WARM_FRAMES)
    return _Variant(subject, threads, child, load_ms)


def _take_turns(variants: Sequence[_Variant], options: BenchOptions, progress: Callable[[float], None]) -> int:
    """Run the rounds; return their number."""
    planned = min(ROUNDS, options.runs)
    frames = -(-options.runs // planned)
    began, wanted = time.monotonic(), 60 * options.minutes
    for done in itertools.count(1):
        first = done % len(
            variants
        )  # each round starts with another model, since the one before affects the machine's temperature
        for variant in (*variants[first:], *variants[:first]):
            variant.rounds.append(variant.child.ask("run", frames=frames, warm=FRAMES_TO_CATCH_UP)["ms"])
        gone = time.monotonic() - began
        progress(min(done / planned, gone / wanted if wanted else 1.0, 1.0))
        if done >= planned and gone >= wanted:
            return done
    raise AssertionError("unreachable")


def _measurement(variant: _Variant, variants: Sequence[_Variant], machine: Machine) -> Measurement:
    first = next(other for other in variants if other.threads == variant.threads)
    taken = times(list(itertools.chain.from_iterable(variant.rounds)))
    gflops = 2 * variant.subject.macs / (taken.median_ms / 1000) / 1e9
    peak = variant.child.ask("memory")["peak_mb"]  # before profiling, which loads the model once more
    operations, no_profile = _operations(variant)
    profile = _by_kind(operations)
    return Measurement(
        threads=variant.threads,
        times=taken,
        load_ms=variant.load_ms,
        peak_memory_mb=peak,
        gflops=gflops,
        peak_share=gflops / machine.matmul_gflops[str(variant.threads)],
        ratio=ratio(variant.rounds, first.rounds),
        profile=profile,
        operations=operations,
        profiled_ms=None if no_profile else sum(one.ms for one in operations),
        no_profile=no_profile,
    )


def _operations(variant: _Variant) -> tuple[list[OperationTime], str | None]:
    """Operations in order of execution, or the reason why there is no profile."""
    try:
        operations = variant.child.ask("profile", frames=PROFILED_FRAMES)["operations"]
    except BenchError as error:  # other versions of the runtime may have no profiler; times remain valid
        return [], str(error)
    return [OperationTime(kind, ms) for kind, ms in operations], None


def _by_kind(operations: Sequence[OperationTime]) -> list[OperationShare]:
    """Operations grouped by kind, longest time first."""
    together: dict[str, list[float]] = collections.defaultdict(list)
    for one in operations:
        together[one.kind].append(one.ms)
    whole = sum(one.ms for one in operations)
    shares = [
        OperationShare(kind, len(each), sum(each), sum(each) / whole if whole else 0.0)
        for kind, each in together.items()
    ]
    return sorted(shares, key=lambda one: -one.ms)


def _result(subject: ModelUnderTest, measurements: list[Measurement]) -> Result:
    runtime = RUNTIMES[subject.path.suffix]
    manifest = subject.manifest
    return Result(
        name=subject.name,
        target=manifest.target if manifest else None,
        precision=manifest.precision if manifest else None,
        bytes=subject.size,
        macs=subject.macs,
        runtime=f"{runtime.name} {version(runtime.package)}" if subject.untimed is None else None,
        measurements=measurements,
        not_timed=subject.untimed and APPLE_ONLY,
    )


MATMUL_SIZE = 2048
