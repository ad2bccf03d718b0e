"""Measure a device's table of times: this machine, a phone over adb, or a browser.

The networks are exported and timed in groups next to the reference, and every group is kept.
"""

import contextlib
import functools
import hashlib
import itertools
import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from nelf import __version__
from nelf.benchmark import BenchOptions, bench, browser, open_subjects
from nelf.benchmark.adb import connect
from nelf.benchmark.benchmark_model import PhoneOptions, bench_on_phone, describe
from nelf.benchmark.local import describe_machine
from nelf.benchmark.report import name_of_device
from nelf.core.errors import BenchError, ConfigError, Interrupted
from nelf.core.files import remove
from nelf.core.processes import available_memory, end_with_parent, usable_cores
from nelf.core.progress import ProgressLine, Stop, echo
from nelf.fit.latency import (
    Device,
    DeviceFacts,
    LatencyTable,
    Measured,
    NetworkTime,
    Planned,
    Subject,
    check_table,
    plan_networks,
    read_table,
)
from nelf.fit.space import SearchSpace
from nelf.student import StudentConfig
from nelf.viewer.phone import PhoneServer
from nelf.viewer.server import ViewerServer

PREFIX = "group-"
EXPORTER_BYTES = 2 * 1024**3  # that a process needs to export a network
STOPPED = "fit: stopped; the same command goes on from there"
EXPORTED = 0.9
"""Share of a network's work that is its export; the rest is its time on the device."""


Export = Callable[[StudentConfig, Path], None]
"""Writes an untrained student as a bundle: its time does not depend on its weights."""


@dataclass
class Bench:
    """Exports and times networks of one space on one device."""

    space: SearchSpace
    subject: Subject
    device: Device
    export: Export
    folder: Path
    """For bundles that are not needed for long."""
    stop: Stop
    workers: int = 1
    """Processes that export a table's networks; with more than one, `export` must be picklable."""
    reference: Path = field(init=False)
    pool: ProcessPoolExecutor | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.reference = self.folder / "reference"
        for left in self.folder.glob(f"{PREFIX}*"):  # by a process that was killed
            remove(left)

    def time(self, configs: Sequence[StudentConfig], each: Callable[[], None] = lambda: None) -> Measured:
        """Time the reference and these networks; the reference comes first. each: called after each export."""
        usual = plan_networks(self.space)[0].config(self.space)
        if not (self.reference / "manifest.json").is_file():
            self.export(usual, self.reference)
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=PREFIX) as folder:
            bundles = [Path(folder) / f"network-{number}" for number in range(len(configs))]
            self._export_all([*zip(configs, bundles, strict=True)], each)
            try:
                found = self.device.measure([self.reference, *bundles], self.stop)
            except BenchError as error:
                if self.stop.requested:  # Ctrl-C of a terminal also ends the processes that measure
                    raise Interrupted(STOPPED) from error
                raise
        if not all(one > 0 for one in found.milliseconds):
            raise BenchError(f"{found.device} told a time of 0 ms, so its clock is too coarse; use another device")
        return found

    def _export_all(self, jobs: Sequence[tuple[StudentConfig, Path]], each: Callable[[], None]) -> None:
        futures = [self.pool.submit(self.export, *job) for job in jobs] if self.pool else []
        work = [future.result for future in futures] or [functools.partial(self.export, *job) for job in jobs]
        try:
            for export in work:
                if self.stop.requested:
                    raise Interrupted(STOPPED)
                export()
                each()
        except BrokenProcessPool as error:
            why = "a process that exports networks ended, most likely because memory ran out"
            raise BenchError(f"{why}; the same command goes on from there") from error
        finally:
            for future in futures:
                future.cancel()

    def milliseconds(self, config: StudentConfig, table: LatencyTable) -> float:
        """Time of one network, corrected by the reference as the table's times are. Raises BenchError."""
        found = self.time([config])
        if self.stop.requested:
            raise Interrupted(STOPPED)
        if found.ended is not None or len(found.milliseconds) < 2:
            raise BenchError(f"{found.ended or 'the device sent too few times'}; the same command goes on from there")
        reference, own = found.milliseconds
        return own * table.networks[0].milliseconds / reference


