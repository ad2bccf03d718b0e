"""Stage records: work is skipped exactly when inputs and outputs are unchanged."""

import json
from pathlib import Path

import pytest

from nelf.core.errors import StorageError
from nelf.pipeline import record as record_module
from nelf.pipeline.record import RECORD, StageRecord, digest, fingerprint

PRINT = "inputs"


def make(folder: Path, fingerprint: str = PRINT, content: bytes = b"result", reuse: bool = False) -> None:
    with StageRecord(folder).running(fingerprint, ["out.bin", "images"], reuse=reuse):
        (folder / "images").mkdir(exist_ok=True)
        (folder / "images" / "0.png").write_bytes(b"pixels")
        (folder / "out.bin").write_bytes(content)


def current(folder: Path, fingerprint: str = PRINT) -> bool:
    return StageRecord(folder).is_current(fingerprint, ["out.bin", "images"])


def test_skipped_when_current(tmp_path: Path) -> None:
    assert not current(tmp_path / "stage")
    make(tmp_path / "stage")
    assert current(tmp_path / "stage")
    assert not StageRecord(tmp_path / "stage").is_current(PRINT, ["out.bin"])
    (tmp_path / "stage" / "log.txt").write_text("not an output")
    assert current(tmp_path / "stage")


@pytest.mark.parametrize("name", ["out.bin", "images/0.png"])
def test_done_again_when_an_output_byte_changes(tmp_path: Path, name: str) -> None:
    make(tmp_path)
    (tmp_path / name).write_bytes(b"resulT")
    assert not current(tmp_path)


def test_done_again_when_an_output_is_removed_or_added(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "images" / "1.png").write_bytes(b"stranger")
    assert not current(tmp_path)
    make(tmp_path, reuse=True)
    assert current(tmp_path)
    (tmp_path / "out.bin").unlink()
    assert not current(tmp_path)


def test_done_again_when_inputs_change(tmp_path: Path) -> None:
    make(tmp_path)
    assert not current(tmp_path, "other inputs")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"fingerprint": "inputs"}', '{"outputs": {}}', "\x00\x01", "[" * 100_000]
)
def test_done_again_when_the_record_is_damaged(tmp_path: Path, content: str) -> None:
    make(tmp_path)
    (tmp_path / RECORD).write_text(content)
    assert not current(tmp_path)
    make(tmp_path)
    assert current(tmp_path)


def test_files_that_only_a_record_names_are_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a stranger's run, the names could be devices, or anything else on this machine."""
    make(tmp_path)
    content = json.loads((tmp_path / RECORD).read_text())
    content["outputs"]["../../../dev/zero"] = "0"
    (tmp_path / RECORD).write_text(json.dumps(content))
    monkeypatch.setattr(record_module, "digest", lambda path: pytest.fail(f"{path} was looked at"))
    assert not current(tmp_path)


def test_fingerprint_tells_inputs_and_versions_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint(stage="train", config={"steps": 1, "lr": 0.1})
    assert first == fingerprint(config={"lr": 0.1, "steps": 1}, stage="train")
    assert first != fingerprint(stage="train", config={"steps": 2, "lr": 0.1})
    assert first != fingerprint(stage="teach", config={"steps": 1, "lr": 0.1})
    monkeypatch.setattr(record_module, "__version__", "99.0")
    assert first != fingerprint(stage="train", config={"steps": 1, "lr": 0.1})


def test_digest(tmp_path: Path) -> None:
    assert digest(tmp_path / "absent") is None
    (tmp_path / "file").write_text("x")
    assert digest(tmp_path / "file") != digest(tmp_path)


def test_interrupted_work_keeps_its_files_and_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 107.0, 500.0, 503.0])
    monkeypatch.setattr(record_module.time, "monotonic", lambda: next(clock))

    def interrupted() -> None:
        with StageRecord(tmp_path).running(PRINT, ["out.bin"]):
            (tmp_path / "checkpoint").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not current(tmp_path)
    assert StageRecord(tmp_path).seconds == 7
    with StageRecord(tmp_path).running(PRINT, ["out.bin"]):
        assert (tmp_path / "checkpoint").read_text() == "half"
        (tmp_path / "out.bin").write_text("whole")
    assert StageRecord(tmp_path).is_current(PRINT, ["out.bin"])
    assert StageRecord(tmp_path).seconds == 10


def test_redone_work_is_not_current_until_it_is_finished(tmp_path: Path) -> None:
    make(tmp_path)
    with StageRecord(tmp_path).running(PRINT, ["out.bin"]):
        assert not current(tmp_path)


def test_leftovers_of_other_inputs_are_removed(tmp_path: Path) -> None:
    make(tmp_path)
    with StageRecord(tmp_path).running("other inputs", []):
        assert [p.name for p in tmp_path.iterdir()] == [RECORD]
        assert StageRecord(tmp_path).seconds == 0


def test_a_stage_may_sort_leftovers_out_itself(tmp_path: Path) -> None:
    make(tmp_path)
    with StageRecord(tmp_path).running("other inputs", [], reuse=True):
        assert (tmp_path / "images" / "0.png").exists()


def test_the_record_is_readable(tmp_path: Path) -> None:
    make(tmp_path)
    content = json.loads((tmp_path / RECORD).read_text())
    assert content["fingerprint"] == PRINT
    assert sorted(content["outputs"]) == ["images", "out.bin"]


@pytest.mark.parametrize("seconds", ["null", "[]", '"\\n"', "NaN", "-1", "1" + 400 * "0"])
def test_a_record_without_a_time_is_a_record(tmp_path: Path, seconds: str) -> None:
    make(tmp_path)
    (tmp_path / RECORD).write_text(f'{{"seconds": {seconds}}}')
    assert StageRecord(tmp_path).seconds == 0.0
    make(tmp_path)
    assert current(tmp_path)


def test_what_another_version_made_is_refused_and_stays(tmp_path: Path) -> None:
    folder = tmp_path / "teacher"
    folder.mkdir()
    (folder / "teacher.safetensors").write_bytes(b"hours of training")
    (folder / RECORD).write_text(json.dumps({"fingerprint": "older", "outputs": {}, "seconds": 3600.0}))
    record = StageRecord(folder)
    with pytest.raises(StorageError, match=r"made by another version of nelf .*start a new run with name=NEW"):
        record.is_current(PRINT, ["teacher.safetensors"])
    with pytest.raises(StorageError), record.running(PRINT, ["teacher.safetensors"]):
        raise AssertionError("begun")
    assert (folder / "teacher.safetensors").read_bytes() == b"hours of training"
