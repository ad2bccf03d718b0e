"""The platforms that a network can be exported to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from nelf.export import coreml, mil, onnx, tflite
from nelf.export.coreml import DEPLOYMENTS
from nelf.export.graph import ExportGraph
from nelf.export.network import Layout
from nelf.export.session import Session
from nelf.view.assets import assets_folder

__all__ = ["DEPLOYMENTS", "PRECISIONS", "TARGETS", "Target"]

PRECISIONS = ("fp32", "fp16")


@dataclass(frozen=True)
class Target:
    """One platform.

    file: name of the model file (or package folder) in the bundle.
    layout: of the graph that the converter gets.
    dtypes: precision -> dtype of that graph after the trigonometry; where it is float32 for fp16, the converter halves.
    auto: precisions that `auto` means, the usual one first.
    convert: (graph, precision, path, lowest iOS version) writes the file.
    load: reads it back for execution.
    beside: a folder whose content is put beside the bundle's own files, where there is one.
    usual: whether it is made when no target is named.
    """

    file: str
    layout: Layout
    dtypes: Mapping[str, torch.dtype]
    auto: tuple[str, ...]
    convert: Callable[[ExportGraph, str, Path, str], None]
    load: Callable[[Path], Session]
    beside: Callable[[], Path] | None = None
    usual: bool = True


TARGETS: Mapping[str, Target] = {
    "ios": Target(
        file="model.mlpackage",
        layout=Layout.CHANNELS_FIRST,
        dtypes={"fp32": torch.float32, "fp16": torch.float32},
        auto=("fp16",),
        convert=coreml.convert,
        load=mil.load,
    ),
    "android": Target(
        file="model.tflite",
        layout=Layout.CHANNELS_LAST,
        dtypes={"fp32": torch.float32, "fp16": torch.float32},
        auto=("fp32", "fp16"),
        convert=lambda graph, precision, path, _: tflite.convert(graph, precision, path),
        load=tflite.load,
    ),
    "onnx": Target(
        file="model.onnx",
        layout=Layout.CHANNELS_FIRST,
        dtypes={"fp32": torch.float32, "fp16": torch.float16},
        auto=("fp32",),
        convert=lambda graph, precision, path, _: onnx.convert(graph, precision, path),
        load=onnx.load,
    ),
    "web": Target(
        file="model.tflite",
        layout=Layout.CHANNELS_LAST,
        dtypes={"fp32": torch.float32, "fp16": torch.float32},
        auto=("fp32",),
        convert=lambda graph, precision, path, _: tflite.convert(graph, precision, path),
        load=tflite.load,
        beside=assets_folder,
        usual=False,  # needs the built viewer
    ),
}
"""name -> Target."""
