"""Files appear whole or not at all: write to a temporary name in the same folder, then rename."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nelf.errors import StorageError

TEMPORARY_SUFFIX = ".partial"


@contextlib.contextmanager
def writing_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write `path` into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                f"disk full while writing {path}; free some space and run the same command again"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageError(f"cannot write {path}: {error.strerror}; choose a folder that you may write") from error
        raise


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary sibling of `path` (file or folder) to fill; rename it to `path` when the block ends well.

    The temporary keeps the suffix of `path`, since image and model writers choose a format by it. When the block
    raises, the temporary is removed and what stood at `path` before is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}{TEMPORARY_SUFFIX}-{os.getpid()}{path.suffix}")
    try:
        with writing_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            remove(temporary)
            yield temporary
            if temporary.is_file():
                _flush_to_disk(temporary)
            elif path.is_dir():  # os.replace cannot put a folder over a folder that has content
                old = path.with_name(f".{path.name}.old-{os.getpid()}")
                path.rename(old)
                temporary.rename(path)
                shutil.rmtree(old)
                return
            temporary.replace(path)
    finally:
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


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's: over (relative name, file digest) in name order."""
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
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
