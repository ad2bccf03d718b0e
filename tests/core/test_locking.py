"""One process at a time in a folder: a real second process holds the lock until it is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nelf.core.errors import StorageError
from nelf.core.files import locked
from nelf.core.processes import RANKS

HOLD = """
import sys
from pathlib import Path
from nelf.core.files import locked
with locked(Path(sys.argv[1]), "the run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run/.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_is_refused_with_the_first_ones_pid(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    lock = tmp_path / "run/.lock"
    with pytest.raises(StorageError) as caught, locked(lock, "the run x"):
        pass
    assert str(caught.value) == (
        f"the run x is in use by process {holder.pid}; wait until it is done, or stop it (kill {holder.pid})"
    )
    holder.communicate("")  # it ends in good order
    assert not lock.exists()
    with locked(lock, "the run x"):
        assert lock.read_text() == f"{os.getpid()}\n"
    assert not lock.exists()


def test_a_killed_process_holds_nothing(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    lock = tmp_path / "run/.lock"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert lock.read_text() == f"{holder.pid}\n"  # its file is left, and bars nobody
    with locked(lock, "the run x"):
        assert lock.read_text() == f"{os.getpid()}\n"


def test_it_ends_with_the_block_however_that_ends(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / ".lock", "the run"):
        _ = 1 / 0
    with locked(tmp_path / ".lock", "the run"):
        pass


@pytest.mark.parametrize("rank", RANKS)
def test_the_processes_of_one_run_share_it(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, rank: str
) -> None:
    monkeypatch.setenv(rank, "1")
    with locked(tmp_path / "run/.lock", "the run"):
        pass
    monkeypatch.setenv(rank, "0")
    with pytest.raises(StorageError, match="is in use by process"), locked(tmp_path / "run/.lock", "the run"):
        pass
