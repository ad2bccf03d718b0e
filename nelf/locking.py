"""One process at a time works in a folder."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from nelf.errors import StorageError
from nelf.processes import is_first_process
from nelf.storage import writing_errors


@contextlib.contextmanager
def locked(file: Path, what: str) -> Iterator[None]:
    """Hold the lock `file`, which has this process's id in it, during the block.

    Raises StorageError with the id of the process that holds it. The lock is the operating system's: it ends with
    its process, however that ends, so that a file left by `kill -9` bars nobody. All but the first process of a
    distributed run go on without: the first has it.
    """
    if not is_first_process():
        yield
        return
    with writing_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = _open_locked(file, what)
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        file.unlink(missing_ok=True)  # before the lock is given up: after it, the file may be another's
        os.close(handle)


def _open_locked(file: Path, what: str) -> int:
    """A descriptor of `file`, locked."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        kept = False
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            kept = _is_still(handle, file)
            if kept:
                return handle
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise _refusal(handle, what) from error
            raise
        finally:
            if not kept:
                os.close(handle)


def _refusal(handle: int, what: str) -> StorageError:
    holder = os.read(handle, 32).decode(errors="replace").strip()
    known = holder.isdigit()
    return StorageError(
        f"{what} is in use by {f'process {holder}' if known else 'another process'}; "
        f"wait until it is done, or stop it{f' (kill {holder})' if known else ''}"
    )


def _is_still(handle: int, file: Path) -> bool:
    """Whether `file` is the one that was locked: its former holder may have removed it in between."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
