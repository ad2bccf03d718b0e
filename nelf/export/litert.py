"""Export to LiteRT files, float or quantised."""

import itertools
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nelf.bundle.bundle import compare, render
from nelf.bundle.manifest import GroupSensitivity, Quantization, Rung
from nelf.core.captured_output import captured_output
from nelf.core.errors import ExportError
from nelf.evaluate.metrics import psnr, to_8bit
from nelf.export.graph import CalibrationViews, Request
from nelf.runtime import INPUT, OUTPUT, open_model

SIGNATURE = "serving_default"
MOST_SIGNATURES = 4
"""In a part of a program. Each adds 140 kB of graph."""


class _Named(nn.Module):
    """Names the output: LiteRT takes names from a dictionary."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.wrapped = graph

    def forward(self, pose: Tensor) -> dict[str, Tensor]:
        return {OUTPUT: self.wrapped(pose)}


def convert(graph: nn.Module, path: Path, samples: Sequence[Mapping[str, Tensor]] = ()) -> None:
    """Write `graph`, or a part of one, as `path` in float32.

    samples: inputs by name, of a graph that returns its outputs by name; by default a pose becomes an image. Several
    make as many signatures, `SIGNATURE` and then `SIGNATURE_1` and so on, which share weights.
    """
    with captured_output("the LiteRT conversion"):
        import litert_torch

        named = (graph if samples else _Named(graph)).eval()
        converter = litert_torch
        for number, sample in enumerate(samples or [{INPUT: torch.eye(3, 4)[None]}]):
            name = f"{SIGNATURE}_{number}" if number else SIGNATURE
            converter = converter.signature(name, named, sample_kwargs=dict(sample))
        converter.convert().export(str(path))


def halve_weights(path: Path) -> None:
    """Store the weights of the float32 file `path` as float16. The delegate chooses the arithmetic."""
    with captured_output("storing weights as float16"):
        from litert_quantizer import qtyping, quantizer
        from litert_quantizer.algorithm_manager import AlgorithmName

        recipe = quantizer.Quantizer(str(path))
        for operation in ("CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE", "EMBEDDING_LOOKUP"):
            recipe.add_weight_only_config(
                ".*", qtyping.TFLOperationName[operation], num_bits=16, algorithm_key=AlgorithmName.FLOAT_CASTING
            )
        content = _with_short_names(recipe.quantize().quantized_model)
    path.write_bytes(content)


def _with_short_names(content: bytes | bytearray) -> bytes:
    """The same file, where tensors have short names: paths of classes take 140 KB of a small student.

    Inputs and outputs keep theirs.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    for graph in model.subgraphs:
        kept = {int(i) for i in (*graph.inputs, *graph.outputs)}
        for i, tensor in enumerate(graph.tensors):
            if i not in kept:
                last = re.split(r"[./;]+", tensor.name.decode().rstrip(";"))[-1]
                tensor.name = f"{i}_{last}".encode()
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
ENCODING = ("SIN", "COS", "SOFTMAX")
"""Operations that start phases of rays, or positions in tables."""

MOST_GROUPS = 24
"""More layers than this are joined with neighbours for trials: each trial renders every calibration view."""
BITS = 8
FEW_BITS = 4  # of tables that were trained for it: student.table_bits

METHODS = {
    "int8": "8-bit integers with activation ranges from training views, where a group's rung allows it",
    "int8-dynamic": "weights: 8-bit integers, one scale per output channel, by groups' rungs; activations: float32",
}
"""Precision -> what is done, for the manifest."""

FLOAT: Rung = "float"
RUNGS: Mapping[str, tuple[Rung, ...]] = {"int8": ("static", "dynamic", FLOAT), "int8-dynamic": ("dynamic", FLOAT)}
"""Precision -> schemes for its layers, best first."""


TABLE = "EMBEDDING_LOOKUP"


@dataclass(frozen=True)
class Group:
    """Operations that are quantised together, by names of their outputs.

    table_bits: what each value of a table needs, if these operations read tables.
    """

    name: str
    outputs: tuple[str, ...]
    table_bits: int | None = None


