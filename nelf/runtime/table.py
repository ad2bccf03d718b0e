"""Which runtime executes which file. A runtime is imported when it opens its first model."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from nelf.core.captured_output import captured_output
from nelf.core.errors import ExportError
from nelf.runtime.protocol import RuntimeModel


@dataclass(frozen=True)
class Runtime:
    """name: for people. package: the distribution whose version counts. imports: what opening a model imports.

    module: ours, with `open_model(path, threads)`.
    untimed: why its speed says nothing of the runtime that the file is for; None where it does.
    """

    name: str
    package: str
    imports: str
    module: str
    untimed: str | None = None

    def open(self, path: Path, threads: int) -> RuntimeModel:
        """The model file `path`, loaded for `threads` threads. Raises ExportError where the file is damaged."""
        with captured_output(f"loading {path.name} in {self.name}"):
            return cast(RuntimeModel, importlib.import_module(self.module).open_model(path, threads))


RUNTIMES: Mapping[str, Runtime] = {
    ".tflite": Runtime("LiteRT", "ai-edge-litert", "ai_edge_litert.interpreter", "nelf.runtime.litert"),
    ".onnx": Runtime("ONNX Runtime", "onnxruntime", "onnxruntime", "nelf.runtime.onnx"),
    ".mlpackage": Runtime(
        "nelf's MIL interpreter",
        "coremltools",
        "coremltools",
        "nelf.runtime.coreml_program",
        untimed="Core ML runs on Apple's systems only",
    ),
    ".aimodel": Runtime("Core AI", "coreai-core", "coreai.runtime", "nelf.runtime.coreai"),
    ".json": Runtime("tiles", "nelf", "nelf.bundle.bundle", "nelf.bundle.bundle"),
}
"""Suffix of a model file -> what executes it. A manifest stands for its bundle's program, and runs the parts of it."""


def open_model(path: Path, threads: int) -> RuntimeModel:
    """The model file `path`, loaded for `threads` threads. Raises ExportError for a suffix that no runtime has."""
    if path.suffix not in RUNTIMES:
        raise ExportError(f"{path.name} has no runtime here; model files end in {', '.join(RUNTIMES)}")
    return RUNTIMES[path.suffix].open(path, threads)
