"""Stopping and resuming: nothing is lost, nothing differs."""

import dataclasses
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from nelf.core.errors import CheckpointError, Interrupted
from nelf.core.progress import Stop, stoppable
from nelf.train.loop import PhaseRunner
from nelf.train.trainer import StudentTrainer
from tests.train import tiny

pytestmark = pytest.mark.slow


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Stop]:
    """A Stop that is requested after `count` more steps."""

    def make(count: int) -> Stop:
        stop = Stop()
        step = StudentTrainer.step
        done = 0

        def counted(*args: object, **kwargs: object) -> object:
            nonlocal done
            done += 1
            stop.requested = done >= count
            return step(*args, **kwargs)

        monkeypatch.setattr(StudentTrainer, "step", counted)
        return stop

    return make


# BatchNorm's statistics and jitter's randomness are state, too. The stop lies in stage 1, at its end, in stage 2.
@pytest.mark.parametrize("steps", [7, 12, 15])
@pytest.mark.parametrize(
    ("network", "changes"),
    [
        ({}, {}),
        ({"middle_reader": "lines"}, {"ema_decay": 0.0, "grad_clip": 0.5}),
        ({"family": "mobiler2l"}, {"jitter_points": True}),
    ],
    ids=["ours", "no average", "official"],
)
def test_resumed_run_equals_uninterrupted_run(
    tmp_path: Path,
    stop_after: Callable[[int], Stop],
    monkeypatch: pytest.MonkeyPatch,
    steps: int,
    network: dict[str, object],
    changes: dict[str, object],
) -> None:
    whole = tiny.run(tmp_path / "whole", tiny.student(**network), **changes)
    with pytest.raises(Interrupted, match=rf"after step {steps};.*same command") as stopped:
        tiny.run(tmp_path / "parts", tiny.student(**network), stop_after(steps), **changes)
    assert stopped.value.exit_code == 130
    monkeypatch.undo()
    resumed = tiny.run(tmp_path / "parts", tiny.student(**network), **changes)
    assert tiny.same_weights(whole, resumed)


def test_sigint_saves_and_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = PhaseRunner.validate

    def interrupted_look(*args: object) -> None:
        signal.raise_signal(signal.SIGINT)
        look(*args)

    monkeypatch.setattr(PhaseRunner, "validate", interrupted_look)
    with stoppable() as stop, pytest.raises(Interrupted, match="step 5"):
        tiny.run(tmp_path, stop=stop)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_finished_training_trains_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tiny.run(tmp_path)
    monkeypatch.setattr(StudentTrainer, "step", lambda *args, **kwargs: pytest.fail("trained"))
    assert tiny.same_weights(first, tiny.run(tmp_path))


def test_wall_time_goes_on_from_the_time_used(tmp_path: Path) -> None:
    """Each look at the clock costs a second: the steps of both runs together use up the minutes once."""

    class Clock:
        now = 1000.0

        def __call__(self) -> float:
            self.now += 1
            if self.now - 1000 >= self.until:
                self.stop.requested = True
            return self.now

        def __init__(self, until: float) -> None:
            self.until, self.stop = until, Stop()

    budget = {"max_steps": None, "max_minutes": 2.0, "finetune": tiny.FinetuneConfig(enabled=False)}
    clock = Clock(60)
    with pytest.raises(Interrupted):
        tiny.run(tmp_path, stop=clock.stop, clock=clock, **budget)
    clock = Clock(1e9)
    tiny.run(tmp_path, stop=clock.stop, clock=clock, **budget)
    assert 60 < clock.now - 1000 < 70  # the other half of 120 s, and a few looks
    history = json.loads((tmp_path / "history.json").read_text())
    assert 118 < history[-1]["seconds"] < 125


def test_checkpoints_are_written_on_the_way(tmp_path: Path) -> None:
    ticks = iter(range(10**6))
    names: set[str] = set()
    original = tiny.views(24, 1)

    def read(index: int) -> object:
        names.update(p.name for p in (tmp_path / "checkpoints").glob("*.pt"))
        return original.read(index)

    tiny.run(
        tmp_path,
        pseudo=dataclasses.replace(original, read=read),
        clock=lambda: float(next(ticks)),
        checkpoint_seconds=4.0,
        cache_gb=0.0,
        max_steps=30,
    )
    assert len(names) > 5
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_checkpoint_cut_short(
    tmp_path: Path, stop_after: Callable[[int], Stop], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tiny.run(tmp_path / "whole")
    folder = tmp_path / "parts"
    for steps in (4, 4):
        with pytest.raises(Interrupted):
            tiny.run(folder, stop=stop_after(steps))
        monkeypatch.undo()
    newest = sorted((folder / "checkpoints").iterdir())[-1]
    assert newest.name == "checkpoint-000000008.pt"
    newest.write_bytes(newest.read_bytes()[:-1000])
    with pytest.raises(
        CheckpointError, match=r"checkpoint-000000008\.pt is cut short.*delete that file to go on from the one before"
    ):
        tiny.run(folder)
    newest.unlink()
    assert tiny.same_weights(whole, tiny.run(folder))


def test_checkpoint_of_another_architecture(tmp_path: Path) -> None:
    tiny.run(tmp_path)
    with pytest.raises(CheckpointError, match="another architecture"):
        tiny.run(tmp_path, tiny.student(width=16))
    with pytest.raises(CheckpointError, match=r"train\.optimizer=muon, not sgd"):
        tiny.run(tmp_path, optimizer="sgd")
