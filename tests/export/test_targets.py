"""What is in the exported files: operations, precisions, names, bytes."""

import dataclasses
import importlib.util
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from nelf.errors import ExportError
from nelf.export import TARGETS, ExportConfig, ExportGraph, Photos, coreml, export_bundle
from nelf.export.mil import Program
from nelf.export.quiet import quiet
from nelf.export.request import Request
from nelf.storage import sha256
from nelf.student import NeLF
from tests.export.conftest import Exported
from tests.export.networks import around, context, student


def lite_operations(path: Path) -> Counter[str]:
    with quiet("reading"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    return Counter(op["op_name"] for op in interpreter._get_ops_details())


def test_lite_file_has_no_layout_copy(bundles: Exported) -> None:
    operations = lite_operations(bundles["android", "fp32"][0] / "model.tflite")
    assert operations["TRANSPOSE"] == 2, "one for each pixel shuffle"
    assert operations["SIN"] == operations["COS"] == 2
    assert operations["GELU"] == 5  # head, body block, three in the upsampler
    assert not {name for name in operations if "BATCH" in name or name == "CUSTOM"}


def test_lite_file_of_the_published_shape_has_no_transposition(tmp_path: Path) -> None:
    target = TARGETS["android"]
    path = tmp_path / target.file
    target.convert(Request(ExportGraph(student("pointwise"), target.layout), "fp32", path, Photos(around(0))))
    operations = lite_operations(path)
    assert operations["TRANSPOSE"] == 0
    assert operations["TRANSPOSE_CONV"] == 3
    assert operations["GELU"] == 1 + 1 + 3 * 2  # head, one body block, six blocks of the upsampler


@pytest.mark.parametrize("mapping", ["linear", "ndc"])
def test_lite_file_has_four_axes_where_it_broadcasts(mapping: str, tmp_path: Path) -> None:
    """LiteRT's GPU accelerator takes a matrix's first axis for a batch and then broadcasts wrongly, without a word."""
    target = TARGETS["android"]
    path = tmp_path / target.file
    target.convert(Request(ExportGraph(student(mapping=mapping), target.layout), "fp32", path, Photos(around(0))))
    with quiet("reading"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    shapes = {tensor["index"]: tuple(tensor["shape"]) for tensor in interpreter.get_tensor_details()}
    products = [op for op in interpreter._get_ops_details() if op["op_name"] in {"ADD", "SUB", "MUL", "DIV"}]
    operands = {shapes[index] for op in products for index in op["inputs"]}
    assert len(products) > 10
    assert not [shape for shape in operands if shape and (len(shape) != 4 or shape[0] != 1)]


def test_lite_half_halves_the_weights(bundles: Exported) -> None:
    sizes = [(bundles["android", precision][0] / "model.tflite").stat().st_size for precision in ("fp16", "fp32")]
    parameters = bundles["android", "fp32"][1].student.parameters
    assert sizes[1] - sizes[0] > 1.5 * parameters, "two bytes less for nearly every one"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_core_ml_keeps_trigonometry_in_fp32(bundles: Exported, precision: str) -> None:
    program = Program(bundles["ios", precision][0] / "model.mlpackage")
    dtypes: dict[str, set[str]] = {}
    for op in program.operations:
        if op.op_type != "const":
            dtypes.setdefault(op.op_type, set()).update(np.dtype(_numpy(var)).name for var in op.outputs)
    assert dtypes["sin"] == dtypes["cos"] == {"float32"}
    assert dtypes["conv"] == {"float16" if precision == "fp16" else "float32"}
    assert "batch_norm" not in dtypes


def _numpy(var: Any) -> Any:
    from coremltools.converters.mil.mil import types

    return types.nptype_from_builtin(var.dtype)


@pytest.mark.parametrize(("deployment", "specification"), [("16", 7), ("17", 8)])
def test_core_ml_deployment(deployment: str, specification: int, tmp_path: Path, model: NeLF) -> None:
    path = tmp_path / "model.mlpackage"
    coreml.convert(ExportGraph(model), "fp16", path, deployment)
    with quiet("reading"):
        import coremltools as ct

        spec = ct.models.MLModel(str(path), skip_model_load=True).get_spec()
    assert spec.specificationVersion == specification
    assert [i.name for i in spec.description.input] == ["pose"]
    (output,) = spec.description.output
    assert output.name == "image"
    assert output.type.multiArrayType.dataType == ct.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT32


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_onnx_is_valid_and_says_nothing_of_this_machine(bundles: Exported, precision: str) -> None:
    path = bundles["onnx", precision][0] / "model.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    kinds = {onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in model.graph.initializer if tensor.dims}
    assert ("FLOAT16" in kinds) == (precision == "fp16")
    assert str(Path.cwd()).encode() not in path.read_bytes()


def test_constants_stand_in_a_package_once(bundles: Exported) -> None:
    package = bundles["ios", "w6"][0] / "model.mlpackage"
    values = [
        (str(op.outputs[0].dtype), np.shape(op.val.val), np.asarray(op.val.val).tobytes())
        for op in Program(package).operations
        if op.op_type == "const" and re.fullmatch(r"c\d+", op.outputs[0].name)  # others are parts of compressed weights
    ]
    assert len(set(values)) == len(values) > 20


@pytest.mark.parametrize(
    ("target", "precision"),
    [("ios", "fp16"), ("ios", "w6"), ("android", "int8"), ("onnx", "fp16"), ("coreai", "fp16")],
)
def test_same_model_gives_the_same_bytes(
    bundles: Exported, model: NeLF, target: str, precision: str, tmp_path: Path
) -> None:
    folder, manifest = bundles[target, precision]
    again = export_bundle(model, target, precision, context(model=model), ExportConfig(), tmp_path / "again")
    varying = set(manifest.model.varying or {})
    assert varying == set(TARGETS[target].varying), "what cannot be the same is named in the manifest"
    for file in manifest.files:
        same = sha256(tmp_path / "again" / file.path) == sha256(folder / file.path)
        assert same != (file.path in varying), file.path
    assert again == dataclasses.replace(manifest, latency=again.latency, files=again.files)


def test_core_ml_refuses_to_meet_tensorflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: NeLF) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "tensorflow" else None)
    with pytest.raises(ExportError, match=r"tensorflow is installed.*pip uninstall tensorflow"):
        export_bundle(model, "ios", "fp16", context(), ExportConfig(), tmp_path / "ios")
    assert not list(tmp_path.iterdir())


def test_a_failing_converter_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: NeLF) -> None:
    def broken(*_: object, **__: object) -> None:
        print("noise of a converter")
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(torch.onnx, "export", broken)
    with pytest.raises(ExportError, match=r"^the ONNX conversion failed: RuntimeError: two lines$"):
        export_bundle(model, "onnx", "fp32", context(), ExportConfig(), tmp_path / "onnx")
    assert not list(tmp_path.iterdir())
