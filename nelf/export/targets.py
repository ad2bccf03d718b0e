"""The table `TARGETS`: export platforms, and how each is made."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from nelf.bundle.manifest import Quantization
from nelf.export import coreai, coreml, litert, onnx
from nelf.export.coreml import DEPLOYMENTS
from nelf.export.graph import PartRequest, Request
from nelf.student import Layout
from nelf.viewer.site import assets_folder

__all__ = ["DEPLOYMENTS", "TARGETS", "Precision", "Target", "Tolerance"]


class Tolerance(enum.Enum):
    """How a file is judged: by its difference from PyTorch, or by its loss against photos."""

    FP32 = "fp32"
    FP16 = "fp16"
    DROP = "drop"


@dataclass(frozen=True)
class Precision:
    """One precision of one target.

    dtype: of the converter's input graph after the trigonometry. If it is float32 for a smaller precision, the
    converter does the rest.
    """

    gate: Tolerance
    dtype: torch.dtype = torch.float32


FLOAT = Precision(Tolerance.FP32)
HALF = Precision(Tolerance.FP16)
SMALL = Precision(Tolerance.DROP)


def _litert_part(request: PartRequest) -> None:
    litert.convert(request.graph, request.path, request.samples)  # takes the outputs' names from the graph
    if request.precision == "fp16":
        litert.halve_weights(request.path)


def _onnx_part(request: PartRequest) -> None:
    (sample,) = request.samples
    onnx.convert(request.graph, request.precision, request.path, sample, request.outputs)


@dataclass(frozen=True)
class Target:
    """One platform.

    file: name of the model file (or package folder) in the bundle.
    layout: of the converter's input graph.
    forms: precision -> Precision.
    auto: precisions that `auto` means, the default first.
    convert: writes the file for a request; returns how it was quantised, if it was.
    extra_files: a folder whose content is copied into the bundle, or None.
    default: whether the target is made if you name none.
    varying: files whose bytes differ between exports, and why.
    image_output: whether the output can be an image of the system.
    convert_part: writes a part of a program; None without programs. sizes: how many sizes of inputs a part may take.
    packages: distributions that affect the file, apart from those of every export.
    system: oldest version by system, if it cannot be chosen.
    experimental: converter or platform is a beta.
    """

    file: str
    layout: Layout
    forms: Mapping[str, Precision]
    auto: tuple[str, ...]
    convert: Callable[[Request], Quantization | None]
    extra_files: Callable[[], Path] | None = None
    default: bool = True
    varying: Mapping[str, str] = field(default_factory=dict)
    image_output: bool = False
    convert_part: Callable[[PartRequest], None] | None = None
    sizes: int = 1
    packages: tuple[str, ...] = ()
    system: Mapping[str, str] = field(default_factory=dict)
    experimental: bool = False


TARGETS: Mapping[str, Target] = {
    "ios": Target(
        file="model.mlpackage",
        layout=Layout.CHANNELS_FIRST,
        forms={"fp32": FLOAT, "fp16": HALF, "w8": SMALL, "w6": SMALL, "w4": SMALL},
        auto=("fp16",),
        convert=coreml.export,
        image_output=True,
        convert_part=coreml.export_part,
    ),
    "android": Target(
        file="model.tflite",
        layout=Layout.CHANNELS_LAST,
        forms={"fp32": FLOAT, "fp16": HALF, "int8": SMALL, "int8-dynamic": SMALL},
        auto=("fp32", "fp16"),
        convert=litert.export,
        convert_part=_litert_part,
        sizes=litert.MOST_SIGNATURES,
    ),
    "onnx": Target(
        file="model.onnx",
        layout=Layout.CHANNELS_FIRST,
        forms={"fp32": FLOAT, "fp16": Precision(Tolerance.FP16, torch.float16)},
        auto=("fp32",),
        convert=onnx.export,
        convert_part=_onnx_part,
    ),
    "web": Target(
        file="model.tflite",
        layout=Layout.CHANNELS_LAST,
        forms={"fp32": FLOAT, "fp16": HALF},
        auto=("fp32",),
        convert=litert.export,
        convert_part=_litert_part,
        sizes=litert.MOST_SIGNATURES,
        extra_files=assets_folder,
        default=False,  # needs the built viewer
    ),
    "coreai": Target(
        file="model.aimodel",
        layout=Layout.CHANNELS_FIRST,
        forms={"fp32": FLOAT, "fp16": Precision(Tolerance.FP16, torch.float16)},
        auto=("fp16",),
        convert=coreai.export,
        varying=coreai.VARYING,
        packages=("coreai-core", "coreai-torch"),
        system={"ios": "27"},
        experimental=True,
        default=False,
    ),
}
"""name -> Target."""
