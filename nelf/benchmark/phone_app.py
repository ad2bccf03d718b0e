"""Benchmark mode of our apps: start the Android app by an intent and follow its file, or read the file of the iOS app.

Both write the report of nelf/benchmark/report.py; docs/benchmark.md has what starts them.
"""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nelf.benchmark.adb import Adb
from nelf.benchmark.report import WARM_UP_SECONDS, App, DeviceBenchmark, Report, as_benchmark, parse_report
from nelf.benchmark.results import ModelUnderTest
from nelf.core.errors import BenchError, ConfigError, Interrupted
from nelf.core.progress import Stop

ACTION = "org.nelf.action.BENCHMARK"
ACCELERATORS = ("auto", "npu", "gpu", "cpu")
GRACE_SECONDS = 120.0  # to load and compile the model
SILENCE_SECONDS = 60.0  # between changes of the file, which come every 10 s: the phone sleeps, or the app ended
POLL_SECONDS = 1.0
REMEDY = "install the app again, from the same version of nelf"


def bench_app(
    adb: Adb,
    subjects: Sequence[ModelUnderTest],
    package: str,
    accelerator: str,
    seconds: float,
    minutes: float,
    stop: Stop,
    echo: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> DeviceBenchmark:
    """Let the app measure bundles, one after the other. What ends it early is in the result, if anything was measured.

    Raises ConfigError for wrong settings, BenchError if the app is missing or nothing was measured.
    """
    if accelerator not in ACCELERATORS:
        raise ConfigError(f"--accelerator {accelerator} is not known; use one of {', '.join(ACCELERATORS)}")
    for subject in subjects:
        if subject.folder is None or subject.manifest is None or subject.path.suffix != ".tflite":
            raise BenchError(f"{subject.name}: the app opens bundles of the target android; give the folder of one")
    if f"package:{package}" not in adb.shell(f"pm list packages {package}").split():
        raise BenchError(f"{package} is not installed on {adb.serial}; install the app first: adb install APK")
    found: list[tuple[Report, ModelUnderTest]] = []
    ended: str | None = None
    for subject in subjects:
        try:
            with _started(adb, subject, package, accelerator, (seconds, minutes), echo) as (answer, token):
                report, ended = _follow(adb, subject, package, answer, token, stop, sleep)
        except (BenchError, Interrupted) as error:
            if not found:
                raise
            ended = "stopped by Ctrl-C" if isinstance(error, Interrupted) else str(error)
        else:
            found.append((report, subject))
        if ended:
            break
    return _merged(found, ended)


@contextlib.contextmanager
def _started(
    adb: Adb,
    subject: ModelUnderTest,
    package: str,
    accelerator: str,
    duration: tuple[float, float],
    echo: Callable[[str], None],
) -> Iterator[tuple[str, str]]:
    """The app has the bundle and measures it. Gives the file that it writes and the token in it.

    duration: seconds, then minutes.
    """
    assert subject.folder is not None
    files, token = f"/sdcard/Android/data/{package}/files", uuid.uuid4().hex[:8]
    answer, name = f"{files}/benchmark.json", f"nelf-bench-{token}"
    seconds, minutes = duration
    adb.shell(f"rm -f {answer} && mkdir -p {files}/bundles")
    with adb.removing(f"{files}/bundles/{name}", echo):
        adb.push(subject.folder, f"{files}/bundles/{name}")
        echo(f"{subject.name}: {package} renders for {WARM_UP_SECONDS + seconds + 60 * minutes:.0f} s")
        adb.shell(
            f"am start -S -W -a {ACTION} -p {package} --es bundle {name} --es accelerator {accelerator} "
            f"--ef warm_up_seconds {WARM_UP_SECONDS:g} --ef seconds {seconds:g} --ef minutes {minutes:g} "
            f"--es token {token}",
            task=f"starting {package}",
        )
        yield answer, token


def _follow(
    adb: Adb,
    subject: ModelUnderTest,
    package: str,
    answer: str,
    token: str,
    stop: Stop,
    sleep: Callable[[float], None],
) -> tuple[Report, str | None]:
    """The last report of one bundle, and why it is not complete, or None. Raises BenchError if nothing was measured."""
    kept: Report | None = None
    ended: str | None = None
    heard, last, patience = time.monotonic(), "", GRACE_SECONDS
    while ended is None:
        try:
            text = _written(adb, package, answer)
        except BenchError as error:
            if kept is None:
                raise
            return kept, str(error)
        report = read_app_file(text) if text != last and text.startswith("{") else None
        last = text
        if report is not None and report.token == token:
            heard, patience = time.monotonic(), SILENCE_SECONDS
            if report.results:
                kept = _checked(report, subject)
            if report.finished and kept is not None:
                return kept, None
            ended = "no frame came" if report.finished else report.stopped
        elif stop.requested:
            if kept is None:
                raise Interrupted("bench: stopped; nothing was measured")
            ended = "stopped by Ctrl-C"
        elif time.monotonic() - heard > patience:
            ended = (
                f"{package} was silent for {patience:.0f} s; is the phone unlocked? adb logcat shows what the app did"
            )
        else:
            sleep(POLL_SECONDS)
    if kept is None:
        raise BenchError(f"{subject.name}: the app measured nothing: {ended}")
    return kept, ended


def _written(adb: Adb, package: str, answer: str) -> str:
    """The app's folder on shared storage; if the shell may not read it, through the debuggable app."""
    read = f"cat {answer} 2>/dev/null || run-as {package} cat files/benchmark.json 2>/dev/null || true"
    return adb.shell(read).strip()


def read_app_file(text: str) -> Report:
    """The report that an app wrote. Raises BenchError, one line."""
    report = parse_report(text.encode(), "app", REMEDY)
    if not isinstance(report.device, App) or report.plan is None or len(report.results) > 1:
        raise BenchError("the app's report is not that of one bundle on one device; is it another program's?")
    return report


def _checked(report: Report, subject: ModelUnderTest) -> Report:
    """Raises BenchError if another model was measured."""
    for one in report.results:
        if one.model_sha256 not in _hashes(subject):
            raise BenchError(
                f"{subject.name}: the app measured another model (SHA-256 {str(one.model_sha256)[:12]}...)"
            )
    return report


def read_app_files(files: Sequence[Path], subjects: Sequence[ModelUnderTest]) -> DeviceBenchmark:
    """Files that an app wrote, each of one of these bundles. Raises BenchError, one line."""
    found: list[tuple[Report, ModelUnderTest]] = []
    ended: str | None = None
    for file in files:
        try:
            report = read_app_file(file.read_text())
        except (OSError, UnicodeDecodeError, BenchError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise BenchError(f"{file} cannot be read: {why}") from error
        if not report.results:
            raise BenchError(f"{file}: the app measured nothing: {report.stopped or 'it had just begun'}")
        measured = report.results[0].model_sha256
        subject = next((one for one in subjects if measured in _hashes(one)), None)
        if subject is None:
            raise BenchError(f"{file} is of another model than {', '.join(one.name for one in subjects)}")
        found.append((report, subject))
        ended = ended or (None if report.finished else report.stopped or "the app ended before its time")
    return _merged(found, ended)


def _hashes(subject: ModelUnderTest) -> set[str]:
    return {file.sha256 for file in subject.manifest.files if file.role == "model"} if subject.manifest else set()


def _merged(found: Sequence[tuple[Report, ModelUnderTest]], ended: str | None) -> DeviceBenchmark:
    """One file of all bundles, which the app measured one by one."""
    reports = [report for report, _ in found]
    results = [one.model_copy(update={"bundle": subject.name}) for report, subject in found for one in report.results]
    whole = reports[-1].model_copy(update={"results": results, "visible": all(one.visible for one in reports)})
    assert whole.plan is not None  # read_app_file refuses others
    return as_benchmark(whole, whole.plan.model_dump(), {subject.name: subject for _, subject in found}, ended)
