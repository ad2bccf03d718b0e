"""What Google's benchmark_model prints, read.

The forms are those of tflite/tools/benchmark (LiteRT) and tensorflow/core/util/stats_calculator.cc; older builds print
memory under another heading, newer ones put INFO before a line and add percentiles.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nelf.bench.report import OperationShare
from nelf.errors import BenchError

NUMBER = r"([-+.\deE]+)"
TIMINGS = re.compile(
    rf"Inference timings in us: Init: {NUMBER}, First inference: {NUMBER}, "
    rf"Warmup \(avg\): {NUMBER}, Inference \(avg\): {NUMBER}"
)
STATISTICS = re.compile(rf"count=(\d+)\b.*?\bmin={NUMBER} max={NUMBER} avg={NUMBER}(?: std={NUMBER})?")
PERCENTILES = re.compile(rf"\b(median|p95)={NUMBER}")
MEMORY = re.compile(rf"[Mm]emory footprint[^:\n]*\(MB\): init={NUMBER} overall={NUMBER}")
DELEGATED = re.compile(r"(?:model graph will be|was) (completely|partially) executed by the delegate")
PROFILE = "Operator-wise Profiling Info for Regular Benchmark Runs"
SUMMARY = "Summary by node type"
REFUSED = "operations are not supported by GPU delegate"
KEPT_CHARACTERS = 300


@dataclass(frozen=True)
class ModelRun:
    """One run of benchmark_model. Times are milliseconds, memory megabytes as the tool estimates it.

    median_ms, p95_ms: where this build of the tool prints them. delegated: completely or partially, None where no
    accelerator was asked for or nothing was said. refusals: why operations stayed on the CPU.
    """

    frames: int
    init_ms: float
    first_ms: float
    warmup_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float
    std_ms: float | None
    median_ms: float | None
    p95_ms: float | None
    memory_init_mb: float | None
    memory_mb: float | None
    delegated: str | None
    refusals: list[str]
    profile: list[OperationShare]


def read_output(output: str) -> ModelRun:
    """A run from what the tool printed. Raises BenchError, with its last words, where it got to no timings."""
    lines = [re.sub(r"^\s*(?:INFO|WARNING|ERROR): ?", "", line) for line in output.splitlines()]
    text = "\n".join(lines)
    timings, statistics = TIMINGS.search(text), STATISTICS.findall(text.partition(PROFILE)[0])
    if timings is None or not statistics:
        raise BenchError(f"benchmark_model measured nothing; it said: {' '.join(output.split())[-KEPT_CHARACTERS:]}")
    init, first, warmup, mean = (float(number) / 1000 for number in timings.groups())
    count, least, most, _, deviation = statistics[-1]  # the first are the warm-up's
    counted = next(line for line in reversed(lines) if line.startswith(f"count={count}") and f"min={least}" in line)
    percentiles = {name: float(value) / 1000 for name, value in PERCENTILES.findall(counted)}
    memory, delegated = MEMORY.search(text), DELEGATED.search(text)
    return ModelRun(
        frames=int(count),
        init_ms=init,
        first_ms=first,
        warmup_ms=warmup,
        mean_ms=mean,
        min_ms=float(least) / 1000,
        max_ms=float(most) / 1000,
        std_ms=float(deviation) / 1000 if deviation else None,
        median_ms=percentiles.get("median"),
        p95_ms=percentiles.get("p95"),
        memory_init_mb=float(memory[1]) if memory else None,
        memory_mb=float(memory[2]) if memory else None,
        delegated=delegated[1] if delegated else None,
        refusals=list(_refusals(lines)),
        profile=list(_profile(text)),
    )


def _refusals(lines: list[str]) -> Iterator[str]:
    """The lines after the heading that name an operation and a reason."""
    start = next((i for i, line in enumerate(lines) if REFUSED in line), len(lines))
    for line in lines[start + 1 :]:
        if not re.match(r"[A-Z][A-Z0-9_]*: ", line):
            return
        yield line.strip()


def _profile(text: str) -> Iterator[OperationShare]:
    """The table by kind of operation of the counted runs: name, count, ms, %, cumulated %, KB, times called."""
    table = text.partition(PROFILE)[2].partition(SUMMARY)[2]
    for line in table.splitlines()[1:]:
        cells = [cell.strip() for cell in line.strip().split("\t")]
        if len(cells) < 4:
            if any(cells) and line.strip():
                return
            continue
        if cells[1].isdigit():
            share = float(cells[3].rstrip("%")) / 100
            yield OperationShare(cells[0], int(cells[1]), float(cells[2]), share)
