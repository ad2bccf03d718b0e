"""How far down the ladder layers go in 8 bits, and whether the file is what the manifest says."""

import math
from pathlib import Path

import numpy as np
import pytest

from nelf.export import Photos
from nelf.export.contract import Quantization
from nelf.export.quiet import quiet
from nelf.export.tflite_quantize import CONVOLUTIONS, quantize
from nelf.student import NeLF
from tests.export.conftest import Exported
from tests.export.networks import around, photos


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
    """By the types of each convolution's input and weights."""
    with quiet("reading"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    types = {tensor["index"]: np.dtype(tensor["dtype"]).name for tensor in interpreter.get_tensor_details()}
    names = {("int8", "int8"): "static", ("float32", "int8"): "dynamic", ("float32", "float32"): "float"}
    found = []
    for operation in interpreter._get_ops_details():
        if operation["op_name"] in CONVOLUTIONS:
            inputs = [types[index] for index in operation["inputs"]]
            image, weights = (inputs[2], inputs[1]) if operation["op_name"] == "TRANSPOSE_CONV" else inputs[:2]
            found.append(names[image, weights])
    return found


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


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic"])
def test_float_is_the_last_resort(bundles: Exported, tmp_path: Path, calibration: Photos, precision: str) -> None:
    """What cannot be had: all go as far as they can, and one layer stays in 8 bits."""
    found = quantized(bundles, tmp_path, precision, calibration, -math.inf)
    assert found.rungs() == f"1 dynamic, {len(found.groups) - 1} float"
