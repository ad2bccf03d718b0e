"""What a user sees and does while a stage runs: a progress line, and Ctrl-C that stops at a safe point."""

import contextlib
import io
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import TextIO

TERMINAL_INTERVAL = 0.25  # seconds between rewrites of the line on a terminal
LOG_INTERVAL = 30.0  # seconds between lines in a log file
MOST_SECONDS = 1e12  # a damaged file may claim anything


@dataclass
class Stop:
    """Whether the user asked to stop. Long loops look at `requested` between steps, save, and leave."""

    requested: bool = False


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Within the block SIGINT and SIGTERM only set `requested`; a second SIGINT raises KeyboardInterrupt.

    Off the main thread, where Python cannot set handlers, signals are left as they are.
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
            # None stands for a handler that was not set from Python; it cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class ProgressLine:
    """One line on stderr: label, share done, time gone and left, and the caller's figures.

    On a terminal the line is rewritten in place a few times a second; elsewhere a line is printed every 30 seconds.
    Figures given as float are shown with four digits.
    """

    def __init__(
        self,
        label: str,
        total: int | float,
        unit: str = "",
        *,
        start: int | float = 0,
        shown: bool = True,
        stream: TextIO | io.StringIO | None = None,
    ) -> None:
        """
        total: value of `done` at the end. start: value of `done` at the beginning, when work goes on from earlier.
        shown: false prints nothing: for all but the first of several processes. stream: default stderr.
        """
        self.label = label
        self.total = total
        self.unit = unit
        self.start = start
        self.shown = shown
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.began = time.monotonic()
        self.printed = self.began if not self.terminal else 0.0
        self.length = 0
        self.last: tuple[int | float, dict[str, str | int | float]] | None = None

    def __enter__(self) -> "ProgressLine":
        return self

    def update(self, done: int | float, **figures: str | int | float) -> None:
        """Show that `done` of `total` is done. Cheap to call in every step: most calls print nothing."""
        if not self.shown:
            return
        self.last = (done, figures)
        now = time.monotonic()
        if now - self.printed < (TERMINAL_INTERVAL if self.terminal else LOG_INTERVAL):
            return
        self.printed = now
        self._print(done, figures)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.last is not None:
            self._print(*self.last)
        if self.terminal and self.length:
            self.stream.write("\n")
            self.stream.flush()

    def _print(self, done: int | float, figures: dict[str, str | int | float]) -> None:
        text = self.line(done, figures, time.monotonic() - self.began)
        if self.terminal:
            self.stream.write("\r" + text.ljust(self.length))
            self.length = len(text)
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def line(self, done: int | float, figures: dict[str, str | int | float], elapsed: float) -> str:
        """The text shown after `elapsed` seconds."""
        share = min(done / self.total, 1.0) if self.total > 0 else 1.0
        parts = [f"{self.label} {share:4.0%}", f"{_number(done)}/{_number(self.total)} {self.unit}".rstrip()]
        parts.append(duration(elapsed))
        gained = done - self.start
        if gained > 0 and done < self.total:
            parts.append(f"{duration(elapsed * (self.total - done) / gained)} left")
        parts += [f"{name} {value if isinstance(value, str) else f'{value:.4g}'}" for name, value in figures.items()]
        return "  ".join(parts)


def duration(seconds: float) -> str:
    """0:07, 12:05 or 3:04:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def seconds_of(found: object) -> float:
    """A time that a file holds; 0 where it is none."""
    # NaN is no time either: it would spoil every sum that it is part of.
    return float(found) if isinstance(found, (int, float)) and 0 <= found < MOST_SECONDS else 0.0


def _number(value: int | float) -> str:
    return f"{value:.0f}" if float(value).is_integer() or value >= 100 else f"{value:.1f}"
