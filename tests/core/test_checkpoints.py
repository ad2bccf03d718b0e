"""Checkpoint files: complete, few, and never executed."""

import errno
import os
import pickle
from pathlib import Path

import pytest
import torch

from nelf.core import files
from nelf.core.checkpoints import CheckpointFolder, save_weights
from nelf.core.errors import CheckpointError, StorageError


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make files larger than half of `path` fail. Libraries that open files themselves must not get there."""

    def half(path: Path, content: bytes) -> None:
        with path.open("wb") as stream:
            stream.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)


def test_round_trip(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert folder.latest() is None
    state = {"weights": torch.arange(3), "rate": 0.5, "names": ["a", "b"], "none": None, "nested": {1: (2, 3)}}
    folder.save(7, state)
    found = folder.latest()
    assert found is not None
    step, loaded = found
    assert step == 7
    assert torch.equal(loaded.pop("weights"), state.pop("weights"))
    assert loaded == state


def test_the_last_ones_stay(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    for step in (9, 10, 11, 100):
        folder.save(step, {"step": step})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-000000011.pt", "checkpoint-000000100.pt"]
    assert folder.latest() == (100, {"step": 100})
    folder.clear()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_cut_short(tmp_path: Path, share: float) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(1, {"weights": torch.rand(1000)})
    folder.save(2, {"weights": torch.rand(1000)})
    newest = tmp_path / "checkpoint-000000002.pt"
    content = newest.read_bytes()
    newest.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=r"checkpoint-000000002\.pt is cut short.*delete that file to go on"):
        folder.latest()
    newest.unlink()
    found = folder.latest()
    assert found is not None
    assert found[0] == 1


def test_an_archive_of_several_parts(tmp_path: Path) -> None:
    """Found by fuzzing: Python's zipfile asks for the other parts."""
    folder = CheckpointFolder(tmp_path)
    folder.save(1, {"weights": torch.rand(10)})
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    locator = content.rindex(b"PK\x06\x07")
    content[locator + 16 : locator + 20] = (2).to_bytes(4, "little")  # number of disks
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="is cut short or damaged; delete the folder"):
        folder.latest()


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("hacked",)


def test_nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = CheckpointFolder(tmp_path / "checkpoints")
    folder.save(1, {"evil": Evil()})
    with pytest.raises(CheckpointError, match="not a checkpoint of nelf"):
        folder.latest()
    (tmp_path / "checkpoints" / "checkpoint-000000002.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match="damaged"):
        folder.latest()
    assert not (tmp_path / "hacked").exists()


def test_foreign(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "checkpoint-000000001.pt")
    with pytest.raises(
        CheckpointError, match=r"has format None, expected 'nelf-checkpoint-1'; delete the folder .* to start over"
    ):
        CheckpointFolder(tmp_path).latest()


def test_a_failed_save_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(1, {"a": 1})

    fill_disk(monkeypatch)
    with pytest.raises(StorageError, match=r"^disk full while writing .*checkpoint-000000002\.pt; free some space"):
        folder.save(2, {"a": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint-000000001.pt"]


def test_weights_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "student.safetensors"
    save_weights(path, "form", {"a": torch.zeros(3)}, {})
    before = path.read_bytes()
    fill_disk(monkeypatch)
    with pytest.raises(StorageError, match=r"^disk full while writing .*student\.safetensors; free some space"):
        save_weights(path, "form", {"a": torch.ones(3)}, {})
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_leftovers_of_a_killed_process_go(tmp_path: Path) -> None:
    leftover = tmp_path / f".checkpoint-000000001{files.TEMPORARY_SUFFIX}-123.pt"
    leftover.write_bytes(b"half")
    folder = CheckpointFolder(tmp_path)
    assert folder.latest() is None
    folder.save(2, {})
    assert not leftover.exists()
