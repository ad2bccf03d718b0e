"""Which scheme layers get in 8 bits, and whether the manifest matches the file."""

import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nelf.bundle.manifest import Quantization
from nelf.compatibility.readers import read_lite
from nelf.core.captured_output import captured_output
from nelf.export import CalibrationViews
from nelf.export.graph import ExportGraph
from nelf.export.litert import CONVOLUTIONS, convert, quantize
from nelf.student import Student
from nelf.student.deploy import Layout
from tests.export.conftest import Exported
from tests.export.networks import around, photos, student

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def calibration(model: Student) -> CalibrationViews:
    return photos(model, around(3, seed=5), noise=0.01)


def quantized(
    bundles: Exported, folder: Path, precision: str, seen: CalibrationViews, allowed_drop: float
) -> Quantization:
    """Each layer and each table size is on the rung that the result says."""
    path = folder / "model.tflite"
    path.write_bytes((bundles["android", "fp32"][0] / "model.tflite").read_bytes())
    found = quantize(path, precision, seen, allowed_drop)
    tables, layers = ([g for g in found.groups if g.name.startswith("tables ") == of] for of in (True, False))
    assert rungs_in(path) == [group.rung for group in layers for _ in range(layers_of(group.name))]
    assert integer_tables_in(path) == [group.rung != "float" for group in tables]
    return found


def layers_of(group: str) -> int:
    """Number of layers in a group, from the numbers in its name."""
    numbers = [int(number) for number in re.findall(r"(\d+): ", group)]
    return numbers[-1] - numbers[0] + 1


def rungs_in(path: Path) -> list[str]:
    """Rungs from the types of each convolution's input and weights."""
    names = {("int8", "int8"): "static", ("float32", "int8"): "dynamic", ("float32", "float32"): "float"}
    found = []
    for kind, inputs, _, _ in operations_in(path):
        if kind in CONVOLUTIONS:
            image, weights = (inputs[2], inputs[1]) if kind == "TRANSPOSE_CONV" else inputs[:2]
            found.append(names[image, weights])
    return found


def integer_tables_in(path: Path) -> list[bool]:
    """For each table size, whether all tables of that size are integers."""
    tables: dict[int, list[str]] = {}
    for kind, inputs, _, sizes in operations_in(path):
        if kind == "EMBEDDING_LOOKUP":
            tables.setdefault(sizes[1], []).append(inputs[1])
    assert all(len(set(types)) == 1 for types in tables.values())
    return [types[0] == "int8" for types in tables.values()]


def operations_in(path: Path) -> list[tuple[str, list[str], list[str], list[int]]]:
    """Kind, types of inputs and outputs, and elements of inputs, in order."""
    with captured_output("reading"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    tensors = interpreter.get_tensor_details()
    types = {tensor["index"]: np.dtype(tensor["dtype"]).name for tensor in tensors}
    sizes = {tensor["index"]: math.prod(tensor["shape"].tolist()) for tensor in tensors}
    return [
        (
            op["op_name"],
            [types[i] for i in op["inputs"]],
            [types[i] for i in op["outputs"]],
            [sizes[i] for i in op["inputs"]],
        )
        for op in interpreter._get_ops_details()
    ]


def test_the_costliest_get_float_activations_first(
    bundles: Exported, tmp_path: Path, calibration: CalibrationViews
) -> None:
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


@pytest.fixture(scope="module")
def all_integers(bundles: Exported, calibration: CalibrationViews, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with every layer in integers, whatever it loses."""
    folder = tmp_path_factory.mktemp("integers")
    found = quantized(bundles, folder, "int8", calibration, math.inf)
    assert found.rungs() == f"{len(found.groups)} static"
    return folder / "model.tflite"


def test_where_places_are_stays_in_float(all_integers: Path) -> None:
    """Positions stay in float, from the pose and from the depth logits up to a table read."""
    operations = operations_in(all_integers)
    exact = [op for op in operations if op[0] in ("FLOOR", "SOFTMAX", "SIN", "COS", "CAST")]
    assert Counter(kind for kind, *_ in exact)["FLOOR"] == 3 * 3, "of three levels, three axes"
    for kind, inputs, outputs, _ in exact:
        assert "int8" not in (*inputs, *outputs), kind
    for kind, inputs, _, _ in operations:
        if kind == "EMBEDDING_LOOKUP":
            assert inputs[0] == "int32", "rows"


def test_tables_are_integers_too(all_integers: Path) -> None:
    """They are most of a student's weights."""
    reads = [inputs[1] for kind, inputs, _, _ in operations_in(all_integers) if kind == "EMBEDDING_LOOKUP"]
    assert reads
    assert set(reads) == {"int8"}


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic"])
def test_float_is_the_last_resort(
    bundles: Exported, tmp_path: Path, calibration: CalibrationViews, precision: str
) -> None:
    """If the limit cannot be met, all go as far as they can, and one layer stays in 8 bits."""
    found = quantized(bundles, tmp_path, precision, calibration, -math.inf)
    assert found.rungs() == f"1 dynamic, {len(found.groups) - 1} float"


def test_tables_that_learnt_with_four_bits_need_no_more(tmp_path: Path) -> None:
    model = student(channels=4, table_bits=4)
    path = tmp_path / "model.tflite"
    convert(ExportGraph(model, Layout.CHANNELS_LAST), path)
    found = quantize(path, "int8-dynamic", photos(model, around(2, seed=5)), math.inf)
    tables = [group for group in found.groups if group.name.startswith("tables ")]
    assert tables
    assert min(group.psnr for group in tables) > 80, "nothing is rounded"
    reads = [op.inputs[1].dtype for op in read_lite(path).operations if op.kind == "EMBEDDING_LOOKUP"]
    assert set(reads) == {"int4"}
