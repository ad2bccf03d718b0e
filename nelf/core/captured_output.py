"""Converters and runtimes talk; this keeps what they say for the case that something fails."""

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from nelf.core.errors import ExportError, NelfError, one_line
from nelf.core.files import OF_THE_DISK, OF_THE_RIGHTS

KEPT_CHARACTERS = 300


@contextlib.contextmanager
def quiet(task: str) -> Iterator[None]:
    """Run third-party code with its output, log and warnings held back; its errors become one ExportError.

    Output is held at the level of file descriptors: much of it comes from C++, and libraries that are imported here
    keep the present sys.stderr for ever. Warnings are ignored inside: they
    are about the converters' own use of torch and protobuf, nothing that a caller could act on.
    """
    with tempfile.TemporaryFile() as said, _descriptors_to(said.fileno()), _logging_off(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except NelfError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (*OF_THE_DISK, *OF_THE_RIGHTS):
                raise  # nelf.core.files has the words for it
            reason = one_line(f"{type(error).__name__}: {error}", KEPT_CHARACTERS)
            raise ExportError(f"{task} failed: {reason}") from error


@contextlib.contextmanager
def _descriptors_to(target: int) -> Iterator[None]:
    saved = []
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        with contextlib.suppress(AttributeError, ValueError):  # a replaced or closed stream has nothing to flush
            stream.flush()
        with contextlib.suppress(OSError):  # a daemon may run without the descriptor
            saved.append((descriptor, os.dup(descriptor)))
            os.dup2(target, descriptor)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError):
                stream.flush()
        for descriptor, copy in saved:
            os.dup2(copy, descriptor)
            os.close(copy)


@contextlib.contextmanager
def _logging_off() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
