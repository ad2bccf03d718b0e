"""How far down the ladder layers go in 8 bits, and whether the file is what the manifest says."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from nelf.export import TARGETS, ExportGraph, Photos
from nelf.export.contract import Quantization
from nelf.export.quiet import quiet
from nelf.export.tflite import convert
from nelf.export.tflite_quantize import CONVOLUTIONS, quantize
from nelf.student import NeLF
from tests.export.conftest import Exported
from tests.export.networks import around, photos, student


@pytest.fixture(scope="module")
def calibration(model: NeLF) -> Photos:
    return photos(model, around(3, seed=5), noise=0.01)


def quantized(bundles: Exported, folder: Path, precision: str, seen: Photos, allowed_drop: float) -> Quantization:
    """In 8 bits and with each layer on the rung that is said of it."""
    path = folder / "model.tflite"
    path.write_bytes((bundles["android", "fp32"][0] / "model.tflite").read_bytes())
    found = quantize(path, precision, seen, allowed_drop)
    assert rungs_in(path) == [group.rung for group in found.groups]
    return found


def rungs_in(path: Path) -> list[str]:
    """By the types of each convolution's input and weights; but not of what spreads coordinates over a grid's nodes."""
    names = {("int8", "int8"): "static", ("float32", "int8"): "dynamic", ("float32", "float32"): "float"}
    found = []
    operations = operations_in(path)
    for (kind, inputs, _), (after, _, _) in itertools.zip_longest(operations, operations[1:], fillvalue=("", [], [])):
        if kind in CONVOLUTIONS and after != "ABS":
            image, weights = (inputs[2], inputs[1]) if kind == "TRANSPOSE_CONV" else inputs[:2]
            found.append(names[image, weights])
    return found


def operations_in(path: Path) -> list[tuple[str, list[str], list[str]]]:
    """Kind, types of inputs, types of outputs, in order."""
    with quiet("reading"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    types = {tensor["index"]: np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()}
    return [
        (op["op_name"], [types[i] for i in op["inputs"]], [types[i] for i in op["outputs"]])
        for op in interpreter._get_ops_details()
    ]


def test_all_are_integers_where_any_drop_is_allowed(bundles: Exported, tmp_path: Path, calibration: Photos) -> None:
    found = quantized(bundles, tmp_path, "int8", calibration, math.inf)
    assert found.rungs() == f"{len(found.groups)} static"


def test_the_costliest_get_float_activations_first(bundles: Exported, tmp_path: Path, calibration: Photos) -> None:
    most = quantized(bundles, tmp_path, "int8", calibration, math.inf).drop_db
    least = quantized(bundles, tmp_path, "int8-dynamic", calibration, math.inf).drop_db
    assert most is not None
    assert least is not None
    assert least < most
    found = quantized(bundles, tmp_path, "int8", calibration, (least + most) / 2)
    assert found.drop_db is not None
    assert found.drop_db <= (least + most) / 2
    assert {group.rung for group in found.groups} == {"static", "dynamic"}, "none in float: dynamic would do for all"
    kept = [group.psnr for group in found.groups if group.rung == "static"]
    assert max(group.psnr for group in found.groups if group.rung == "dynamic") <= min(kept)


def test_where_the_surface_is_stays_in_float(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is allowed: from the likelihoods of depths on only a grid's values are integers, then the network."""
    monkeypatch.setattr("nelf.export.tflite_quantize.MOST_GROUPS", 3)  # fewer tries take less time
    model, path = student("pyramid", channels=4, upsampler="surface"), tmp_path / "model.tflite"
    convert(ExportGraph(model, TARGETS["android"].layout), "fp32", path)
    found = quantize(path, "int8", photos(model, around(1, seed=5)), math.inf)
    assert found.rungs() == f"{len(found.groups)} static"
    operations = operations_in(path)
    kinds = [kind for kind, _, _ in operations]
    convolutions = [i for i, kind in enumerate(kinds) if kind in CONVOLUTIONS]
    likelihood = max(i for i in convolutions if i < kinds.index("SOFTMAX"))
    mix = next(i for i in convolutions if "CONCATENATION" not in kinds[i:])
    integers: dict[bool, list[str]] = {False: [], True: []}
    for kind, inputs, outputs in operations[likelihood + 1 : mix]:
        if kind not in ("QUANTIZE", "DEQUANTIZE"):
            integers["int8" in (*inputs, *outputs)].append(kind)
    assert {"SOFTMAX", "SUM", "MUL", "ABS", "CONCATENATION"} <= set(integers[False])
    assert integers[False].count("CONV_2D") == 1, "the one that spreads the coordinates over the nodes"
    assert sorted(integers[True]) == ["CONV_2D"] * 3 + ["MUL"] * 2, "the grid's values and their products"
    assert operations[mix][1][0] == "int8", "the network goes on in integers"


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic"])
def test_float_is_the_last_resort(bundles: Exported, tmp_path: Path, calibration: Photos, precision: str) -> None:
    """What cannot be had: all go as far as they can, and one layer stays in 8 bits."""
    found = quantized(bundles, tmp_path, precision, calibration, -math.inf)
    assert found.rungs() == f"1 dynamic, {len(found.groups) - 1} float"
