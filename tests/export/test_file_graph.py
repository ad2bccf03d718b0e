"""Reading model files: operations, shapes, and the student's number of multiply-accumulates."""

from pathlib import Path
from typing import Any

import pytest

from nelf.compatibility import Format, Operation, TensorFacts, graph_macs, operation_macs, read_graph
from nelf.export import TARGETS, CalibrationViews, ExportGraph
from nelf.export.graph import Request
from nelf.student import Student, count_macs
from tests.export.conftest import Exported
from tests.export.networks import around, student
from tests.student.small import all_levels

pytestmark = pytest.mark.slow


def model_file(bundles: Exported, target: str, precision: str) -> Path:
    return bundles[target, precision][0] / TARGETS[target].file


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("target", ["ios", "android", "onnx"])
def test_a_file_has_the_students_macs(bundles: Exported, model: Student, target: str, precision: str) -> None:
    assert graph_macs(read_graph(model_file(bundles, target, precision))) == count_macs(model)


@pytest.mark.parametrize(
    ("family", "changes", "target"),
    [
        ("mobiler2l", {}, "ios"),
        ("mobiler2l", {"upscale_factor": 12}, "android"),
        ("hierarchical", all_levels(reader="lines"), "ios"),
        ("hierarchical", {"cell": 1, **all_levels(reader="volume")}, "android"),
        ("hierarchical", {"cell": 4, "mapping": "disparity", **all_levels(reader="planes")}, "onnx"),
    ],
)
def test_so_do_other_students(family: str, changes: dict[str, Any], target: str, tmp_path: Path) -> None:
    """With transposed convolutions and products of lines; strides are in the bundles' own student."""
    network, chosen = student(family, **changes), TARGETS[target]
    path = tmp_path / chosen.file
    chosen.convert(Request(ExportGraph(network, chosen.layout), "fp32", path, CalibrationViews(around(0))))
    assert graph_macs(read_graph(path)) == count_macs(network)


def test_lines_are_multiplied_for_core_ml_and_looked_up_in_a_lite_file(tmp_path: Path) -> None:
    network = student(**all_levels(reader="lines"))
    graphs = {}
    for target in ("ios", "android"):
        chosen, path = TARGETS[target], tmp_path / TARGETS[target].file
        chosen.convert(Request(ExportGraph(network, chosen.layout), "fp32", path, CalibrationViews(around(0))))
        graphs[target] = read_graph(path)
    products = [op for op in graphs["ios"].operations if op.kind == "linear"]
    assert len(products) == 3 * 3, "of three levels, three axes"
    saved = sum(operation_macs(Format.CORE_ML, op) for op in products)
    assert graph_macs(graphs["android"]) == count_macs(network) - saved


def test_constants_are_told_from_what_is_computed(bundles: Exported) -> None:
    for target, convolution in (("ios", "conv"), ("android", "CONV_2D"), ("onnx", "Conv")):
        for precision in ("fp32", "fp16"):
            operations = read_graph(model_file(bundles, target, precision)).operations
            image, weights = next(op for op in operations if op.kind == convolution).inputs[:2]
            assert weights.constant
            assert not image.constant
            assert not any(t.is_dynamic for op in operations for t in op.outputs)


def facts(*shape: int | None) -> TensorFacts:
    return TensorFacts("t", shape, "float32")


@pytest.mark.parametrize(
    ("format", "kind", "inputs", "output", "attributes", "macs"),
    [
        (Format.CORE_ML, "linear", [(5, 7), (3, 7)], (5, 3), {}, 5 * 3 * 7),
        (Format.CORE_ML, "matmul", [(2, 7, 5), (2, 7, 3)], (2, 5, 3), {"transpose_x": True}, 2 * 5 * 3 * 7),
        (Format.LITE, "FULLY_CONNECTED", [(5, 7), (3, 7)], (5, 3), {}, 5 * 3 * 7),
        (Format.LITE, "BATCH_MATMUL", [(2, 5, 7), (2, 7, 3)], (2, 5, 3), {}, 2 * 5 * 3 * 7),
        (Format.ONNX, "MatMul", [(5, 7), (7, 3)], (5, 3), {}, 5 * 3 * 7),
        (Format.ONNX, "Gemm", [(5, 7), (7, 3), (3,)], (5, 3), {}, 5 * 3 * 7),
        (Format.ONNX, "Sin", [(5, 7)], (5, 7), {}, 0),
    ],
)
def test_products(
    format: Format,
    kind: str,
    inputs: list[tuple[int, ...]],
    output: tuple[int, ...],
    attributes: dict[str, bool],
    macs: int,
) -> None:
    given = tuple(facts(*shape) for shape in inputs)
    assert operation_macs(format, Operation(kind, "op", given, (facts(*output),), attributes)) == macs


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pth"):
        read_graph(tmp_path / "model.pth")