def make_table(path: Path, bench: Bench) -> LatencyTable:
    """The table in the file `path`; measures what it lacks, and writes it after every group.

    Raises BenchError, naming both, if the file is of another device, and if the device ends early: what was measured is
    kept, and the same call goes on.
    """
    planned = plan_networks(bench.space)
    table = read_table(path) if path.exists() else None
    if table is not None:
        check_table(path, table, bench.subject, bench.device.facts)
    done = len(table.networks) if table is not None else 0
    with (
        _exporters(bench, done < len(planned)),
        ProgressLine("table of times", len(planned), "networks", start=done) as line,
    ):
        while done < len(planned):
            # The first network is the reference, which every group has anyway.
            group = planned[max(done, 1) : max(done, 1) + bench.device.group]
            exported = 0

            def each(done: int = done) -> None:
                nonlocal exported
                exported += 1
                line.update(done + EXPORTED * exported)

            found = bench.time([one.config(bench.space) for one in group], each)
            table = _with(path, table, found, group, bench, planned)
            table.write(path)
            done = len(table.networks)
            line.update(done)
            if bench.stop.requested and not table.complete:
                raise Interrupted(STOPPED)
            if found.ended is not None:
                raise BenchError(
                    f"{found.ended}; {done} of {len(planned)} networks are kept in {path}, and the same command goes on"
                )
    assert table is not None
    return table


