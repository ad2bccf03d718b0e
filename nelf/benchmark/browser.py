"""Measure bundles in a browser: that of a phone which scans a code, or Chromium on this machine.

The page measures by a plan and reports every few seconds, so a run that is cut short keeps what it has.
"""

import contextlib
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from nelf.benchmark.local import check_amount
from nelf.benchmark.report import WARM_UP_SECONDS, Report, parse_report
from nelf.benchmark.results import ModelUnderTest
from nelf.core.errors import BenchError, ConfigError, Interrupted
from nelf.core.progress import Stop
from nelf.viewer.server import ViewerServer
from nelf.viewer.site import Site

ARRIVAL_SECONDS = 600.0  # until the first report: someone must find a phone
SILENCE_SECONDS = 60.0  # between reports, which come every 5 s: the phone sleeps, or its page was closed
RELOAD_SECONDS = 15.0  # after a page says that it stops: it may be loaded again
POLL_SECONDS = 0.2
FAREWELL_SECONDS = 0.5  # for the answer to the last report
QUERY = "?benchmark"
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless=new", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--disable-quic", "--window-size=1280,800")  # fmt: skip


def make_plan(ids: Sequence[str], seconds: float, minutes: float) -> dict[str, Any]:
    """What the page or the app is to do. Raises ConfigError."""
    check_amount(1, minutes)
    if not 1 <= seconds <= 3600:
        raise ConfigError(f"--seconds {seconds:g} is not allowed; use 1 to 3600")
    return {"bundles": list(ids), "warm_up_seconds": WARM_UP_SECONDS, "seconds": seconds, "minutes": minutes or None}


def make_site(subjects: Sequence[ModelUnderTest]) -> Site:
    """The page with these bundles. Raises BenchError for a plain file, BundleError for what no browser shows."""
    for subject in subjects:
        if subject.folder is None:
            raise BenchError(f"{subject.name} is a file; a browser measures bundles, so give the folder of one")
    return Site(*(subject.folder for subject in subjects if subject.folder), listed=True)


def read_report(body: bytes, plan: Mapping[str, Any]) -> Report:
    """The report in a request. Raises BenchError, one line, if it is not one or contradicts the plan."""
    report = parse_report(body, "page", "build the page again: make web")
    ids = [result.bundle for result in report.results]
    wrong = [one for one in ids if one not in plan["bundles"] or ids.count(one) > 1]
    if wrong:
        raise BenchError(f"the page's report has {wrong[0][:80]!r}, which is not in the plan or there twice")
    if report.finished and len(ids) < len(plan["bundles"]):
        raise BenchError(f"the page says it has finished, with {len(ids)} of {len(plan['bundles'])} bundles")
    return report


class Session:
    """Takes the reports of one device: the first that sends any."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.plan = plan
        self.inbox: queue.Queue[Report | str] = queue.Queue()
        """Reports, and why others were refused."""
        self._device: tuple[str, str] | None = None
        self._lock = threading.Lock()

    def receive(self, body: bytes, sender: str) -> tuple[HTTPStatus, str]:
        """Answer to one request from the address `sender`."""
        try:
            report = read_report(body, self.plan)
        except BenchError as error:
            self.inbox.put(str(error))
            return HTTPStatus.BAD_REQUEST, str(error)
        device = sender, report.device.model_dump_json()
        with self._lock:
            self._device = self._device or device
        if device != self._device:
            return HTTPStatus.CONFLICT, "Another device is being measured; wait until it is done."
        self.inbox.put(report)
        return HTTPStatus.OK, "kept"


def wait_for_reports(
    session: Session,
    stop: Stop,
    echo: Callable[[str], None],
    keep: Callable[[Report, str | None], None] = lambda report, ended: None,
    alive: Callable[[], bool] = lambda: True,
) -> tuple[Report, str | None]:
    """The report with the most in it, and why it is not complete, or None.

    keep: called with both after each report. alive: whether the browser is still there. Raises BenchError if no report
    comes.
    """
    kept: Report | None = None
    problem, heard, patience = "", time.monotonic(), ARRIVAL_SECONDS
    ended: str | None = f"the page sent no report within {ARRIVAL_SECONDS:.0f} s"
    while True:
        with contextlib.suppress(queue.Empty):
            told = session.inbox.get(timeout=POLL_SECONDS)
            if isinstance(told, str):
                if told != problem:
                    echo(told)
                problem = told
                continue
            for line in _news(told, kept):
                echo(line)
            kept = told if kept is None or _amount(told) >= _amount(kept) else kept
            heard, patience = time.monotonic(), RELOAD_SECONDS if told.stopped else SILENCE_SECONDS
            ended = (
                told.stopped or f"the page was silent for {SILENCE_SECONDS:.0f} s: it was closed, or the phone sleeps"
            )
            keep(kept, None if told.finished else ended)
            if told.finished:
                return kept, None
        if stop.requested:
            ended = "stopped by Ctrl-C"
        elif not alive():
            ended = "the browser ended"
        elif time.monotonic() - heard < patience:
            continue
        if kept is None and stop.requested:
            raise Interrupted("bench: stopped; no browser had reported anything")
        if kept is None:
            raise BenchError(f"{ended}; {problem or 'open the address again, in the same network'}")
        keep(kept, ended)
        return kept, ended


@contextlib.contextmanager
def answering(server: ViewerServer) -> Iterator[None]:
    """The server answers during the block."""
    thread = threading.Thread(target=server.serve_forever, name="server", daemon=True)
    thread.start()
    try:
        yield
        time.sleep(FAREWELL_SECONDS)
    finally:
        server.shutdown()
        thread.join()


def _amount(report: Report) -> tuple[bool, int, int]:
    """A page that was reloaded begins anew: what it had before may be more."""
    return report.finished, len(report.results), sum(one.frames for one in report.results)


def _news(report: Report, before: Report | None) -> Iterator[str]:
    """What the terminal says of a report."""
    if before is None:
        told = report.device.model_dump(exclude_none=True, exclude={"type"})
        yield "the browser tells: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told.items())
    known = {one.bundle for one in before.results} if before else set()
    for one in report.results:
        if one.bundle not in known:
            yield f"{one.bundle}: {one.backend}, first picture after {one.first_frame_milliseconds:.0f} ms"


def find_chromium() -> str:
    """This machine's Chromium. Raises BenchError."""
    for name in CHROMIUMS:
        if path := shutil.which(name):
            return path
    raise BenchError(
        f"there is no Chromium: {', '.join(CHROMIUMS)} are not on the PATH; install one, e.g. apt-get install chromium "
        "(nelf itself does not need it)"
    )


@contextlib.contextmanager
def chromium(url: str) -> Iterator[Callable[[], bool]]:
    """Chromium without a window, at `url`, during the block. Gives whether it still runs."""
    program = find_chromium()
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="nelf-chromium-", ignore_cleanup_errors=True) as profile:
        command = [program, *FLAGS, *sandbox, f"--user-data-dir={profile}", url]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield lambda: process.poll() is None
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
