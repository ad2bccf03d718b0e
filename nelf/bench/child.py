"""A worker process (nelf/runtimes/worker.py) as an object."""

import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from nelf.errors import BenchError

KEPT_CHARACTERS = 300


class Child:
    """One model, or none, in a process of its own that answers requests. A context manager: leaving it ends it."""

    def __init__(self, name: str, path: Path | None, threads: int, inputs: Path | None = None) -> None:
        """name: for messages. inputs: an .npz file, see the worker."""
        self.name = name
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        command = [sys.executable, "-m", "nelf.runtimes.worker", str(path or "-"), str(threads)]
        self._process = subprocess.Popen(
            command + ([str(inputs)] if inputs else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """The worker's answer. Raises BenchError where it has none, or says that something failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise BenchError(
                f"{self.name}: its process ended (code {self._process.wait()}) during {do}: {self._tail()}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(f"{self.name}: {do} failed: {answer['error'][:KEPT_CHARACTERS]}")
        return answer

    def _tail(self) -> str:
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").split("\n")
        return " ".join(" ".join(said).split())[-KEPT_CHARACTERS:] or "it said nothing"

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):  # a request that a dead process did not take
            self._process.stdin.close()
        self._process.stdout.close()
        self._said.close()
