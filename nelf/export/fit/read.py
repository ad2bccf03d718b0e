"""Reads the operations of a model file, whatever its format."""

from collections.abc import Callable, Mapping
from pathlib import Path

from nelf.export.fit.graph import Format, Graph
from nelf.export.fit.read_core_ml import read_core_ml
from nelf.export.fit.read_lite import read_lite
from nelf.export.fit.read_onnx import read_onnx

READERS: Mapping[Format, Callable[[Path], Graph]] = {
    Format.CORE_ML: read_core_ml,
    Format.LITE: read_lite,
    Format.ONNX: read_onnx,
}


def read_graph(path: Path) -> Graph:
    """The operations of a model file. Raises ValueError for another suffix, ExportError for a file that is broken."""
    return READERS[Format(path.suffix)](path)
