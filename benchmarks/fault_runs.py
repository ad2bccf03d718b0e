"""`nelf` in forked processes that report what they are at; what benchmarks/faults.py kills."""

import contextlib
import io
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

STAGES = ("teach", "distill", "train", "export")
GIVE_UP = 900.0  # seconds for one attempt


class Live:
    """Progress of a process, readable after its end: stage, seconds of training, longest time between two reports."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 32)  # shared with forked processes

    def clear(self) -> None:
        self._memory[:32] = bytes(32)

    def report(self, stage: int, seconds: float) -> None:
        before, last, longest = struct.unpack("ddd", self._memory[:24])
        gap = seconds - last if before == stage and last else 0.0
        self._memory[:24] = struct.pack("ddd", stage, seconds, max(longest, gap))

    @property
    def reached(self) -> tuple[str | None, float, float]:
        stage, seconds, longest = struct.unpack("ddd", self._memory[:24])
        return ((None, *STAGES)[int(stage)], seconds, longest)


LIVE = Live()


@contextlib.contextmanager
def reporting() -> Iterator[None]:
    """Report the current stage and its training time to LIVE."""
    import nelf.distill.render  # noqa: F401
    from nelf.pipeline import export_stage
    from nelf.teacher.training import Trainer
    from nelf.train.loop import PhaseRunner

    advance, step = Trainer.advance, PhaseRunner._step

    def advanced(trainer: Trainer) -> None:
        advance(trainer)
        LIVE.report(1, trainer.seconds)

    def stepped(runner: PhaseRunner, *arguments: Any) -> None:
        LIVE.report(3, runner.course.seconds_before + runner.course.seconds)
        step(runner, *arguments)

    render_view, export_bundle = sys.modules["nelf.distill.render"].render_view, export_stage.exporting.export_bundle

    def rendered(*arguments: Any) -> Any:
        LIVE.report(2, 0.0)
        return render_view(*arguments)

    def exported(*arguments: Any) -> Any:
        LIVE.report(4, 0.0)
        return export_bundle(*arguments)

    with (
        mock.patch.object(Trainer, "advance", advanced),
        mock.patch.object(PhaseRunner, "_step", stepped),
        mock.patch.object(sys.modules["nelf.distill.render"], "render_view", rendered),
        mock.patch.object(export_stage.exporting, "export_bundle", exported),
    ):
        yield


def start(arguments: list[str], said: Path) -> int:
    """Start `nelf ARGUMENTS` in a forked process, with its output in the file `said`. Returns its process id."""
    LIVE.clear()
    pid = os.fork()
    if pid:
        return pid
    status = 70  # not the end of a command
    try:
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(i, "wb", 0), write_through=True) for i in (1, 2))
        from nelf.cli import main as cli

        cli.console.file = sys.stderr
        sys.argv = ["nelf", *arguments]
        with reporting():
            try:
                cli.main()
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0
    finally:
        os._exit(status)


def ended(pid: int) -> int | None:
    """Exit status, negative for signals; None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def wait(pid: int, seconds: float = GIVE_UP) -> int:
    """Exit status of a process that may take some time."""
    until = time.monotonic() + seconds
    while (status := ended(pid)) is None:
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise SystemExit(f"process {pid} hung")
        time.sleep(0.01)
    return status
