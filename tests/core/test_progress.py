"""The progress line, and stopping on request."""

import io
import signal
import sys
import threading
import time

import pytest

from nelf.core import progress
from nelf.core.progress import (
    ProgressLine,
    Stop,
    above_the_line,
    as_step,
    duration,
    in_step,
    step,
    steps,
    stoppable,
    waiting,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Time:
    """Replaces the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(progress, "time", time)
    return time


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_terminal_line_is_rewritten_a_few_times_a_second(clock: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress.ProgressLine, "_beat", lambda line: None)
    with ProgressLine("train", 100, "steps") as line:
        for number in range(1, 101):
            clock.now += 0.0625
            line.update(number, f"validation PSNR {20 + number / 100:.1f} dB")
    lines = stream.getvalue().split("\r")[1:]
    assert 25 <= len(lines) <= 27
    assert lines[0].rstrip() == "train: 0 of 100 steps, 0%"
    assert lines[1].rstrip() == "train: 4 of 100 steps, 0:06 left, validation PSNR 20.0 dB, 4%"
    assert lines[-1].startswith("train: 100 of 100 steps, in 0:06, validation PSNR 21.0 dB")
    assert stream.getvalue().endswith("\n")


def test_log_gets_a_line_at_once_every_half_minute_and_the_last(clock: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with steps(["teach", "distill"]), step("teach"), ProgressLine("teach", 2.0, "min") as line:
        for second in range(1, 101):
            clock.now += 1
            line.update(second / 50, "PSNR 26.1 dB on training rays")
    assert stream.getvalue().splitlines() == [
        "step 1 of 2, teach: 0 of 2 min, 0%",
        "step 1 of 2, teach: 0.6 of 2 min, 1:10 left, PSNR 26.1 dB on training rays, 30%",
        "step 1 of 2, teach: 1.2 of 2 min, 0:40 left, PSNR 26.1 dB on training rays, 60%",
        "step 1 of 2, teach: 1.8 of 2 min, 0:10 left, PSNR 26.1 dB on training rays, 90%",
        "step 1 of 2, teach: 2 of 2 min, in 1:40, PSNR 26.1 dB on training rays, 100%",
    ]


def test_the_lines_go_on_while_the_work_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.01)
    stream = io.StringIO()
    with ProgressLine("teach", 10, "steps", stream=stream):
        deadline = time.monotonic() + 30
        while len(stream.getvalue().splitlines()) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert stream.getvalue().splitlines()[:3] == 3 * ["teach: 0 of 10 steps, 0%"]


def test_a_step_is_counted_among_those_of_the_command() -> None:
    @as_step("distill")
    def work() -> str:
        with step("teach"):
            first = in_step("teach")
        return f"{first}; {in_step('distill')}"

    with steps(["teach", "distill", "train"]):
        assert work() == "step 1 of 3, teach; step 2 of 3, distill"
        assert in_step("teach") == "teach"
    with steps(["distill"]):
        assert work() == "teach; distill"


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_the_line_fits_the_terminal(clock: Time, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    with steps(["train", "export"]), step("train"):
        line = ProgressLine("train", 56000, "steps", stream=stream)
    line.state = (12000, "validation PSNR 25.1 dB", "140 views/s")
    clock.now += 60
    line._print()
    text = stream.getvalue().removeprefix("\r")
    assert len(text) < max(columns, 41)
    assert text.startswith("step 1 of 2, train: 12000 of 56000 step")
    assert ("validation PSNR 25.1 dB" in text) == (columns >= 80)
    assert ("140 views/s" in text) == (columns >= 200)


def test_time_left_counts_only_what_this_run_did(clock: Time) -> None:
    line = ProgressLine("train", 100, "steps", start=80)
    assert "0:10 left" in line.line(90, "", "", 10.0, 80)


def test_time_left_is_never_more_than_the_time_that_is_allowed(clock: Time) -> None:
    line = ProgressLine("distill", 100, "views", seconds=60.0)
    assert "0:50 left" in line.line(1, "", "", 10.0, 80)


def test_what_is_printed_does_not_run_into_the_line(clock: Time) -> None:
    stream = Terminal()
    with ProgressLine("train", 10, "steps", stream=stream), above_the_line():
        stream.write("a warning\n")
    lines = [line.split("\r")[-1] for line in stream.getvalue().strip("\n").split("\n")]
    assert lines == ["a warning", "train: 0 of 10 steps, 0%"]


def test_a_line_that_begins_in_a_wait_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.01)
    with waiting("run: looking at photos"):
        while not stream.getvalue():
            time.sleep(0.01)
        with ProgressLine("photos: features", 2, "photos"):
            time.sleep(0.1)
    lines = stream.getvalue().splitlines()
    of_photos = [number for number, line in enumerate(lines) if line.startswith("photos: features")]
    assert len(of_photos) > 2
    assert of_photos == list(range(of_photos[0], of_photos[0] + len(of_photos)))


def test_a_wait_is_told_of_only_where_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with waiting("run: starting"):
        pass
    assert stream.getvalue() == ""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    with waiting("run: starting"):
        deadline = time.monotonic() + 30
        while not stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert stream.getvalue() == "run: starting\n"


def test_processes_other_than_the_first_print_nothing(clock: Time, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine("training", 100, shown=False) as line:
        clock.now += 60
        line.update(50)
    assert capsys.readouterr().err == ""


def test_duration() -> None:
    assert [duration(s) for s in (7.4, 725.0, 11045.0)] == ["0:07", "12:05", "3:04:05"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_only_sets_the_flag(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stoppable() as stop:
        assert not stop.requested
        signal.raise_signal(number)
        assert stop.requested
    assert signal.getsignal(number) is before


def test_the_second_sigint_interrupts() -> None:
    with stoppable() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)  # asks for the same once more
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stop.requested


def test_off_the_main_thread_signals_are_left_alone() -> None:
    before, stops = signal.getsignal(signal.SIGINT), list[Stop]()

    def work() -> None:
        with stoppable() as stop:
            stops.append(stop)
            assert signal.getsignal(signal.SIGINT) is before

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not stops[0].requested
