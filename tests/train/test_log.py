"""TensorBoard files: readable, and a full disk gives one line. Their content: test_train.py."""

import errno
import io
from pathlib import Path
from typing import Any

import pytest
import torch

from nelf.core.errors import StorageError
from nelf.train.log import TrainingLog


class Disk(io.RawIOBase):
    """Takes `room` bytes and no more."""

    def __init__(self, room: int) -> None:
        self.room = room

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        if len(content) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(content)
        return len(content)


def write_a_lot(folder: Path) -> None:
    with TrainingLog(folder, 0, active=True) as journal:
        for step in range(100):
            journal.scalars(step, loss=0.5)


@pytest.mark.parametrize("room", [0, 50, 500])
def test_a_full_disk_is_one_line(tmp_path: Path, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "open", lambda path, mode: io.BufferedWriter(Disk(room)))
    with pytest.raises(StorageError, match=r"^disk full while writing .*events\.out\.tfevents\S*; free some [^\n]*$"):
        write_a_lot(tmp_path)


def test_what_an_interrupted_run_wrote_too_much_is_hidden(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first, loss in ((0, 1.0), (3, 2.0)):
        with TrainingLog(tmp_path, first, active=True) as journal:
            for step in range(first, first + 5):
                journal.scalars(step, loss=loss)
            journal.image(first, "picture", torch.rand(3, 4, 6))
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"images": 0}).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (0, 1.0), (1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0), (6, 2.0), (7, 2.0),
    ]  # fmt: skip
    assert [(image.step, image.width, image.height) for image in events.Images("picture")] == [(0, 6, 4), (3, 6, 4)]


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    with TrainingLog(tmp_path, 0, active=False) as journal:
        journal.scalars(1, loss=0.5)
        journal.history([])
    assert list(tmp_path.iterdir()) == []