def export_workers() -> int:
    """Processes that this machine has cores and memory for."""
    memory = available_memory()
    return max(1, min(usable_cores(), usable_cores() if memory is None else memory // EXPORTER_BYTES))


@contextlib.contextmanager
def _exporters(bench: Bench, needed: bool) -> Iterator[None]:
    """Within the block the networks are exported in several processes at a time."""
    if not needed or bench.workers < 2:
        yield
        return
    with ProcessPoolExecutor(bench.workers, multiprocessing.get_context("spawn"), _begin_worker) as bench.pool:
        try:
            yield
        finally:
            bench.pool = None


def _begin_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command decides what Ctrl-C ends
    end_with_parent()


def _with(
    path: Path, table: LatencyTable | None, found: Measured, group: Sequence[Planned], bench: Bench, all_: list[Planned]
) -> LatencyTable:
    """The table with one more group, whose first time is the reference's."""
    if not found.milliseconds:
        raise BenchError(f"{found.ended or 'the device sent no times'}; the same command goes on from there")
    if table is None:
        first = _entry(all_[0], found.milliseconds[0], bench.space)
        table = LatencyTable(
            nelf=__version__, device=found.device, subject=bench.subject, planned=len(all_), networks=[first]
        )
    check_table(path, table, bench.subject, found.device)
    factor = table.networks[0].milliseconds / found.milliseconds[0]
    more = [_entry(one, factor * ms, bench.space) for one, ms in zip(group, found.milliseconds[1:], strict=False)]
    return table.model_copy(update={"networks": [*table.networks, *more]})


def _entry(planned: Planned, milliseconds: float, space: SearchSpace) -> NetworkTime:
    work = space.count(planned.config(space)).work
    return NetworkTime(values=dict(planned.values), work=dict(work), milliseconds=milliseconds, check=planned.check)


RUNS = 60  # frames of each network
GROUP = 6  # networks that take turns on this machine, each in its own process
PHONE_GROUP = 4
BROWSER_SECONDS = 10.0  # for each network
EVERYTHING = 1000  # a browser measures all in one visit, and reports while it does
KINDS = "host, adb, adb:SERIAL, browser, chromium or the .json file of a table"

Introduce = Callable[[Sequence[str], str], None]
"""Tells the user which addresses to open on the phone."""


class Host:
    """LiteRT on this machine."""

    group, asked_often = GROUP, True

    def __init__(self, threads: int | None, runs: int = RUNS) -> None:
        self.options = BenchOptions((threads or usable_cores(),), runs)
        self._machine = functools.cache(describe_machine)

    @functools.cached_property
    def facts(self) -> DeviceFacts:
        """See `Device`."""
        machine = describe_machine(())
        (threads,) = self.options.threads
        runtime = f"LiteRT {version('ai-edge-litert')}"
        return DeviceFacts(kind="host", name=f"{machine.processor}, {machine.system}", runtime=runtime, threads=threads)

    def measure(self, bundles: Sequence[Path], stop: Stop) -> Measured:
        """See `Device`."""

        def leave(done: float) -> None:
            if stop.requested:
                raise Interrupted(STOPPED)

        report = bench(open_subjects(bundles), self.options, leave, self._machine)
        return Measured(self.facts, [result.measurements[0].times.median_ms for result in report.results])


class Phone:
    """An Android phone over adb, with LiteRT's benchmark_model."""

    group, asked_often = PHONE_GROUP, True

    def __init__(self, serial: str | None, program: Path, accelerator: str, threads: int | None, runs: int = RUNS):
        self.options = PhoneOptions(program, accelerator, threads or PhoneOptions.threads, runs)
        self.adb = connect(serial)

    @functools.cached_property
    def facts(self) -> DeviceFacts:
        """See `Device`."""
        told = describe(self.adb)
        name = " ".join(told[key] for key in ("manufacturer", "model", "soc") if told[key]) or told["serial"]
        digest = hashlib.sha256(self.options.program.read_bytes()).hexdigest()[:12]
        return DeviceFacts(
            kind="adb",
            name=f"{name}, Android {told['os']}",
            runtime=f"benchmark_model {digest} on {self.options.accelerator}",
            threads=self.options.threads,
        )

    def measure(self, bundles: Sequence[Path], stop: Stop) -> Measured:
        """See `Device`."""

        def leave(line: str) -> None:
            if stop.requested:
                raise Interrupted(STOPPED)

        report = bench_on_phone(self.adb, open_subjects(bundles), self.options, leave)
        runs = [result.first.run for result in report.results]
        times = [run.mean_ms if run.median_ms is None else run.median_ms for run in runs]
        return Measured(self.facts, times, report.ended)


class Browser:
    """The browser of a phone that scans a code, or Chromium on this machine."""

    group = EVERYTHING
    facts = None

    def __init__(self, kind: Literal["browser", "chromium"], introduce: Introduce) -> None:
        self.kind: Literal["browser", "chromium"] = kind
        self.introduce = introduce
        self.asked_often = kind == "chromium"
        if kind == "chromium":
            browser.find_chromium()

    def measure(self, bundles: Sequence[Path], stop: Stop) -> Measured:
        """See `Device`."""
        site = browser.make_site(open_subjects(bundles))
        ids = list(site.bundles)
        session = browser.Session(browser.make_plan(ids, BROWSER_SECONDS, 0.0))
        kind: Any = PhoneServer if self.kind == "browser" else ViewerServer
        server = kind(site, 0, plan=session.plan, receive=session.receive)
        with server, browser.answering(server):
            if isinstance(server, PhoneServer):
                self.introduce(server.urls(browser.QUERY), server.introduction(browser.QUERY))
                report, ended = browser.wait_for_reports(session, stop, echo)
            else:
                with browser.chromium(server.url + f"{browser.QUERY}=auto") as alive:
                    report, ended = browser.wait_for_reports(session, stop, echo, alive=alive)
        if not report.visible:
            raise BenchError("the page was in the background for a time, so its figures do not count; measure again")
        found = {one.bundle: one for one in report.results}
        # The page works through the plan in order; the last one may be cut short.
        complete = [*itertools.takewhile(found.__contains__, ids)][: None if ended is None else -1]
        times = [found[one].latency.median for one in complete]
        if not times:
            raise BenchError(f"{ended}; the same command goes on from there")
        told, first = report.device, found[ids[0]]
        facts = DeviceFacts(
            kind=self.kind,
            name=", ".join((name_of_device(told), told.user_agent if told.type == "browser" else told.app)),
            runtime=first.backend,
            threads=first.threads,
        )
        return Measured(facts, times, ended)


def open_device(
    asked: str, threads: int | None, program: Path | None, accelerator: str | None, introduce: Introduce
) -> Device:
    """The device of `--device`, except for a file. Raises ConfigError or BenchError."""
    kind, _, serial = asked.partition(":")
    if kind != "adb":
        for option, value in (("--benchmark-model", program), ("--accelerator", accelerator)):
            if value is not None:
                raise ConfigError(f"{option} is for a phone; add --device adb")
    if kind == "adb":
        if program is None:
            raise ConfigError("--device adb needs --benchmark-model PATH, Google's tool built for the phone")
        return Phone(serial or None, program, accelerator or "cpu", threads)
    if asked == "host":
        return Host(threads)
    if asked in ("browser", "chromium"):
        if threads is not None:
            raise ConfigError("--threads is not for a browser, which decides itself")
        return Browser("browser" if asked == "browser" else "chromium", introduce)
    raise ConfigError(f"--device {asked} is not known; use {KINDS}")
