"""ONNX Runtime. Imported only when a model is opened."""

import json
import tempfile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nelf.runtime.protocol import Arrays, OperationTime, Signature, medians

SILENT = 3  # onnxruntime's log level: errors only
DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64", "tensor(int32)": "int32"}


class OnnxModel:
    """A loaded .onnx file on the CPU."""

    def __init__(self, path: Path, threads: int) -> None:
        self._path, self._threads = path, threads
        self._session = _session(path, threads, None)
        self._outputs = [output.name for output in self._session.get_outputs()]

    @property
    def signatures(self) -> list[Signature]:
        """See `RuntimeModel`."""
        return [{i.name: (tuple(int(n) for n in i.shape), DTYPES[i.type]) for i in self._session.get_inputs()}]

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """See `RuntimeModel`."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))

    def profile(self, inputs: Arrays, frames: int) -> list[OperationTime]:
        """Profile in a second session, since profiling is chosen at creation; its first frame is not counted."""
        with tempfile.TemporaryDirectory() as folder:
            session = _session(self._path, self._threads, str(Path(folder) / "profile"))
            for _ in range(frames + 1):
                session.run(self._outputs, dict(inputs))
            events = json.loads(Path(session.end_profiling()).read_text())
        return medians(_frames(events)[1:])


def _frames(events: list[dict[str, Any]]) -> list[list[tuple[str, float]]]:
    """(operation, milliseconds) of each kernel, one list per run: kernels lie within their run's event."""
    runs = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e.get("name") == "model_run")
    kernels = sorted((e for e in events if e.get("name", "").endswith("_kernel_time")), key=lambda e: e["ts"])
    return [
        [(e["args"]["op_name"], e["dur"] / 1000) for e in kernels if start <= e["ts"] <= end] for start, end in runs
    ]


def _session(path: Path, threads: int, profile: str | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = SILENT
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def open_model(path: Path, threads: int) -> OnnxModel:
    """Open the file in ONNX Runtime on `threads` threads."""
    return OnnxModel(path, threads)
