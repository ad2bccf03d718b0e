"""LiteRT's benchmark_model on a phone."""

import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nelf.benchmark.adb import Adb, Condition, read_condition
from nelf.benchmark.local import check_amount
from nelf.benchmark.results import ModelUnderTest, OperationShare
from nelf.core.errors import BenchError, ConfigError
from nelf.core.files import write_json

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

    median_ms, p95_ms: if this build of the tool prints them. delegated: completely or partially; None without an
    accelerator or a message about it. refusals: why operations stayed on the CPU.
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
    """Parse what the tool printed. Raises BenchError, with its last words, if there are no timings."""
    lines = [re.sub(r"^\s*(?:INFO|WARNING|ERROR): ?", "", line) for line in output.splitlines()]
    text = "\n".join(lines)
    timings, statistics = TIMINGS.search(text), STATISTICS.findall(text.partition(PROFILE)[0])
    if timings is None or not statistics:
        raise BenchError(f"benchmark_model measured nothing; it said: {' '.join(output.split())[-KEPT_CHARACTERS:]}")
    init, first, warmup, mean = (float(number) / 1000 for number in timings.groups())
    count, least, most, _, deviation = statistics[-1]  # earlier ones belong to the warm-up
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
    """The lines after the heading, which name an operation and a reason."""
    start = next((i for i, line in enumerate(lines) if REFUSED in line), len(lines))
    for line in lines[start + 1 :]:
        if not re.match(r"[A-Z][A-Z0-9_]*: ", line):
            return
        yield line.strip()


def _profile(text: str) -> Iterator[OperationShare]:
    """The table by kind of operation, of counted runs: name, count, ms, %, cumulative %, KB, calls."""
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


FORMAT, VERSION = "nelf-bench-phone", "1.0"
FOLDER = "/data/local/tmp/nelf-bench"
ACCELERATORS = {"cpu": ("--use_xnnpack=true",), "gpu": ("--use_gpu=true",)}
SUSTAINED_SECONDS = 10  # per run in sustained mode; temperatures are read between runs
MOST_SECONDS = 600.0


@dataclass(frozen=True)
class PhoneOptions:
    """program: benchmark_model, built for the phone. minutes: of sustained running; 0 for a single run."""

    program: Path
    accelerator: str = "cpu"
    threads: int = 4
    runs: int = 100
    minutes: float = 0.0

    def __post_init__(self) -> None:
        if not self.program.is_file():
            raise ConfigError(
                f"--benchmark-model {self.program} is not a file; LiteRT's page on measuring performance links to "
                "builds for Android (android_aarch64_benchmark_model)"
            )
        if self.accelerator not in ACCELERATORS:
            raise ConfigError(f"--accelerator {self.accelerator} is not known; use one of {', '.join(ACCELERATORS)}")
        if self.threads < 1:
            raise ConfigError(f"--threads {self.threads} is too few; use 1 or more")
        check_amount(self.runs, self.minutes)


@dataclass(frozen=True)
class PhoneRun:
    """One run of the tool, and the phone's temperatures right after it."""

    run: ModelRun
    condition: Condition


@dataclass(frozen=True)
class PhoneResult:
    """One model. first: with the profile of operations. sustained: later runs in order, without profile."""

    name: str
    bytes: int
    macs: int
    before: Condition
    first: PhoneRun
    sustained: list[PhoneRun]


@dataclass(frozen=True)
class PhoneReport:
    """One run of `nelf bench --device adb`. ended: why it ended early; earlier results are kept."""

    device: dict[str, str]
    accelerator: str
    threads: int
    results: list[PhoneResult]
    ended: str | None = None
    untested_on_hardware: bool = True
    format: str = FORMAT
    version: str = VERSION

    def as_json(self) -> dict[str, Any]:
        """The report as plain values, for `--json`."""
        return asdict(self)

    def write(self, path: Path) -> None:
        """Write the report as JSON, atomically."""
        write_json(path, self.as_json())


def bench_on_phone(
    adb: Adb,
    subjects: Sequence[ModelUnderTest],
    options: PhoneOptions,
    progress: Callable[[str], None] = lambda line: None,
) -> PhoneReport:
    """Measure LiteRT models on a phone, one after the other. Removes the pushed files afterwards.

    If the phone fails after the first result, the report has what came before.
    progress: called with a line before each run; if it raises, measuring ends. Raises BenchError.
    """
    for subject in subjects:
        if subject.path.suffix != ".tflite":
            raise BenchError(f"{subject.name}: benchmark_model runs .tflite files; give bundles of the target android")
    folder = f"{FOLDER}-{uuid.uuid4().hex[:8]}"
    device, results = describe(adb), list[PhoneResult]()
    ended: str | None = None
    with adb.removing(folder, progress):
        adb.shell(f"mkdir -p {folder}")
        program = f"{folder}/benchmark_model"
        adb.push(options.program, program)
        adb.shell(f"chmod 755 {program}")
        for subject in subjects:
            try:
                _measure(adb, subject, program, f"{folder}/model.tflite", options, progress, results)
            except BenchError as error:
                if not results:
                    raise
                ended = str(error)
                break
    return PhoneReport(device, options.accelerator, options.threads, results, ended)


def describe(adb: Adb) -> dict[str, str]:
    """Manufacturer, model and system as the phone reports them."""
    keys = {
        "manufacturer": "ro.product.manufacturer",
        "model": "ro.product.model",
        "soc": "ro.soc.model",
        "os": "ro.build.version.release",
    }
    return {"serial": adb.serial} | {name: adb.property(key) for name, key in keys.items()}


def _measure(
    adb: Adb,
    subject: ModelUnderTest,
    program: str,
    model: str,
    options: PhoneOptions,
    progress: Callable[[str], None],
    results: list[PhoneResult],
) -> None:
    """Append to `results` as soon as there is a first run; sustained runs are added to it one by one."""
    adb.push(subject.path, model)
    began = time.monotonic()
    before = read_condition(adb, 0.0)

    def run(*extra: str) -> PhoneRun:
        flags = [f"--graph={model}", f"--num_threads={options.threads}", *ACCELERATORS[options.accelerator], *extra]
        output = adb.shell(
            f"{program} {' '.join(flags)}", seconds=MOST_SECONDS, task=f"benchmark_model of {subject.name}"
        )
        return PhoneRun(read_output(output), read_condition(adb, time.monotonic() - began))

    progress(f"{subject.name}: {options.runs} frames with profile")
    first = run(f"--num_runs={options.runs}", "--enable_op_profiling=true", "--report_peak_memory_footprint=false")
    sustained: list[PhoneRun] = []
    results.append(PhoneResult(subject.name, subject.size, subject.macs, before, first, sustained))
    end = time.monotonic() + 60 * options.minutes
    while time.monotonic() < end:
        progress(f"{subject.name}: sustained, {max(0.0, end - time.monotonic()):.0f} s left")
        sustained.append(run("--num_runs=1", f"--min_secs={SUSTAINED_SECONDS}", f"--max_secs={SUSTAINED_SECONDS}"))
