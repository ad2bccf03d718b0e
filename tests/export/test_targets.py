"""Content of exported files: operations, precisions, names, bytes."""

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

from nelf.bundle import read_manifest
from nelf.core.captured_output import captured_output
from nelf.core.errors import ExportError
from nelf.core.files import sha256
from nelf.export import TARGETS, CalibrationViews, ExportConfig, ExportGraph, coreml, export_bundle
from nelf.export.graph import Request
from nelf.runtime.coreml_program import Program
from nelf.student import HierarchicalConfig, Student
from tests.export.conftest import AGAIN, Elsewhere, Exported
from tests.export.networks import around, context, student

pytestmark = pytest.mark.slow


def lite_operations(path: Path) -> Counter[str]:
    with captured_output("reading"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    return Counter(op["op_name"] for op in interpreter._get_ops_details())


def test_lite_file_has_no_layout_copy(bundles: Exported, model: Student) -> None:
    operations = lite_operations(bundles["android", "fp32"][0] / "model.tflite")
    layers = Counter(type(module) for module in model.modules())
    assert operations["TRANSPOSE"] == layers[nn.PixelShuffle] > 2
    assert operations["GELU"] == layers[nn.GELU]
    assert not {name for name in operations if "BATCH" in name or name == "CUSTOM"}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_lite_file_looks_rows_of_tables_up(bundles: Exported, model: Student, precision: str) -> None:
    """GATHER_ND, the result of indexing, is half again as slow; the GPU delegate refuses the last two."""
    operations = lite_operations(bundles["android", precision][0] / "model.tflite")
    assert operations["EMBEDDING_LOOKUP"] == lookups(model)
    assert not {"GATHER", "GATHER_ND", "BROADCAST_TO", "RELU_0_TO_1"} & set(operations)


def lookups(model: Student) -> int:
    """Rows that a student reads for each of its samples."""
    config, corners = model.config, {"planes": 3 * 4, "volume": 8, "lines": 3 * 2}
    assert isinstance(config, HierarchicalConfig)
    return sum(corners[reader] for reader in (config.coarse_reader, config.middle_reader, config.fine_reader))


def test_lite_file_of_the_published_shape_has_no_transposition(tmp_path: Path) -> None:
    operations = lite_operations(published(tmp_path))
    assert operations["TRANSPOSE"] == 0
    assert operations["TRANSPOSE_CONV"] == 3
    assert operations["SIN"] == operations["COS"] == 2, "of columns and rows"
    assert operations["GELU"] == 1 + 1 + 3 * 2  # head, one body block, six blocks of the upsampler


def published(folder: Path, target: str = "android", precision: str = "fp32", mapping: str = "linear") -> Path:
    """A file of a small network with MobileR2L's structure."""
    return converted(student("mobiler2l", mapping), folder, target, precision)


def converted(network: Student, folder: Path, target: str, precision: str) -> Path:
    chosen = TARGETS[target]
    path = folder / chosen.file
    graph = ExportGraph(network, chosen.layout, chosen.forms[precision].dtype)
    chosen.convert(Request(graph, precision, path, CalibrationViews(around(0))))
    return path


def operands_of_products(path: Path) -> list[list[tuple[int, ...]]]:
    """Input shapes of each elementwise operation with two inputs."""
    with captured_output("reading"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    shapes = {tensor["index"]: tuple(tensor["shape"]) for tensor in interpreter.get_tensor_details()}
    products = [op for op in interpreter._get_ops_details() if op["op_name"] in {"ADD", "SUB", "MUL", "DIV"}]
    return [[shapes[index] for index in op["inputs"]] for op in products]


@pytest.mark.parametrize("mapping", ["linear", "ndc"])
def test_lite_file_of_encoded_rays_has_four_axes_where_it_broadcasts(mapping: str, tmp_path: Path) -> None:
    """LiteRT's GPU accelerator takes a matrix's first axis as batch, and then silently broadcasts wrongly."""
    products = operands_of_products(published(tmp_path, mapping=mapping))
    assert len(products) > 10
    assert not [shape for shapes in products for shape in shapes if shape and (len(shape) != 4 or shape[0] != 1)]


def test_lite_file_broadcasts_along_no_batch(bundles: Exported) -> None:
    """The same for a student with tables: rows, indices and weights agree, everything else has four axes."""
    products = operands_of_products(bundles["android", "fp32"][0] / "model.tflite")
    rows = [shapes for shapes in products if any(len(shape) in (1, 2) for shape in shapes)]
    assert len(rows) > 30
    assert all(len({shape[0] for shape in shapes if shape}) == 1 for shapes in rows)
    others = [shape for shapes in products if shapes not in rows for shape in shapes if shape]
    assert not [shape for shape in others if len(shape) != 4 or shape[0] != 1]


def test_lite_half_halves_the_weights(bundles: Exported) -> None:
    sizes = [(bundles["android", precision][0] / "model.tflite").stat().st_size for precision in ("fp16", "fp32")]
    parameters = bundles["android", "fp32"][1].student.parameters
    assert sizes[1] - sizes[0] > 1.5 * parameters, "two bytes less for nearly every one"


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_core_ml_keeps_places_in_fp32(bundles: Exported, model: Student, precision: str) -> None:
    """At 128 nodes half precision has steps of a sixteenth of a node."""
    program = Program(bundles["ios", precision][0] / "model.mlpackage")
    dtypes = dtypes_of(program)
    network = "float16" if precision == "fp16" else "float32"
    assert dtypes["floor"] == 3 * 3 * ["float32"], "of three levels, three axes"
    assert dtypes["gather"] == lookups(model) * [network]
    assert set(dtypes["conv"]) == {network}
    shares = [op for op in program.operations if op.op_type == "sub" and _after_floor(op)]
    assert len(shares) == 3 * 3
    assert {np.dtype(_numpy(op.outputs[0])).name for op in shares} == {"float32"}


def _after_floor(op: Any) -> bool:
    return any(value.op is not None and value.op.op_type == "floor" for value in (op.x, op.y))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_core_ml_keeps_the_phases_of_rays_in_fp32(precision: str, tmp_path: Path) -> None:
    dtypes = dtypes_of(Program(published(tmp_path, "ios", precision)))
    network = "float16" if precision == "fp16" else "float32"
    assert dtypes["sin"] == dtypes["cos"] == 2 * ["float32"], "of columns and rows"
    assert set(dtypes["conv"]) == {network}
    assert "batch_norm" not in dtypes


def dtypes_of(program: Program) -> dict[str, list[str]]:
    """Kind of operation -> dtypes of all its outputs."""
    dtypes: dict[str, list[str]] = {}
    for op in program.operations:
        if op.op_type != "const":
            dtypes.setdefault(op.op_type, []).extend(np.dtype(_numpy(var)).name for var in op.outputs)
    return dtypes


def _numpy(var: Any) -> Any:
    from coremltools.converters.mil.mil import types

    return types.nptype_from_builtin(var.dtype)


@pytest.mark.parametrize(("deployment", "specification"), [("16", 7), ("17", 8)])
def test_core_ml_deployment(deployment: str, specification: int, tmp_path: Path, model: Student) -> None:
    path = tmp_path / "model.mlpackage"
    coreml.save(coreml.convert(ExportGraph(model), "fp16", deployment), "fp16", path)
    with captured_output("reading"):
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
    """Feature tables have weights like layers, and are treated alike."""
    model = student(width=32, fine_nodes=64)
    kinds = Counter(op.op_type for op in Program(converted(model, tmp_path, "ios", "w6")).operations)
    sizes = [p.numel() for p in ExportGraph(model).parameters() if p.ndim > 1]
    assert kinds["constexpr_lut_to_dense"] == sum(size > coreml.SMALL for size in sizes) > 3
    assert kinds["constexpr_affine_dequantize"] == sum(coreml.TINY < size <= coreml.SMALL for size in sizes) > 0


@pytest.mark.parametrize(("target", "precision"), AGAIN)
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
    model = manifest.model.model_copy(update={"bytes": again.model.bytes})
    same = {"latency": again.latency, "files": again.files, "model": model}
    assert again == manifest.model_copy(update=same)


def test_core_ml_refuses_to_meet_tensorflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Student) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if name == "tensorflow" else None)
    with pytest.raises(ExportError, match=r"tensorflow is installed.*pip uninstall tensorflow"):
        export_bundle(model, "ios", "fp16", context(), ExportConfig(), tmp_path / "ios")
    assert not list(tmp_path.iterdir())


def test_a_failing_converter_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Student) -> None:
    def broken(*_: object, **__: object) -> None:
        print("noise of a converter")
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(torch.onnx, "export", broken)
    with pytest.raises(ExportError, match=r"^the ONNX conversion failed: RuntimeError: two lines$"):
        export_bundle(model, "onnx", "fp32", context(), ExportConfig(), tmp_path / "onnx")
    assert not list(tmp_path.iterdir())
