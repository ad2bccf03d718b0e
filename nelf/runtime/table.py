"""Which runtime executes which file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nelf.runtime import litert, onnx
from nelf.runtime.protocol import RuntimeModel


@dataclass(frozen=True)
class Runtime:
    """name: for people. package: the distribution whose version counts. module: what opening imports.

    open: (file, threads) -> model.
    """

    name: str
    package: str
    module: str
    open: Callable[[Path, int], RuntimeModel]


RUNTIMES: Mapping[str, Runtime] = {
    ".tflite": Runtime("LiteRT", "ai-edge-litert", "ai_edge_litert.interpreter", litert.open_model),
    ".onnx": Runtime("ONNX Runtime", "onnxruntime", "onnxruntime", onnx.open_model),
}
"""Suffix of a model file -> what executes it. Core ML is not among them: it exists on Apple's systems only."""


def open_model(path: Path, threads: int) -> RuntimeModel:
    """The model file `path`, loaded for `threads` threads. Raises KeyError for a suffix that no runtime has."""
    return RUNTIMES[path.suffix].open(path, threads)
