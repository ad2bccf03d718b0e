"""Run cases of one reader in this process, and report the outcome of each."""

import contextlib
import os
import random
import resource
import shutil
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from benchmarks.fuzzing.readers import READERS
from nelf.core.errors import NelfError

ROOT = Path(__file__).resolve().parents[2]
TOUCHING = (
    "open",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.chmod",
    "os.truncate",
    "shutil.rmtree",
)
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "pickle.find_class")
READABLE = [
    Path(p) for p in (sys.prefix, sys.base_prefix, sysconfig.get_paths()["stdlib"], "/dev/null", "/proc", "/sys")
]
READABLE += [path.resolve() for path in READABLE] + [
    ROOT / "nelf",
    ROOT / "configs",
    Path("/dev/urandom"),
    Path("/etc/localtime"),
    Path("/usr/share/zoneinfo"),
]


@dataclass(frozen=True)
class Outcome:
    """kind: read, refused, or a finding: traceback, lines, memory, outside. what: the message.

    peak: bytes of memory above those before the case.
    """

    kind: str
    what: str
    peak: int

    @property
    def is_finding(self) -> bool:
        return self.kind not in ("read", "refused")


class Watch:
    """Records files that Python code touches outside `allowed`, and processes and connections that it starts.

    It does not see what C++ libraries open.
    """

    def __init__(self) -> None:
        self.allowed: list[Path] = []
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    @contextlib.contextmanager
    def over(self, *allowed: Path) -> Iterator[None]:
        self.seen, self.allowed = [], [path.resolve() for path in allowed]
        try:
            yield
        finally:
            self.allowed = []

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.allowed:
            return
        if event in FORBIDDEN:
            self.seen.append(f"{event}{arguments[:2]!r}"[:300])
        elif event in TOUCHING and not _within_rmtree(event):
            for argument in arguments[: 2 if event == "os.rename" else 1]:
                self._look(event, argument, arguments)

    def _look(self, event: str, argument: Any, arguments: tuple[Any, ...]) -> None:
        if isinstance(argument, (str, bytes, os.PathLike)):
            path = Path(os.path.realpath(os.fsdecode(argument)))
            if "__pycache__" in path.parts:  # Python and numba compile on first import
                return
            writes = event != "open" or (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR))
            roots = self.allowed if writes and path != Path("/dev/null") else [*self.allowed, *READABLE]
            if not any(path.is_relative_to(root) for root in roots):
                self.seen.append(f"{event} {path}"[:300])


def _within_rmtree(event: str) -> bool:
    """Whether `shutil.rmtree` is at work, whose own event names the folder; its later events have only names in it."""
    caller = sys._getframe(2).f_code
    return event != "shutil.rmtree" and caller.co_filename == shutil.__file__ and "rmtree" in caller.co_name


@dataclass
class Runner:
    """folder: for this runner alone. keep: where to copy folders of findings; None keeps none."""

    name: str
    folder: Path
    keep: Path | None
    watch: Watch

    def __post_init__(self) -> None:
        self.reader = READERS[self.name]
        self.seed, self.case = self.folder / "seed", self.folder / "case"
        shutil.rmtree(self.seed, ignore_errors=True)
        self.seed.mkdir(parents=True)
        self.reader.seed(self.seed)
        self._restore()
        if any(self.case.iterdir()):
            self.reader.read(self.case)  # imports everything, and checks the seed

    def run(self, first: int, count: int, begin: Callable[[], None], end: Callable[[Outcome], None]) -> None:
        """Run `count` cases from the seed `first`. begin, end: called around each."""

        @hypothesis.seed(first)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(st.integers(0, 2**64 - 1), st.data())
        def one(number: int, data: Any) -> None:
            self._restore()
            self.reader.change(self.case, random.Random(number), data)
            begin()
            outcome = self._read()
            if outcome.is_finding and self.keep is not None:
                shutil.copytree(self.case, self.keep / f"{self.name}-{first}-{number}", dirs_exist_ok=True)
            end(outcome)

        one()

    def _read(self) -> Outcome:
        before, kind, what = start_of_peak(), "read", ""
        with self.watch.over(self.case, Path(os.environ.get("TMPDIR", "/tmp"))):
            try:
                self.reader.read(self.case)
            except NelfError as error:
                kind, what = "refused", str(error)
                if "\n" in what:
                    kind = "lines"
            except Exception:
                kind, what = "traceback", traceback.format_exc(limit=-6)
        above = peak() - before
        if self.watch.seen:
            kind, what = "outside", "; ".join(self.watch.seen[:5])
        elif above > 2**30:
            kind, what = "memory", f"{above / 2**20:.0f} MB; {what}"
        return Outcome(kind, what, above)

    def _restore(self) -> None:
        shutil.rmtree(self.case, ignore_errors=True)
        shutil.copytree(self.seed, self.case)


def limit_memory(more: int) -> None:
    """Limit this process to `more` bytes of address space above its current use."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, resource.RLIM_INFINITY))


def start_of_peak() -> int:
    """Current resident bytes; resets the peak (Linux)."""
    with contextlib.suppress(OSError):  # off Linux nothing is measured
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak() -> int:
    """Most resident bytes since `start_of_peak`."""
    return _status("VmHWM")


def _status(key: str) -> int:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")), 0)
