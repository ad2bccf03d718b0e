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
from torch import nn

from nelf.errors import ExportError
from nelf.export import TARGETS, ExportConfig, ExportGraph, Photos, coreml, export_bundle, read_manifest
from nelf.export.mil import Program
from nelf.export.quiet import quiet
from nelf.export.request import Request
from nelf.storage import sha256
from nelf.student import NeLF
from tests.export.conftest import ALL, Elsewhere, Exported
from tests.export.networks import around, context, student


def lite_operations(path: Path) -> Counter[str]:
    with quiet("reading"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    return Counter(op["op_name"] for op in interpreter._get_ops_details())


def test_lite_file_has_no_layout_copy(bundles: Exported, model: NeLF) -> None:
    operations = lite_operations(bundles["android", "fp32"][0] / "model.tflite")
    layers = Counter(type(module) for module in model.modules())
    assert operations["TRANSPOSE"] == layers[nn.PixelShuffle] == 2
    assert operations["SIN"] == operations["COS"] == 2 + 2, "of columns and rows, coarse and fine"
    assert operations["GELU"] == layers[nn.GELU] > 5
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
def test_core_ml_keeps_the_phases_of_rays_in_fp32(bundles: Exported, precision: str) -> None:
    program = Program(bundles["ios", precision][0] / "model.mlpackage")
    dtypes: dict[str, list[str]] = {}
    for op in program.operations:
        if op.op_type != "const":
            dtypes.setdefault(op.op_type, []).extend(np.dtype(_numpy(var)).name for var in op.outputs)
    network = "float16" if precision == "fp16" else "float32"
    assert dtypes["sin"] == dtypes["cos"] == 4 * ["float32"], "of columns and rows, coarse and fine"
    assert set(dtypes["conv"]) == {network}
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


def test_layers_too_small_for_a_palette_have_eight_bits(tmp_path: Path) -> None:
    model, target = student(width=32), TARGETS["ios"]
    path = tmp_path / target.file
    target.convert(Request(ExportGraph(model, target.layout), "w6", path, Photos(around(0))))
    kinds = Counter(op.op_type for op in Program(path).operations if op.op_type.startswith("constexpr_"))
    sizes = [layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert kinds == {
        "constexpr_lut_to_dense": sum(size >= coreml.SMALL for size in sizes),
        "constexpr_affine_dequantize": sum(coreml.TINY <= size < coreml.SMALL for size in sizes),
    }
    assert min(kinds.values()) > 0


@pytest.mark.parametrize(("target", "precision"), ALL)
def test_another_process_gives_the_same_bytes(
    bundles: Exported, elsewhere: Elsewhere, target: str, precision: str
) -> None:
    assert elsewhere.process.wait() == 0, elsewhere.log.read_text()
    folder, manifest = bundles[target, precision]
    other = elsewhere.folder / f"{target}-{precision}"
    again = read_manifest(other)
    varying = set(manifest.model.varying or {})
    assert varying == set(TARGETS[target].varying), "what cannot be the same is named in the manifest"
    for file in manifest.files:
        assert (sha256(other / file.path) == sha256(folder / file.path)) != (file.path in varying), file.path
    model = dataclasses.replace(manifest.model, bytes=again.model.bytes)
    assert again == dataclasses.replace(manifest, latency=again.latency, files=again.files, model=model)


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
