"""What you see and do while a stage runs: a progress line, and Ctrl-C that stops at a safe point."""

import contextlib
import functools
import io
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import ParamSpec, TextIO, TypeVar

from rich.console import Console

TERMINAL_INTERVAL = 0.25  # seconds between rewrites of the line on a terminal
LOG_INTERVAL = 30.0  # seconds between lines in a log file
PATIENCE = 1.5  # seconds before a wait without a figure is announced
NARROWEST = 40  # columns, for terminals that claim to be narrower
MOST_SECONDS = 1e12  # a damaged file may claim anything

P = ParamSpec("P")
R = TypeVar("R")

_parts: ContextVar[tuple[str, ...]] = ContextVar("parts", default=())
_step: ContextVar[str] = ContextVar("step", default="")
_lock = threading.RLock()  # for the terminal
_live: "list[ProgressLine]" = []  # the lines being shown; only the last one prints


@dataclass
class Stop:
    """Whether you asked to stop. Long loops check `requested` between steps, save, and leave."""

    requested: bool = False


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Within the block SIGINT and SIGTERM only set `requested`; a second SIGINT raises KeyboardInterrupt.

    Outside the main thread, where Python cannot set handlers, signals stay as they are.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.requested = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            # None: the handler was not set from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextlib.contextmanager
def steps(names: Sequence[str]) -> Iterator[None]:
    """Within the block a command consists of these steps, in this order."""
    token = _parts.set(tuple(names))
    try:
        yield
    finally:
        _parts.reset(token)


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """The block is the step `name`: its progress lines begin with "step 2 of 5, "."""
    names = _parts.get()
    known = name in names and len(names) > 1
    token = _step.set(f"step {names.index(name) + 1} of {len(names)}, " if known else "")
    try:
        yield
    finally:
        _step.reset(token)


