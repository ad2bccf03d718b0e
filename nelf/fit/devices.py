"""The devices that `nelf fit` can measure: this machine, a phone over adb, a browser. Each times bundles."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from nelf.benchmark import BenchOptions, bench, browser, open_subjects
from nelf.benchmark.adb import connect
from nelf.benchmark.benchmark_model import PhoneOptions, bench_on_phone, describe
from nelf.benchmark.local import describe_machine
from nelf.core.errors import BenchError, ConfigError, Interrupted
from nelf.core.processes import usable_cores
from nelf.core.progress import Stop, echo
from nelf.fit.latency import DeviceFacts
from nelf.fit.measuring import Device, Measured
from nelf.viewer.phone import PhoneServer
from nelf.viewer.server import ViewerServer

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
                raise Interrupted("fit: stopped; the same command goes on from there")

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
                raise Interrupted("fit: stopped; the same command goes on from there")

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
        complete = ids if ended is None else ids[: max(0, len(found) - 1)]
        times = [found[one].latency.median for one in complete]
        if not times:
            raise BenchError(f"{ended}; the same command goes on from there")
        told, first = report.device, found[ids[0]]
        facts = DeviceFacts(
            kind=self.kind,
            name=" ".join(part for part in (told.platform, told.gpu, told.user_agent) if part),
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
