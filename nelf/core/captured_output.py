"""Keep quiet what converters and runtimes print, and show it when something fails."""

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
def captured_output(task: str) -> Iterator[None]:
    """Run third-party code with its output, logs and warnings held back. Its errors become one ExportError.

    Output is redirected at file descriptors: much of it comes from C++, and libraries imported inside keep the current
    sys.stderr for ever. Warnings are ignored: they concern how converters use torch and protobuf, which you cannot
    change.
    """
    with tempfile.TemporaryFile() as said, _descriptors_to(said.fileno()), _logging_off(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except NelfError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (*OF_THE_DISK, *OF_THE_RIGHTS):
                raise  # nelf.core.files explains it better
            reason = one_line(f"{type(error).__name__}: {error}", KEPT_CHARACTERS)
            raise ExportError(f"{task} failed: {reason}") from error


@contextlib.contextmanager
def _descriptors_to(target: int) -> Iterator[None]:
    saved = []
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        with contextlib.suppress(AttributeError, ValueError):  # a replaced or closed stream
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
