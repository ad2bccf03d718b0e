"""The progress line and the polite stop."""

import io
import signal
import sys
import threading

import pytest

from nelf import progress
from nelf.progress import ProgressLine, Stop, duration, stoppable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Time:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(progress, "time", time)
    return time


def test_terminal_line_is_rewritten_a_few_times_a_second(clock: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with ProgressLine("training", 100, "steps") as line:
        for step in range(1, 101):
            clock.now += 0.05
            line.update(step, psnr=20 + step / 100)
    lines = stream.getvalue().split("\r")[1:]
    assert 18 <= len(lines) <= 22
    assert lines[0].rstrip() == "training   1%  1/100 steps  0:00  0:05 left  psnr 20.01"
    assert lines[-1].startswith("training 100%  100/100 steps  0:05  psnr 21")
    assert stream.getvalue().endswith("\n")


def test_log_gets_a_line_every_half_minute_and_the_last(clock: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with ProgressLine("teaching", 100.0) as line:
        for second in range(1, 101):
            clock.now += 1
            line.update(second, loss=0.5, phase="fine")
    assert stream.getvalue().splitlines() == [
        "teaching  30%  30/100  0:30  1:10 left  loss 0.5  phase fine",
        "teaching  60%  60/100  1:00  0:40 left  loss 0.5  phase fine",
        "teaching  90%  90/100  1:30  0:10 left  loss 0.5  phase fine",
        "teaching 100%  100/100  1:40  loss 0.5  phase fine",
    ]


def test_time_left_counts_only_what_this_run_did(clock: Time) -> None:
    line = ProgressLine("training", 100, start=80)
    assert "0:10 left" in line.line(90, {}, 10.0)


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