def export(request: Request) -> Quantization | None:
    """Write the LiteRT file for `request`. Raises ExportError for 8 bits without calibration views."""
    precision = request.precision
    if precision in METHODS and not request.calibration.images:
        raise ExportError(f"{precision} needs training views with photos to measure the loss of 8 bits, but got none")
    made = request.conversions
    if (key := ("litert",)) in made:
        request.path.write_bytes(made[key])
    else:
        convert(request.graph, request.path)
        made[key] = request.path.read_bytes()
    if precision == "fp16":
        halve_weights(request.path)
    if precision not in METHODS:
        return None
    return quantize(request.path, precision, request.calibration, request.allowed_drop)


def quantize(path: Path, precision: str, calibration: CalibrationViews, allowed_drop: float) -> Quantization:
    """Quantise the file `path` to 8 bits. Layers that lose too much use a more precise scheme.

    allowed_drop: dB of PSNR against photos that the calibration views may lose.
    """
    layers, tables = _layers(path)
    groups, rungs = [*tables, *_groups(layers)], RUNGS[precision]
    model = _Calibrated(path.read_bytes(), rungs[0], calibration)
    alone = {group: model.cost(model.quantized({group: rungs[0]})) for group in groups}
    below: dict[Group, Rung] = {}
    for upper, lower in reversed(list(itertools.pairwise(rungs))):
        known = alone if upper == rungs[0] else {}
        below, content, drop = _descend(model, groups, upper, lower, below, allowed_drop, known)
    path.write_bytes(_with_short_names(content))
    return Quantization(
        method=METHODS[precision],
        calibration_views=len(calibration.images),
        drop_db=drop,
        groups=[
            GroupSensitivity(name=g.name, psnr=alone[g].psnr, drop_db=alone[g].drop, rung=below.get(g, rungs[0]))
            for g in groups
        ],
    )


def _descend(
    model: "_Calibrated",
    groups: list[Group],
    upper: Rung,
    lower: Rung,
    below: Mapping[Group, Rung],
    allowed_drop: float,
    alone: Mapping[Group, "_Cost"],
) -> tuple[dict[Group, Rung], bytes, float]:
    """Put all groups on `upper`, except those `below`, and move one more to `lower` until the drop is allowed.

    alone: cost of each group by itself on `upper`; measured here if missing. Returns the groups below `upper`, the file
    and its drop.
    """
    below = dict(below)
    while True:
        content = model.quantized({group: below.get(group, upper) for group in groups})
        drop = model.cost(content).drop
        left = [group for group in groups if group not in below]
        if drop <= allowed_drop or len(left) <= (lower == FLOAT):  # at least one layer must be in 8 bits
            return below, content, drop
        alone = alone or {group: model.cost(model.quantized({group: upper})) for group in left}
        below[min(left, key=lambda group: alone[group].psnr)] = lower


@dataclass(frozen=True)
class _Cost:
    """psnr: against the float model. drop: of PSNR against photos. Both in dB, means over the calibration views."""

    psnr: float
    drop: float


class _Calibrated:
    """The float file, the ranges of its activations if `rung` needs them, and its images of the views."""

    def __init__(self, content: bytes, rung: str, calibration: CalibrationViews) -> None:
        self.content = content
        self.calibration = calibration
        with captured_output("calibrating"):
            recipe = _quantizer(content)
            _add_rule(recipe, ".*", rung)
            poses = [{INPUT: pose[None].numpy()} for pose in calibration.c2w]
            self.ranges = recipe.calibrate({SIGNATURE: poses}, num_threads=torch.get_num_threads())
        self.images = self.render(content)
        self.psnr = self.against_photos(self.images)

    def quantized(self, chosen: Mapping[Group, str]) -> bytes:
        """The file with each of these groups on its rung, and everything else in float."""
        with captured_output("quantising"):
            recipe = _quantizer(self.content)
            for group, rung in chosen.items():
                for name in group.outputs:
                    _add_rule(recipe, f"^{re.escape(name)};", rung, group.table_bits)
            _leave_output(recipe)
            return bytes(recipe.quantize(self.ranges, enable_progress_report=False).quantized_model)

    def render(self, content: bytes) -> list[Tensor]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.tflite"
            path.write_bytes(content)
            model = open_model(path, torch.get_num_threads())
            return [render(model, pose) for pose in self.calibration.c2w]

    def against_photos(self, images: list[Tensor]) -> float:
        pairs = zip(images, self.calibration.images, strict=True)
        return sum(psnr(to_8bit(image), photo) for image, photo in pairs) / len(images)

    def cost(self, content: bytes) -> _Cost:
        images = self.render(content)
        pairs = zip(images, self.images, strict=True)
        near = sum(compare("", image, reference).psnr for image, reference in pairs) / len(images)
        return _Cost(near, self.psnr - self.against_photos(images))


