"""Files appear whole or not at all."""

import errno
import json
from pathlib import Path

import pytest

from nelf.errors import StorageError
from nelf.storage import atomic_path, remove, sha256, write_bytes, write_json, writing_errors


def test_write_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.json"
    write_json(target, {"x": 1})
    write_json(target, {"x": 2})
    assert json.loads(target.read_text()) == {"x": 2}
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, float("nan"))
    assert json.loads(target.read_text()) == {"x": 2}


def test_a_failure_keeps_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write_bytes(target, b"old")

    def interrupted() -> None:
        with atomic_path(target) as temporary:
            assert temporary.suffix == ".bin"
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with atomic_path(tmp_path / "bundle") as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == ["two"]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, "disk full while writing"), (errno.EDQUOT, "disk full"), (errno.EROFS, "choose a folder")],
)
def test_refusals_of_the_system_are_one_line(number: int, expected: str) -> None:
    with pytest.raises(StorageError, match=expected), writing_errors(Path("x")):
        raise OSError(number, "no")


def test_other_system_errors_pass_through() -> None:
    with pytest.raises(IsADirectoryError), writing_errors(Path("x")):
        raise OSError(errno.EISDIR, "a folder")


def test_sha256_of_files_and_folders(tmp_path: Path) -> None:
    write_bytes(tmp_path / "f" / "a", b"abc")
    assert sha256(tmp_path / "f" / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    before = sha256(tmp_path / "f")
    (tmp_path / "f" / "a").rename(tmp_path / "f" / "b")
    assert sha256(tmp_path / "f") != before
    remove(tmp_path / "f")
    remove(tmp_path / "f")
    assert not (tmp_path / "f").exists()
