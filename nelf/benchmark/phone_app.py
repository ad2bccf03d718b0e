"""Benchmark mode of our Android app: start it by an intent, read its JSON (format: docs/benchmark.md)."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from nelf.benchmark.adb import Adb
from nelf.benchmark.local import check_amount
from nelf.benchmark.results import ModelUnderTest
from nelf.core.errors import BenchError, ConfigError

FORMAT, MAJOR = "nelf-app-benchmark", "1"
ACTION = "org.nelf.action.BENCHMARK"
ACCELERATORS = ("auto", "npu", "gpu", "cpu")
LEAST_MINUTES = 0.5
GRACE_SECONDS = 120.0  # to load and compile the model
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class AppBenchmark:
    """The app's file. docs/benchmark.md explains its keys."""

    token: str
    model: str
    model_sha256: str
    accelerator: str
    fallbacks: list[dict[str, str]]
    device: dict[str, str]
    load_ms: float
    first_ms: float
    warmup_frames: int
    frames: int
    seconds: float
    median_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float
    windows: list[dict[str, float]]
    thermal: list[dict[str, float | None]]
    memory_mb: float | None
    error: str | None

    def as_json(self) -> dict[str, Any]:
        """The report as plain values, for `--json`."""
        return asdict(self)


def run_app(
    adb: Adb,
    subject: ModelUnderTest,
    package: str,
    accelerator: str = "auto",
    minutes: float = 0.0,
    progress: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> AppBenchmark:
    """Push a bundle into the app's folder, let the app measure it, and read its answer.

    Raises BenchError if the app does not answer in time, answers something else, or could not measure.
    """
    if accelerator not in ACCELERATORS:
        raise ConfigError(f"--accelerator {accelerator} is not known; use one of {', '.join(ACCELERATORS)}")
    check_amount(1, minutes)
    if subject.folder is None or subject.manifest is None or subject.path.suffix != ".tflite":
        raise BenchError(f"{subject.name}: the app opens bundles of the target android; give the folder of one")
    if f"package:{package}" not in adb.shell(f"pm list packages {package}").split():
        raise BenchError(f"{package} is not installed on {adb.serial}; install the app first: adb install APK")
    minutes = max(minutes, LEAST_MINUTES)
    files = f"/sdcard/Android/data/{package}/files"
    answer, token = f"{files}/benchmark.json", uuid.uuid4().hex[:8]
    name = f"nelf-bench-{token}"
    adb.shell(f"rm -f {answer} && mkdir -p {files}/bundles")
    with adb.removing(f"{files}/bundles/{name}", progress):
        adb.push(subject.folder, f"{files}/bundles/{name}")
        progress(f"{subject.name}: {package} renders for {60 * minutes:.0f} s")
        adb.shell(
            f"am start -S -W -a {ACTION} -p {package} --es bundle {name} --es accelerator {accelerator} "
            f"--ef minutes {minutes:g} --es token {token}",
            task=f"starting {package}",
        )
        end = time.monotonic() + 60 * minutes + GRACE_SECONDS
        while time.monotonic() < end:
            # The app's folder on shared storage; if the shell may not read it, through the debuggable app.
            text = adb.shell(
                f"cat {answer} 2>/dev/null || run-as {package} cat files/benchmark.json 2>/dev/null || true"
            )
            found = read_app_file(text, subject.name) if text.strip().startswith("{") else None
            if found is not None and found.token == token:
                return _checked(found, subject)
            sleep(POLL_SECONDS)
    raise BenchError(f"{package} wrote no {answer} in time; is the phone unlocked? adb logcat shows what the app did")


def read_app_file(text: str, where: str) -> AppBenchmark:
    """Parse the app's file. Raises BenchError, one line."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BenchError(f"{where}: the app's benchmark file is not JSON ({error}); update the app") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BenchError(f"{where}: the app's benchmark file is not a {FORMAT}; update the app")
    if str(content.get("version")).split(".")[0] != MAJOR:
        raise BenchError(
            f"{where}: the app's benchmark file has version {content.get('version')}, but this nelf reads {MAJOR}.x"
        )
    names = [field.name for field in fields(AppBenchmark)]
    missing = [name for name in names if name not in content]
    if missing:
        raise BenchError(f"{where}: the app's benchmark file lacks {', '.join(missing)}; update the app")
    return AppBenchmark(**{name: content[name] for name in names})


def _checked(found: AppBenchmark, subject: ModelUnderTest) -> AppBenchmark:
    if found.error:
        raise BenchError(f"{subject.name}: the app could not measure: {found.error}")
    assert subject.manifest is not None
    hashes = {file.sha256 for file in subject.manifest.files if file.role == "model"}
    if found.model_sha256 not in hashes:
        raise BenchError(f"{subject.name}: the app measured another model (SHA-256 {found.model_sha256[:12]}...)")
    return found
