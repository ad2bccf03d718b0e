"""The platforms that a network can be exported to, and what each knows: the table `TARGETS`."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from nelf.bundle.manifest import Quantization
from nelf.export import coreai, coreml, litert, onnx
from nelf.export.coreml import DEPLOYMENTS
from nelf.export.graph import Request
from nelf.student import Layout
from nelf.viewer.site import assets_folder

__all__ = ["DEPLOYMENTS", "TARGETS", "Precision", "Target", "Tolerance"]


class Tolerance(enum.Enum):
    """By what a file is held: how near it must be to PyTorch, or how little it may lose against the photos."""

    FP32 = "fp32"
    FP16 = "fp16"
    DROP = "drop"


@dataclass(frozen=True)
class Precision:
    """One precision of one target.

    dtype: of the graph that the converter gets, after the trigonometry; where it is float32 for anything smaller, the
    converter makes it so.
    """

    gate: Tolerance
    dtype: torch.dtype = torch.float32


FLOAT = Precision(Tolerance.FP32)
HALF = Precision(Tolerance.FP16)
SMALL = Precision(Tolerance.DROP)


@dataclass(frozen=True)
class Target:
    """One platform.

    file: name of the model file (or package folder) in the bundle.
    layout: of the graph that the converter gets.
    forms: precision -> Form.
    auto: precisions that `auto` means, the usual one first.
    convert: writes the file that a request asks for; returns what it found out about quantising it, if it did.
    beside: a folder whose content is put beside the bundle's own files, where there is one.
    usual: whether it is made when no target is named.
    varying: files whose bytes differ from one export to the next, and why, where that cannot be helped.
    image_output: whether the output can be a picture of the system's.
    packages: distributions, beside those that every export needs, that have a hand in the file.
    system: lowest version by system, where that is no choice.
    experimental: converter or platform is a beta.
    """

    file: str
    layout: Layout
    forms: Mapping[str, Precision]
    auto: tuple[str, ...]
    convert: Callable[[Request], Quantization | None]
    beside: Callable[[], Path] | None = None
    usual: bool = True
    varying: Mapping[str, str] = field(default_factory=dict)
    image_output: bool = False
    packages: tuple[str, ...] = ()
    system: Mapping[str, str] = field(default_factory=dict)
    experimental: bool = False


TARGETS: Mapping[str, Target] = {
    "ios": Target(
        file="model.mlpackage",
        layout=Layout.CHANNELS_FIRST,
        forms={"fp32": FLOAT, "fp16": HALF, "w8": SMALL, "w6": SMALL, "w4": SMALL},
        auto=("fp16",),
        convert=coreml.answer,
        image_output=True,
    ),
    "android": Target(
        file="model.tflite",
        layout=Layout.CHANNELS_LAST,
        forms={"fp32": FLOAT, "fp16": HALF, "int8": SMALL, "int8-dynamic": SMALL},
        auto=("fp32", "fp16"),
        convert=litert.answer,
    ),
    "onnx": Target(
        file="model.onnx",
        layout=Layout.CHANNELS_FIRST,
        forms={"fp32": FLOAT, "fp16": Precision(Tolerance.FP16, torch.float16)},
        auto=("fp32",),
        convert=onnx.answer,
    ),
    "web": Target(
        file="model.tflite",
        layout=Layout.CHANNELS_LAST,
        forms={"fp32": FLOAT, "fp16": HALF},
        auto=("fp32",),
        convert=litert.answer,
        beside=assets_folder,
        usual=False,  # needs the built viewer
    ),
    "coreai": Target(
        file="model.aimodel",
        layout=Layout.CHANNELS_FIRST,
        forms={"fp32": FLOAT, "fp16": Precision(Tolerance.FP16, torch.float16)},
        auto=("fp16",),
        convert=coreai.answer,
        varying=coreai.VARYING,
        packages=("coreai-core", "coreai-torch"),
        system={"ios": "27"},
        experimental=True,
        usual=False,
    ),
}
"""name -> Target."""
