"""Export to a Core ML package (ML Program). The only file that imports coremltools for writing."""

import copy
import functools
import importlib.util
import json
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nelf.bundle.manifest import Quantization
from nelf.core.captured_output import captured_output
from nelf.core.errors import ExportError
from nelf.export.graph import PartRequest, Request
from nelf.runtime.protocol import INPUT, OUTPUT

DEPLOYMENTS = {"16": "iOS16", "17": "iOS17", "18": "iOS18"}
"""Oldest iOS version for the package -> name of coremltools' target."""

FP32_OPS = frozenset({"sin", "cos", "floor", "abs"})
"""Phases of rays, positions in tables and distances from their nodes. They are computed in float32, with everything
that leads to them from the pose or the last convolution."""

CONVOLUTIONS = frozenset({"conv", "conv_transpose"})
PALETTES = {"w6": 6, "w4": 4}
"""Precision -> bits per weight: the index of one of 2^bits values, chosen per layer (k-means)."""

SMALL = 6144
"""Layers up to this many weights get eight bits instead of a palette, which would save little."""

TINY = 1024
"""Layers up to this many weights stay in float16."""

METHODS: Mapping[str, str] = {
    "w8": "weights: linear, symmetric, 8 bits, one scale per output channel; arithmetic: float16",
    "w6": "weights: one of 64 values per layer (k-means); arithmetic: float16",
    "w4": "weights: one of 16 values per layer (k-means); arithmetic: float16",
}


def refuse_tensorflow() -> None:
    """Raise ExportError if coremltools would import tensorflow: together with torch 2.14 that crashes the process."""
    if importlib.util.find_spec("tensorflow") is not None:
        raise ExportError(
            "Core ML export is not possible while tensorflow is installed: coremltools imports it and the process "
            "crashes; remove it with: pip uninstall tensorflow"
        )


def export(request: Request) -> Quantization | None:
    """Write the package for `request`. Returns how it was quantised, if it was."""
    floats = "fp32" if request.precision == "fp32" else "fp16"
    key = ("coreml", floats, request.ios_deployment, str(request.image_output))
    made = request.conversions
    if key not in made:
        made[key] = convert(request.graph, floats, request.ios_deployment, request.image_output)
    save(made[key], request.precision, request.path)
    method = METHODS.get(request.precision)
    return Quantization(method=method, calibration_views=0, groups=[]) if method else None


def export_part(request: PartRequest) -> None:
    """Write the package of a part, in fp32 or fp16."""
    (sample,) = request.samples
    model = convert(request.graph, request.precision, request.ios_deployment, samples=sample, outputs=request.outputs)
    save(model, request.precision, request.path)


def convert(
    graph: nn.Module,
    floats: str,
    deployment: str,
    image_output: bool = False,
    samples: Mapping[str, Tensor] | None = None,
    outputs: Sequence[str] = (OUTPUT,),
) -> Any:
    """`graph` as coremltools' model with arithmetic in `floats`, fp32 or fp16.

    image_output: the graph returns pixels (`PixelGraph`), and Core ML hands them out as a CVPixelBuffer.
    samples: inputs by name, in the graph's order; by default a pose. outputs: their names, in the graph's order.
    """
    samples = samples or {INPUT: torch.eye(3, 4)[None]}
    refuse_tensorflow()
    with captured_output("the Core ML conversion"):
        import coremltools as ct

        program = torch.export.export(graph, tuple(samples.values())).run_decompositions({})
        model = ct.convert(
            program,
            inputs=[ct.TensorType(name, shape=tuple(one.shape), dtype=float) for name, one in samples.items()],
            outputs=[
                ct.ImageType(name, color_layout=ct.colorlayout.RGB)
                if image_output
                else ct.TensorType(name, dtype=float)
                for name in outputs
            ],
            minimum_deployment_target=getattr(ct.target, DEPLOYMENTS[deployment]),
            compute_precision=ct.precision.FLOAT32 if floats == "fp32" else _half(ct),
            skip_model_load=True,  # Core ML exists only on macOS
        )
        model.input_description[INPUT] = "camera to world, 3x4, OpenGL axes"
        if OUTPUT in outputs:
            model.output_description[OUTPUT] = (
                "picture, RGB" if image_output else "height x width x RGB(A), 0 to 1, colour premultiplied by alpha"
            )
    return model


def save(model: Any, precision: str, path: Path) -> None:
    """Write `model` as the package `path` (a folder ending in .mlpackage), its weights compressed to `precision`."""
    with captured_output("writing the Core ML package"):
        import coremltools as ct

        (_compressed(model, precision) if precision in METHODS else model).save(str(path))
        _make_reproducible(ct, path)


def _compressed(model: Any, precision: str) -> Any:
    """The model with its large weights in fewer bits; it expands them to float16 when loaded or run."""
    import coremltools.optimize.coreml as cto

    if precision in PALETTES:
        choose = functools.partial(palette, bits=PALETTES[precision])  # coremltools' k-means needs scikit-learn
        config = cto.OpPalettizerConfig(mode="custom", lut_function=choose, weight_threshold=SMALL)
        model = cto.palettize_weights(model, cto.OptimizationConfig(global_config=config))
    linear = cto.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", weight_threshold=TINY)
    return cto.linear_quantize_weights(model, cto.OptimizationConfig(global_config=linear))


