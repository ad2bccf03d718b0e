"""Atomic files and folders, and locks: one process at a time works in a folder."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from nelf.core.errors import NelfError, StorageError
from nelf.core.processes import is_first_process

TEMPORARY_SUFFIX = ".partial"
OLD_SUFFIX = ".old"  # a folder that is being replaced
_TEMPORARY = re.compile(rf"\..*{re.escape(TEMPORARY_SUFFIX)}-\d+(\..*)?", re.DOTALL)
_OLD = re.compile(rf"\.(.+){re.escape(OLD_SUFFIX)}-\d+", re.DOTALL)
LONGEST_NAME = 200  # bytes; file systems allow 255, and suffixes need some of them
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT)
OF_THE_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
OF_THE_PATH = (errno.ENOTDIR, errno.ENOENT, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
OF_THE_MACHINE = (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about writing `path` into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in OF_THE_DISK:
            raise StorageError(
                f"disk full while writing {path}; free some space and run the same command again"
            ) from error
        if error.errno in OF_THE_RIGHTS:
            raise StorageError(f"cannot write {path}: {error.strerror}; choose a folder that you may write") from error
        if error.errno in OF_THE_PATH and error.filename and _on_the_way(Path(str(error.filename)), path):
            check_writable(path)
            raise StorageError(f"cannot write {path}: {error.strerror}; choose another place") from error
        raise


def _on_the_way(other: Path, path: Path) -> bool:
    """Whether `other` is `path`, a folder above it, or the temporary that becomes `path`."""
    return other in (path, *path.parents) or other.name.startswith(f".{path.stem}{TEMPORARY_SUFFIX}")


def check_writable(path: Path, *, folder: bool = False) -> None:
    """Raise StorageError when `path` cannot be created or, if it exists, written. folder: `path` must be a folder."""
    place = path
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if (folder or place != path) and not place.is_dir():
        raise StorageError(f"cannot write {path}: {place} is not a folder; choose another place")
    if not os.access(place, os.W_OK):
        raise StorageError(f"cannot write {path}: {place} is read-only for you; choose a folder that you may write")


def why_absent(path: Path) -> str:
    """Why the file `path` cannot be read: "does not exist", "is a folder"."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            return f"is a link to {path.readlink()}, which does not exist"
        return "does not exist"
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "is a link to itself"
        return f"cannot be read ({error.strerror})"
    if stat.S_ISDIR(mode):
        return "is a folder"
    return "is a file" if stat.S_ISREG(mode) else "is a pipe or device, not a file"