def as_step(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator: the function is the step `name`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def within(*arguments: P.args, **named: P.kwargs) -> R:
            with step(name):
                return function(*arguments, **named)

        return within

    return decorate


def in_step(text: str) -> str:
    """`text` after the current step."""
    return _step.get() + text


@contextlib.contextmanager
def waiting(label: str, *, shown: bool = True) -> Iterator[None]:
    """Announce what the block does if it takes longer than `PATIENCE`, so that nobody stares at an empty terminal.

    A progress line that begins in the block replaces it. shown: see `ProgressLine`.
    """
    if not shown:
        yield
        return
    ended = threading.Event()
    with _kept_stderr() as stream:
        line = ProgressLine(label, 0, stream=stream)

        def echo() -> None:
            if not ended.wait(PATIENCE) and not _live:
                with line:
                    ended.wait()

        thread = threading.Thread(target=echo, name="waiting", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@contextlib.contextmanager
def _kept_stderr() -> Iterator[TextIO]:
    """stderr as it is now, even if its descriptor is redirected in the block (to silence converters)."""
    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (OSError, ValueError):  # not a file, as in tests
        yield sys.stderr
        return
    with os.fdopen(descriptor, "w", encoding=sys.stderr.encoding, errors="replace") as stream:
        yield stream


@contextlib.contextmanager
def above_the_line() -> Iterator[None]:
    """Lines printed in the block do not collide with a progress line on the same terminal."""
    with _lock:
        for line in _live:
            line.erase()
        yield


console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def echo(text: str) -> None:
    """A line for the user; results of commands go to stdout, everything else to stderr."""
    with above_the_line():
        console.print(text, markup=False)


def agrees(what: str, agreed: bool, say: Callable[[str], None] = echo) -> bool:
    """Whether the user wants a download. agreed: do not ask. Where nobody can answer, the answer is no.

    what: sentences that say what it is for, how large it is, and from where.
    """
    if agreed or not sys.stdin.isatty():
        return agreed
    say(what)
    say("Fetch it now? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


class ProgressLine:
    """One line on stderr: the step, its name, done and left, and the figure that matters.

    On a terminal the line is rewritten a few times a second; elsewhere a new line appears every 30 seconds. The first
    appears at once, and they continue while the work is silent. What does not fit the terminal's width is left out,
    least important parts first.
    """

    def __init__(
        self,
        label: str,
        total: int | float,
        unit: str = "",
        *,
        start: int | float = 0,
        seconds: float | None = None,
        shown: bool = True,
        stream: TextIO | io.StringIO | None = None,
    ) -> None:
        """
        total: value of `done` at the end; 0 if nothing is counted. unit: of both; without one only the share is shown.
        start: value of `done` at the beginning, when work is resumed. seconds: the work ends after so many, finished
        or not. shown: false prints nothing, for all but the first of several processes. stream: by default stderr.
        """
        self.label = in_step(label)
        self.total = total
        self.unit = unit
        self.start = start
        self.seconds = seconds
        self.shown = shown
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.began = time.monotonic()
        self.printed = self.began
        self.length = 0
        self.state: tuple[int | float, str, str] = (start, "", "")
        self.shown_state: tuple[int | float, str, str] | None = None
        self.ended = threading.Event()
        self.pulse: threading.Thread | None = None

    def __enter__(self) -> "ProgressLine":
        if self.shown:
            with _lock:
                for other in _live:
                    other.erase()
                _live.append(self)
                self._print()
            self.pulse = threading.Thread(target=self._beat, name="progress", daemon=True)
            self.pulse.start()
        return self

    def update(self, done: int | float, figure: str = "", detail: str = "") -> None:
        """Show that `done` of `total` is done. Cheap enough for every step: most calls print nothing.

        figure: the figure that matters, and what it was measured on. detail: shown if there is room.
        """
        self.state = (done, figure, detail)
        self._print_if_due()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.ended.set()
        if self.pulse is None:
            return
        self.pulse.join()
        with _lock:
            if self.total > 0 and (self.terminal or self.state != self.shown_state):
                self._print()
            _live.remove(self)
            if self.total <= 0:
                self.erase()
            elif self.terminal:
                self.stream.write("\n")
                self.stream.flush()

    def erase(self) -> None:
        """Take the line off the terminal; the next update writes it again."""
        if self.length:
            self.stream.write("\r" + " " * self.length + "\r")
            self.stream.flush()
            self.length = 0

    def _beat(self) -> None:
        while not self.ended.wait(self._interval):
            self._print_if_due()

    @property
    def _interval(self) -> float:
        return TERMINAL_INTERVAL if self.terminal else LOG_INTERVAL

    def _print_if_due(self) -> None:
        if not self.shown or time.monotonic() - self.printed < self._interval:
            return
        with _lock:
            self._print()

    def _print(self) -> None:
        self.printed = time.monotonic()
        if _live and _live[-1] is not self:
            return
        self.shown_state = self.state
        # One character less than the terminal has: some terminals wrap after the last column.
        width = max(NARROWEST, shutil.get_terminal_size().columns - 1)
        text = self.line(*self.state, self.printed - self.began, width)
        if self.terminal:
            text = text[:width]
            self.stream.write("\r" + text.ljust(self.length))
            self.length = len(text)
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def line(self, done: int | float, figure: str, detail: str, elapsed: float, width: int) -> str:
        """The text shown after `elapsed` seconds."""
        share = min(done / self.total, 1.0) if self.total > 0 else 0.0
        counted = f"{_number(done)} of {_number(self.total)} {self.unit}" if self.unit and self.total else ""
        parts = [counted or (f"{share:.0%}" if self.total else ""), self._time(done, elapsed), figure]
        text = f"{self.label}: {', '.join(part for part in parts if part)}" if any(parts) else self.label
        for more in (detail, f"{share:.0%}" if counted else ""):
            if more and len(text) + 2 + len(more) <= width:
                text += f", {more}"
        return text

    def _time(self, done: int | float, elapsed: float) -> str:
        """Time left; at the end, time taken."""
        gained = done - self.start
        if self.total <= 0:
            return duration(elapsed) if elapsed >= 1 else ""
        if done >= self.total:
            return f"in {duration(elapsed)}"
        left = [elapsed * (self.total - done) / gained] if gained > 0 else []
        left += [max(0.0, self.seconds - elapsed)] if self.seconds is not None else []
        return f"{duration(min(left))} left" if left else ""


def duration(seconds: float) -> str:
    """Seconds as 0:07, 12:05 or 3:04:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def seconds_of(found: object) -> float:
    """A time read from a file, in seconds; 0 when it is not valid."""
    # NaN would spoil every sum.
    return float(found) if isinstance(found, (int, float)) and 0 <= found < MOST_SECONDS else 0.0


def _number(value: int | float) -> str:
    value = round(value, 6)  # 10, not 10.000000000000002
    return f"{value:.0f}" if float(value).is_integer() or value >= 100 else f"{value:.1f}"