def _layers(path: Path) -> tuple[list[Group], list[Group]]:
    """The layers of a file in order, and its tables by size."""
    with captured_output("reading the operations"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
        tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
        operations = interpreter._get_ops_details()
    layers: list[tuple[str, list[str]]] = []
    tables: dict[tuple[str, int], list[str]] = {}
    network, encodings = set[int](), set[int]()  # tensors from a convolution, or from an encoding after the last one
    for operation in operations:
        kind, inputs, outputs = operation["op_name"], set(operation["inputs"]), operation["outputs"]
        if kind == TABLE:
            table = interpreter.get_tensor(operation["inputs"][1])
            size = "x".join(str(n) for n in table.shape)
            tables.setdefault((size, _bits_of(table)), []).append(tensors[outputs[0]]["name"])
        if kind in CONVOLUTIONS:
            size = "x".join(str(int(n)) for n in tensors[outputs[0]]["shape"][1:])
            layers.append((f"{len(layers) + 1}: {kind} to {size}", []))
        elif kind in ENCODING or inputs & encodings:
            encodings.update(outputs)
            continue
        elif not inputs & network:
            continue
        network.update(outputs)
        layers[-1][1].append(tensors[outputs[0]]["name"])
    return (
        [Group(name, tuple(outputs)) for name, outputs in layers],
        [Group(f"tables of {size}", tuple(outputs), bits) for (size, bits), outputs in tables.items()],
    )


def _groups(layers: list[Group]) -> list[Group]:
    """First and last layer alone, as they are often sensitive; the others in at most `MOST_GROUPS` groups."""
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


def _bits_of(table: np.ndarray) -> int:
    """The bits that hold each value of a table without a loss, or else `BITS`."""
    levels = 2 ** (FEW_BITS - 1) - 1
    steps = table / max(float(np.abs(table).max()), 1e-12) * levels
    return FEW_BITS if np.allclose(steps, steps.round(), atol=1e-3) else BITS


def _add_rule(recipe: Any, names: str, rung: str, table_bits: int | None = None) -> None:
    """Put operations whose output name matches `names` on this rung.

    A table has one scale: one per row would double its size.
    """
    from litert_quantizer import qtyping

    every = qtyping.TFLOperationName.ALL_SUPPORTED
    if table_bits is not None and rung != FLOAT:
        whole, table = qtyping.QuantGranularity.TENSORWISE, qtyping.TFLOperationName[TABLE]
        recipe.add_dynamic_config(names, table, num_bits=table_bits, granularity=whole)
    elif rung == "static":
        recipe.add_static_config(names, every, activation_num_bits=BITS, weight_num_bits=BITS)
    elif rung == "dynamic":
        recipe.add_dynamic_config(names, every, num_bits=BITS)


def _leave_output(recipe: Any) -> None:
    """Keep the model's output in float; the last matching rule wins."""
    from litert_quantizer import qtyping
    from litert_quantizer.algorithm_manager import AlgorithmName

    recipe.update_quantization_recipe(".*", qtyping.TFLOperationName.OUTPUT, algorithm_key=AlgorithmName.NO_QUANTIZE)
