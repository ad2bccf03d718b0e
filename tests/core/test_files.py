"""Files appear complete or not at all."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nelf.core.errors import StorageError
from nelf.core.files import (
    atomic_path,
    check_writable,
    disk_errors,
    locked,
    remove,
    remove_leftovers,
    remove_leftovers_of,
    sha256,
    write_bytes,
    write_json,
)

ROOT = Path(__file__).resolve().parents[2]


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


KILLED = """
import os, sys
from pathlib import Path
from nelf.core.files import atomic_path
rename = Path.rename
def renamed(path, target):
    if os.environ["AT"] == "before": os.kill(os.getpid(), 9)
    rename(path, target)
    if os.environ["AT"] == "between": os.kill(os.getpid(), 9)
Path.rename = renamed
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.mkdir()
    (temporary / "a").write_text("new")
"""


@pytest.mark.parametrize("moment", ["before", "between"])
@pytest.mark.parametrize("clear", [lambda path: remove_leftovers(path.parent), remove_leftovers_of])
def test_a_kill_while_a_folder_is_replaced_leaves_the_old_one(
    tmp_path: Path, moment: str, clear: Callable[[Path], None]
) -> None:
    path = tmp_path / "scene.v2"
    path.mkdir()
    (path / "a").write_text("old")
    kept = tmp_path / ".other.partial-7.v2"
    environment = {**os.environ, "AT": moment}
    killed = subprocess.run([sys.executable, "-c", KILLED, path], env=environment, cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert path.exists() == (moment == "before")
    if clear is remove_leftovers_of:
        kept.write_text("x")  # of somebody else
    clear(path)
    assert (path / "a").read_text() == "old"
    assert {one.name for one in tmp_path.iterdir()} - {kept.name} == {"scene.v2"}
    assert kept.exists() == (clear is remove_leftovers_of)


def test_the_old_folder_is_put_back_where_the_new_one_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    rename = Path.rename

    def renamed(path: Path, target: Path) -> Path:
        if ".partial-" in path.name:
            raise OSError(errno.ENOSPC, "full")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", renamed)
    with pytest.raises(StorageError, match="disk full"), atomic_path(tmp_path / "a") as temporary:
        temporary.mkdir()
    assert (tmp_path / "a" / "old").exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    temporary = f".bundle.partial-{os.getpid()}"
    for _ in range(2):
        flushed.clear()
        with atomic_path(tmp_path / "bundle") as folder:
            (folder / "in").mkdir(parents=True)
            (folder / "in" / "model").touch()
        assert flushed == [temporary, "model", "in", tmp_path.name]


@pytest.mark.parametrize("path", [Path(), Path(".."), Path("/")])
def test_a_path_without_a_name_is_refused(path: Path) -> None:
    with pytest.raises(StorageError, match="has no name of its own"):
        write_bytes(path, b"")


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, "disk full while writing"), (errno.EDQUOT, "disk full"), (errno.EROFS, "choose a folder")],
)
def test_refusals_of_the_system_are_one_line(number: int, expected: str) -> None:
    with pytest.raises(StorageError, match=expected), disk_errors(Path("x")):
        raise OSError(number, "no")


def test_other_system_errors_pass_through() -> None:
    with pytest.raises(IsADirectoryError), disk_errors(Path("x")):
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


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("file/run", "file is not a folder; choose another place"),
        ("file", "file is not a folder; choose another place"),
        ("/dev/null/run", "/dev/null is not a folder; choose another place"),
        ("/proc/run", "cannot write /proc/run"),
        ("x" * 300, "File name too long; choose another place"),
    ],
)
def test_a_place_that_cannot_be_is_refused_in_one_line(place: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as of_lock, locked(tmp_path / place / "lock", "the run"):
        pass
    with pytest.raises(StorageError) as of_file:
        write_bytes(tmp_path / place / "page.html", b"")
    for refused in (of_lock, of_file):
        assert message in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_file_is_not_written_over_a_folder(tmp_path: Path) -> None:
    (tmp_path / "page" / "inside").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"cannot write .*page: Is a directory; choose another place"):
        write_bytes(tmp_path / "page", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_what_could_not_be_written_is_found_out_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path / "to" / "be" / "made")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # root may write everywhere
    with pytest.raises(StorageError, match=f"{tmp_path} is read-only for you; choose a folder that you may write"):
        check_writable(tmp_path / "to" / "be" / "made")
