"""Which stage output is current. Each stage folder holds a small record of its inputs.

A stage is skipped if its record has the fingerprint of the current inputs (configuration and files) and every output
still exists, byte for byte. Otherwise it runs again; unfinished work with the same fingerprint continues.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nelf import __version__
from nelf.core.errors import StorageError
from nelf.core.files import read_json, remove, sha256, write_json
from nelf.core.progress import seconds_of

RECORD = "stage.json"
FORMAT = 2
"""Of the records, and of what lies next to them. Goes up when settings or files change their names or meaning."""


def fingerprint(**inputs: Any) -> str:
    """Digest of JSON values: the inputs of a stage."""
    text = json.dumps({**inputs, "version": __version__}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def digest(path: Path) -> str | None:
    """SHA-256 of a file or folder; None if it does not exist."""
    return sha256(path) if path.is_file() or path.is_dir() else None


class StageRecord:
    """The record in one stage folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.content: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError):  # missing or damaged: the stage runs again
            self.content = dict(read_json(folder / RECORD).items())

    @property
    def seconds(self) -> float:
        """Time spent on the stage, without interruptions."""
        return seconds_of(self.content.get("seconds"))

    def is_current(self, fingerprint: str, outputs: Sequence[str]) -> bool:
        """Whether the stage is finished, complete, and made from inputs with this fingerprint.

        outputs: names of what it makes. Names in the record are not trusted: a stranger may have made the run.
        """
        self._check_format()
        found = self.content.get("outputs")
        if (
            self.content.get("fingerprint") != fingerprint
            or not isinstance(found, dict)
            or found.keys() != set(outputs)
        ):
            return False
        return all(digest(self.folder / name) == found[name] for name in outputs)

    def seems_current(self, fingerprint: str, outputs: Sequence[str]) -> bool:
        """`is_current` at a glance: outputs must exist, whatever they contain."""
        found = self.content.get("outputs")
        same = (
            self.content.get("fingerprint") == fingerprint and isinstance(found, dict) and found.keys() == set(outputs)
        )
        return same and all((self.folder / name).exists() for name in outputs)

    @contextlib.contextmanager
    def running(self, fingerprint: str, outputs: Sequence[str], *, reuse: bool = False) -> Iterator[None]:
        """Wrap the work. First removes outputs of other inputs, unless the stage handles them itself (`reuse`).

        Raises StorageError, and removes nothing, if another version of nelf made the outputs.
        """
        self._check_format()
        if self.content.get("fingerprint") != fingerprint:
            if not reuse:
                remove(self.folder)
            self.content = {"fingerprint": fingerprint, "seconds": 0.0}
        self.content.pop("outputs", None)
        self.content["format"] = FORMAT
        self._write()
        began = time.monotonic()
        try:
            yield
            self.content["outputs"] = {name: sha256(self.folder / name) for name in outputs}
        finally:
            self.content["seconds"] = round(self.seconds + time.monotonic() - began, 3)
            self._write()

    def _check_format(self) -> None:
        found = self.content.get("format")
        if {"fingerprint", "seconds"} <= self.content.keys() and found != FORMAT:
            raise StorageError(
                f"{self.folder} was made by another version of nelf (format {found or 1}, this one has {FORMAT}); "
                "nothing was changed; start a new run with name=NEW"
            )

    def _write(self) -> None:
        write_json(self.folder / RECORD, self.content)
