"""A float32 LiteRT file in 8 bits: which layers, and which of them stay in float because 8 bits would show.

int8: weights and activations are integers, the ranges of the latter found on training views. int8-dynamic: activations
are float, and the runtime quantises them for each convolution anew. A layer is a convolution with all that follows it
up to the next one. The encoding before the first is never touched: its high octaves need the phase, and it takes a few
per cent of the time.

Each layer is quantised alone and the picture compared with that of the float model. Then all are quantised, and as long
as the training views lose more than is allowed against their photos, the layer that cost most goes back to float.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nelf.errors import ExportError
from nelf.evaluate.metrics import psnr
from nelf.evaluate.pictures import to_8bit
from nelf.export.contract import GroupSensitivity, Quantization
from nelf.export.graph import INPUT
from nelf.export.parity import compare
from nelf.export.quiet import quiet
from nelf.export.request import Photos, Request
from nelf.export.tflite import SIGNATURE, convert, load_content

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
MOST_GROUPS = 24
"""More layers than this are tried a few neighbours at a time: each try renders every calibration view."""
BITS = 8

METHODS = {
    "int8": "weights and activations: 8-bit integers, ranges from training views",
    "int8-dynamic": "weights: 8-bit integers, one scale an output channel; activations: float32",
}
"""Precision -> what is done, for the manifest."""


@dataclass(frozen=True)
class Group:
    """Operations that are quantised together, by the names of their outputs."""

    name: str
    outputs: tuple[str, ...]


def answer(request: Request) -> Quantization | None:
    """Write the LiteRT file that `request` asks for. Raises ExportError for 8 bits without views to calibrate on."""
    precision = request.precision
    if precision in METHODS and not request.calibration.images:
        raise ExportError(f"{precision} needs training views with photos to see what 8 bits cost; none were given")
    convert(request.graph, precision, request.path)
    if precision not in METHODS:
        return None
    return quantize(request.path, precision, request.calibration, request.allowed_drop)


def quantize(path: Path, precision: str, calibration: Photos, allowed_drop: float) -> Quantization:
    """The file `path` in 8 bits, but for layers that cost too much.

    allowed_drop: dB of PSNR that the calibration views may lose against their photos.
    """
    model = _Calibrated(path.read_bytes(), precision, calibration)
    groups = _groups(_layers(path))
    found = {group.name: model.cost(model.quantized([group])) for group in groups}
    by_cost = sorted(groups, key=lambda group: found[group.name].psnr)
    kept: list[Group] = []
    while True:
        content = model.quantized([group for group in groups if group not in kept])
        drop = model.cost(content).drop
        if drop <= allowed_drop or len(kept) == len(groups) - 1:
            break
        kept.append(by_cost[len(kept)])
    path.write_bytes(content)
    return Quantization(
        METHODS[precision],
        len(calibration.images),
        drop,
        [GroupSensitivity(g.name, found[g.name].psnr, found[g.name].drop, g in kept) for g in groups],
    )


@dataclass(frozen=True)
class _Cost:
    """psnr: against the float model. drop: of PSNR against the photos. Both dB, means over the calibration views."""

    psnr: float
    drop: float


class _Calibrated:
    """The float file with the ranges of its activations, and what it renders of the calibration views."""

    def __init__(self, content: bytes, precision: str, calibration: Photos) -> None:
        self.content = content
        self.precision = precision
        self.calibration = calibration
        with quiet("calibrating"):
            recipe = _quantizer(content)
            self._add_rule(recipe, ".*")
            poses = [{INPUT: pose[None].numpy()} for pose in calibration.c2w]
            self.ranges = recipe.calibrate({SIGNATURE: poses}, num_threads=torch.get_num_threads())
        self.images = self.render(content)
        self.psnr = self.against_photos(self.images)

    def quantized(self, groups: Sequence[Group]) -> bytes:
        with quiet("quantising"):
            recipe = _quantizer(self.content)
            for group in groups:
                for name in group.outputs:
                    self._add_rule(recipe, f"^{re.escape(name)};")
            _leave_output(recipe)
            return bytes(recipe.quantize(self.ranges, enable_progress_report=False).quantized_model)

    def _add_rule(self, recipe: Any, names: str) -> None:
        if self.precision == "int8":
            recipe.add_static_config(names, _every_operation(), activation_num_bits=BITS, weight_num_bits=BITS)
        else:
            recipe.add_dynamic_config(names, _every_operation(), num_bits=BITS)

    def render(self, content: bytes) -> list[Tensor]:
        session = load_content(content, "the quantised model")
        return [session.render(pose[None])[0] for pose in self.calibration.c2w]

    def against_photos(self, images: list[Tensor]) -> float:
        pairs = zip(images, self.calibration.images, strict=True)
        return sum(psnr(to_8bit(image), photo) for image, photo in pairs) / len(images)

    def cost(self, content: bytes) -> _Cost:
        images = self.render(content)
        pairs = zip(images, self.images, strict=True)
        near = sum(compare("", image, reference).psnr for image, reference in pairs) / len(images)
        return _Cost(near, self.psnr - self.against_photos(images))


def _layers(path: Path) -> list[Group]:
    """The layers of a file, first to last."""
    with quiet("reading the operations"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
        tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
        operations = interpreter._get_ops_details()
    layers: list[tuple[str, list[str]]] = []
    for operation in operations:
        output = tensors[operation["outputs"][0]]
        if operation["op_name"] in CONVOLUTIONS:
            size = "x".join(str(int(n)) for n in output["shape"][1:])
            layers.append((f"{len(layers) + 1}: {operation['op_name']} to {size}", []))
        if layers:
            layers[-1][1].append(output["name"])
    return [Group(name, tuple(outputs)) for name, outputs in layers]


def _groups(layers: list[Group]) -> list[Group]:
    """First and last layer alone, which are the likeliest to be sensitive; those between in at most `MOST_GROUPS`."""
    if len(layers) <= MOST_GROUPS:
        return layers
    first, *between, last = layers
    count = MOST_GROUPS - 2
    bounds = [i * len(between) // count for i in range(count + 1)]
    chunks = [between[start:end] for start, end in itertools.pairwise(bounds)]
    joined = [Group(f"{c[0].name} ... {c[-1].name}", tuple(o for g in c for o in g.outputs)) for c in chunks]
    return [first, *joined, last]


def _quantizer(content: bytes) -> Any:
    from litert_quantizer import quantizer

    return quantizer.Quantizer(bytearray(content))


def _every_operation() -> Any:
    from litert_quantizer import qtyping

    return qtyping.TFLOperationName.ALL_SUPPORTED


def _leave_output(recipe: Any) -> None:
    """The model's output is float whatever the operation before it gives; the last rule that matches counts."""
    from litert_quantizer import qtyping
    from litert_quantizer.algorithm_manager import AlgorithmName

    recipe.update_quantization_recipe(".*", qtyping.TFLOperationName.OUTPUT, algorithm_key=AlgorithmName.NO_QUANTIZE)
