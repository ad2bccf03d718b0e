"""A process that holds one model: python -m nelf.runtime.worker FILE THREADS [INPUTS.npz]

Reads one JSON request per line from stdin and answers each with one JSON line, until stdin ends. A model in its own
process has its own peak memory, and uses no processor time while others are measured.

    {"do": "load"}                          -> {"load_ms": 12.3}
    {"do": "run", "frames": 5, "warm": 1}   -> {"ms": [4.1, 4.0, 4.2, 4.0, 4.1]}
    {"do": "profile", "frames": 20}         -> {"operations": [["Convolution", 1.2], ...]}
    {"do": "memory"}                        -> {"peak_mb": 31.2}, or null if /proc does not tell
    {"do": "matmul", "size": 1024}          -> {"gflops": 83.1}: needs PyTorch and no FILE ("-")

Errors are answered with {"error": "why"}. INPUTS.npz holds arrays with one row per input, used in turn, one per frame;
without it inputs are random.
"""

import contextlib
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nelf.runtime.protocol import RuntimeModel
from nelf.runtime.table import RUNTIMES

STATUS, RESET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MATMUL_SECONDS = 2.0


class Worker:
    """Answers requests about one model file."""

    def __init__(self, path: Path, threads: int, inputs: Path | None) -> None:
        self.path, self.threads = path, threads
        self.given = dict(np.load(inputs)) if inputs is not None else None
        self.model: RuntimeModel | None = None
        self.inputs: list[dict[str, NDArray[Any]]] = []
        self.frame = 0
        self.empty_mb: float | None = None

    def load(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Load the model. Answers with the milliseconds that it took."""
        importlib.import_module(RUNTIMES[self.path.suffix].imports)  # not part of loading the model
        self.empty_mb = _memory_mb("VmRSS")
        try:
            RESET_PEAK.write_text("5")  # proc(5): resets the peak to the current size
        except OSError:  # not Linux, or a container that forbids it: the peak is meaningless
            self.empty_mb = None
        began = time.perf_counter()
        self.model = RUNTIMES[self.path.suffix].open(self.path, self.threads)
        taken = time.perf_counter() - began
        self.inputs = self._rows()
        return {"load_ms": 1000 * taken}

    def _rows(self) -> list[dict[str, NDArray[Any]]]:
        assert self.model is not None
        if self.given is None:
            numbers, taken = np.random.default_rng(0), self.model.signatures[0]
            return [{name: numbers.standard_normal(shape).astype(kind) for name, (shape, kind) in taken.items()}]
        count = min(len(rows) for rows in self.given.values())
        return [{name: rows[i] for name, rows in self.given.items()} for i in range(count)]

    def _next(self) -> dict[str, NDArray[Any]]:
        self.frame += 1
        return self.inputs[self.frame % len(self.inputs)]

    def run(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run the model `warm` times, then `frames` times. Answers with the milliseconds of each frame."""
        assert self.model is not None, "load first"
        for _ in range(request["warm"]):
            self.model.run(self._next())
        taken = []
        for _ in range(request["frames"]):
            inputs = self._next()
            began = time.perf_counter()
            self.model.run(inputs)
            taken.append(1000 * (time.perf_counter() - began))
        return {"ms": taken}

    def profile(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answers with the milliseconds of each operation."""
        assert self.model is not None, "load first"
        return {"operations": [[o.kind, o.milliseconds] for o in self.model.profile(self._next(), request["frames"])]}

    def memory(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Answers with the peak of memory above that of the empty process, in MB."""
        peak = _memory_mb("VmHWM")
        return {"peak_mb": None if peak is None or self.empty_mb is None else peak - self.empty_mb}

    def matmul(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Best speed within some seconds: what the machine can do when nothing else runs."""
        import torch

        torch.set_num_threads(self.threads)
        size = request["size"]
        a, b = torch.rand(size, size), torch.rand(size, size)
        best, end = float("inf"), time.perf_counter() + MATMUL_SECONDS
        while (began := time.perf_counter()) < end:
            torch.mm(a, b)
            best = min(best, time.perf_counter() - began)
        return {"gflops": 2 * size**3 / best / 1e9}


def _memory_mb(field: str) -> float | None:
    """A line of /proc/self/status in megabytes (10^6 bytes); None if there is no such file."""
    if not STATUS.is_file():
        return None
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024 / 1e6


def main() -> None:
    """Answer until stdin ends. What runtimes print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    path, threads, *inputs = sys.argv[1:]
    worker = Worker(Path(path), int(threads), Path(inputs[0]) if inputs else None)
    actions: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
        name: getattr(worker, name) for name in ("load", "run", "profile", "memory", "matmul")
    }
    with contextlib.suppress(KeyboardInterrupt):  # the parent reports it
        for line in sys.stdin:
            request = json.loads(line)
            try:
                answer = actions[request["do"]](request)
            except Exception as error:  # runtimes raise anything; the parent reports it in one line
                answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
