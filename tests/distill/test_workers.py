"""Several processes render pseudo views together."""

import ctypes
import dataclasses
import functools
import multiprocessing
from pathlib import Path

import pytest
import torch

from nelf.core.errors import Interrupted, NelfError
from nelf.core.progress import Stop
from nelf.distill import (
    DistillConfig,
    distill_in_workers,
    workers,
)
from nelf.distill.workers import _problem, _work
from tests.distill.fakes import FROM, BallTeacher, DyingTeacher, content, make_ball, make_nothing, make_scene, run

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def room_for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough cores and memory on any machine."""
    monkeypatch.setattr(workers, "usable_cores", lambda: 8)
    monkeypatch.setattr(workers, "available_memory", lambda: 64 * 10**9)


@pytest.mark.parametrize(
    ("cores", "memory", "views", "ranks", "started", "reason"),
    [
        (2, 64e9, 100, 1, 2, "this machine has 2 cores"),
        (64, 7e9, 100, 1, 3, "7.0 GB of memory are free, and each may need 2"),
        (64, 1e9, 100, 1, 1, "1.0 GB of memory are free"),
        (64, 999e9, 12, 1, 12, "there are 12 views to render"),
        (64, 999e9, 12, 4, 3, "there are 12 views to render"),
        (64, None, 5000, 1, 64, "this machine has 64 cores"),
    ],
)
def test_no_more_workers_than_are_of_use(
    cores: int,
    memory: float | None,
    views: int,
    ranks: int,
    started: int,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(workers, "usable_cores", lambda: cores)
    monkeypatch.setattr(workers, "available_memory", lambda: None if memory is None else int(memory))
    config = DistillConfig(views=views, workers=1000)
    assert workers.affordable_workers(config, workers.ProcessGroup(0, ranks)) == started
    assert f"distill: starting {started} of 1000 workers: {reason}" in capsys.readouterr().err
    assert workers.affordable_workers(dataclasses.replace(config, workers=1), workers.ProcessGroup(0, ranks)) == 1
    assert capsys.readouterr().err == ""


def test_two_processes_give_what_one_gives(whole: Path, tmp_path: Path) -> None:
    first = run(tmp_path, rank=1, world=2)
    assert (first.complete, first.views) == (False, 3)
    assert not (tmp_path / "transforms.json").exists()
    stop, teacher = Stop(), BallTeacher(stop_after=1)
    teacher.on_limit = lambda: setattr(stop, "requested", True)
    with pytest.raises(Interrupted):
        run(tmp_path, teacher=teacher, stop=stop, rank=0, world=2)
    teacher = BallTeacher()
    assert run(tmp_path, teacher=teacher, rank=0, world=2).complete
    assert teacher.rendered == 2
    assert content(tmp_path) == content(whole)


def test_workers_give_what_one_process_gives(whole: Path, tmp_path: Path) -> None:
    config = DistillConfig(views=6, workers=2, depth=False)
    done = distill_in_workers(make_ball, make_scene(), config, tmp_path, FROM, Stop())
    assert (done.complete, done.views) == (True, 6)
    assert content(tmp_path) == content(whole)


def test_warnings_of_workers_are_printed_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = DistillConfig(views=4, workers=2)
    done = distill_in_workers(make_nothing, make_scene(), config, tmp_path, FROM, Stop())
    assert len(done.warnings) == 1
    assert capfd.readouterr().err.count("distill: warning: 100% of the pseudo views show nothing") == 1


def test_of_several_processes_none_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which process ends last, and so knows all views, is random."""
    nothing = BallTeacher(opacity=0.0)
    assert run(tmp_path, teacher=nothing, rank=1, world=2).warnings == ()
    assert len(run(tmp_path, teacher=nothing, rank=0, world=2).warnings) == 1
    assert "warning" not in capsys.readouterr().err
    run(tmp_path / "alone", teacher=nothing)
    assert "distill: warning: 100% of the pseudo views show nothing" in capsys.readouterr().err


def test_a_worker_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the worker's side in this process: starting one takes seconds."""
    monkeypatch.setattr(workers, "end_with_parent", lambda: None)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    threads = torch.get_num_threads()
    with pytest.raises(SystemExit) as end:
        _work(
            sender,
            _no_teacher,
            (make_scene(), DistillConfig(workers=2), tmp_path, FROM),
            0,
            2,
            (ctypes.c_longlong * 2)(),
            0,
        )
    torch.set_num_threads(threads)
    assert end.value.code == 2
    assert str(_problem(receiver, 2)) == "no such teacher"
    sender.close()
    assert type(_problem(receiver, 1)) is RuntimeError  # our own mistake: its traceback was printed


def _no_teacher() -> BallTeacher:
    raise NelfError("no such teacher")


def test_a_worker_that_is_killed_is_made_good(tmp_path: Path, whole: Path) -> None:
    """A real SIGKILL: one line, finished views stay, and the same command does the others."""
    folder, config = tmp_path / "pseudo", DistillConfig(views=6, depth=False, workers=2)
    load = functools.partial(DyingTeacher, tmp_path)
    with pytest.raises(NelfError, match="a worker process was killed, most likely by the system"):
        distill_in_workers(load, make_scene(), config, folder, FROM, Stop())
    there = {path: path.stat().st_mtime_ns for path in folder.glob("images/[!.]*")}
    assert 2 <= len(there) < 6
    alone = dataclasses.replace(config, workers=1)
    assert distill_in_workers(load, make_scene(), alone, folder, FROM, Stop()).complete
    assert content(folder) == content(whole)
    assert {path: path.stat().st_mtime_ns for path in there} == there