def _half(ct: Any) -> Any:
    """Half precision for everything but phases and positions, which need more digits."""
    exact: dict[int, set[str]] = {}  # by program; filled before the pass changes an operation

    def selected(op: Any) -> bool:
        block = op.enclosing_block
        if id(block) not in exact:
            exact[id(block)] = _exact(block)
        return op.name not in exact[id(block)]

    return ct.transform.FP16ComputePrecision(op_selector=selected)


def _exact(block: Any) -> set[str]:
    """Operations that must compute in float32.

    These are `FP32_OPS` and what leads to them, back to a convolution; what leads to the rows of a gather; and the
    distance of a position from its node, which remains after `floor`.
    """
    names: set[str] = set()
    for op in reversed(list(block.operations)):
        users = [(output, user) for output in op.outputs for user in output.child_ops]
        remainder = op.op_type == "sub" and any(
            value is not None and value.op is not None and value.op.op_type == "floor" for value in (op.x, op.y)
        )
        leads_on = any(
            user.indices is output if user.op_type == "gather" else user.name in names for output, user in users
        )
        if op.op_type in FP32_OPS or remainder or (leads_on and op.op_type not in CONVOLUTIONS):
            names.add(op.name)
    return names


def _make_reproducible(ct: Any, path: Path) -> None:
    """Replace random identifiers and hash-ordered maps in the package: the same model gives the same bytes."""
    manifest = path / "Manifest.json"
    content = json.loads(manifest.read_text())
    renamed = {old: str(uuid.uuid5(uuid.NAMESPACE_URL, entry["path"])).upper()
               for old, entry in content["itemInfoEntries"].items()}  # fmt: skip
    content["itemInfoEntries"] = {renamed[old]: entry for old, entry in content["itemInfoEntries"].items()}
    content["itemInfoEntries"] = dict(sorted(content["itemInfoEntries"].items()))
    content["rootModelIdentifier"] = renamed[content["rootModelIdentifier"]]
    manifest.write_text(json.dumps(content, indent=4))
    (path / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)  # for a debugger
    (file,) = path.rglob("*.mlmodel")
    spec = ct.proto.Model_pb2.Model()
    spec.ParseFromString(file.read_bytes())
    for function in spec.mlProgram.functions.values():
        for block in function.block_specializations.values():
            _shorten(block)
    file.write_bytes(spec.SerializeToString(deterministic=True))


def _shorten(block: Any) -> None:
    """Keep each constant of a program once, under a short name: hundreds of them fill a tenth of a quantised package.

    Operations keep their names, which Xcode's performance report shows.
    """
    names: dict[str, str] = {}
    short: dict[bytes, str] = {}
    kept = []
    for op in block.operations:
        for argument in op.inputs.values():
            for binding in argument.arguments:
                if binding.name in names:
                    binding.name = names[binding.name]
        if op.type == "const" or op.type.startswith("constexpr_"):
            (output,) = op.outputs
            old, output.name = output.name, ""
            label = op.attributes["name"].immediateValue.tensor.strings.values
            label[0] = ""
            content = op.SerializeToString(deterministic=True)
            names[old] = short.get(content, f"c{len(short)}")
            if content in short:
                continue
            short[content] = output.name = names[old]
            label[0] = names[old]
        kept.append(copy.deepcopy(op))
    del block.operations[:]
    block.operations.extend(kept)


BINS = 4096  # of the histogram for the initial palette
ROUNDS = 100


def palette(weights: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """2^bits values in the dtype of `weights`, ascending, and for each weight the index of its value, flat, uint8.

    Lloyd's algorithm on sorted values: each cluster is an interval, so a round is a binary search for the bounds and
    differences of running sums. It starts from values whose density is the cube root of the weights' density, the
    limit of the best palette (Panter and Dite 1951), and has no randomness.
    """
    flat = weights.astype(np.float64).ravel()
    ordered = np.sort(flat)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    count = 2**bits
    values = _first(ordered, count)
    for _ in range(ROUNDS):
        bounds = np.concatenate([[0], np.searchsorted(ordered, (values[1:] + values[:-1]) / 2), [len(ordered)]])
        members = np.diff(bounds)
        means = np.diff(sums[bounds]) / np.maximum(members, 1)
        moved = np.where(members > 0, means, values)
        if np.array_equal(moved, values):
            break
        values = moved
    values = np.sort(values.astype(weights.dtype))
    exact = values.astype(np.float64)
    indices = np.searchsorted((exact[1:] + exact[:-1]) / 2, flat)
    return values, indices.astype(np.uint8)


def _first(ordered: np.ndarray, count: int) -> np.ndarray:
    density, edges = np.histogram(ordered, bins=BINS)
    share = np.concatenate([[0.0], np.cumsum(np.cbrt(density))])
    return np.interp((np.arange(count) + 0.5) / count * share[-1], share, edges)