def system_error(error: BaseException) -> NelfError | None:
    """One line about memory, disk or permissions; None for every other error.

    For errors of libraries that open files or allocate memory themselves. Code that knows the file can say more.
    """
    text = " ".join(str(error).split())
    # PyTorch has an error class for GPU memory, but none for main memory.
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
    ):
        return NelfError(
            f"out of memory ({text[:120] or 'MemoryError'}); lower train.batch_size, teacher.samples_per_step, "
            "distill.workers or train.cache_gb, or use smaller images (scene.downscale); what was saved stays, and the "
            "same command goes on from there"
        )
    if isinstance(error, OSError) and error.errno in (*OF_THE_DISK, *OF_THE_RIGHTS, *OF_THE_MACHINE):
        where = f" {error.filename}" if error.filename else ""
        advice = "free some space" if error.errno in OF_THE_DISK else "fix that"
        return StorageError(f"the system refuses{where}: {error.strerror}; {advice}, then run the same command again")
    return None


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half written anywhere in `folder`. Nobody else may work in it.

    A folder whose replacement was interrupted is put back.
    """
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            _clear(Path(root) / name)


def remove_leftovers_of(path: Path) -> None:
    """`remove_leftovers` for one file or folder."""
    temporary = rf"{re.escape(path.stem + TEMPORARY_SUFFIX)}-\d+{re.escape(path.suffix)}"
    names = rf"\.({temporary}|{re.escape(path.name + OLD_SUFFIX)}-\d+)"
    for beside in path.parent.iterdir() if path.parent.is_dir() else ():
        if re.fullmatch(names, beside.name):
            _clear(beside)


def _clear(path: Path) -> None:
    if (old := _OLD.fullmatch(path.name)) and not path.with_name(old[1]).exists():
        path.rename(path.with_name(old[1]))
    elif old or _TEMPORARY.fullmatch(path.name):
        remove(path)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary sibling of `path` (file or folder) to fill; rename it to `path` when the block ends.

    The temporary keeps the suffix of `path`: image and model writers choose a format by it. If the block raises, the
    temporary is removed and `path` stays as it was.
    """
    path = Path(path)
    if path.name in ("", ".."):
        raise StorageError(f"cannot write {path}: it has no name of its own; give the name of a new file or folder")
    temporary = path.with_name(f".{path.stem}{TEMPORARY_SUFFIX}-{os.getpid()}{path.suffix}")
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            remove(temporary)
            yield temporary
            if temporary.is_file():
                _flush_to_disk(temporary)
            elif path.is_dir():  # os.replace cannot replace a folder that is not empty
                old = path.with_name(f".{path.name}{OLD_SUFFIX}-{os.getpid()}")
                _flush_folder_to_disk(temporary)
                path.rename(old)
                try:
                    temporary.rename(path)
                except BaseException:
                    old.rename(path)
                    raise
                _flush_to_disk(path.parent)
                remove(old)
                return
            else:
                _flush_folder_to_disk(temporary)
            temporary.replace(path)
            _flush_to_disk(path.parent)
    finally:
        if os.path.lexists(temporary):
            remove(temporary)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write `content` to `path`, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON with a final newline, atomically. NaN and infinity are refused."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises OSError when it cannot be read, ValueError when it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("its lists or objects are nested too deep") from error


def is_plain_name(name: str) -> bool:
    """Whether `name` names one thing directly in a folder. It may come from a stranger."""
    try:
        fits = len(name.encode()) <= LONGEST_NAME
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    plain = name not in ("", ".", "..") and not any(character in "/\\" or character < " " for character in name)
    return fits and plain


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes. For a folder, over (relative name, file digest) in name order."""
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()}\0{sha256(file)}\n".encode())
    else:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _flush_to_disk(path: Path) -> None:
    """Flush a file's bytes, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # some file systems refuse it for folders
            raise
    finally:
        os.close(descriptor)


def _flush_folder_to_disk(folder: Path) -> None:
    for root, _, files in os.walk(folder):
        for name in files:
            if not (Path(root) / name).is_symlink():
                _flush_to_disk(Path(root) / name)
        _flush_to_disk(Path(root))


@contextlib.contextmanager
def locked(file: Path, what: str) -> Iterator[None]:
    """Hold the lock `file`, which contains this process's id, during the block.

    Raises StorageError with the id of the process that holds it. The operating system releases the lock when its
    process ends, so a file that `kill -9` left behind blocks nobody. In a distributed run only the first process locks.
    """
    if not is_first_process():
        yield
        return
    with contextlib.ExitStack() as held:
        with disk_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(FileLock(file, blocking=False, fallback_to_soft=False))
            except Timeout as error:
                raise _in_use(file, what) from error
            held.callback(file.unlink, missing_ok=True)  # while locked: later the file may be another process's
            file.write_text(f"{os.getpid()}\n")
        yield


def _in_use(lock: Path, what: str) -> StorageError:
    try:
        holder = lock.read_text(errors="replace").strip()
    except FileNotFoundError:  # released a moment ago
        holder = ""
    known = holder.isdigit()
    return StorageError(
        f"{what} is in use by {f'process {holder}' if known else 'another process'}; "
        f"wait until it is done, or stop it{f' (kill {holder})' if known else ''}"
    )
