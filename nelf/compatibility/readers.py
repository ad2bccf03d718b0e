"""Read each file format into the graph that the rules check."""

import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nelf.compatibility.graph import Format, Graph, Operation, TensorFacts
from nelf.core.captured_output import captured_output
from nelf.runtime.coreml_program import is_constant, read_program, type_name

DTYPES = {"fp16": "float16", "fp32": "float32"}
LONGEST_ATTRIBUTE = 16
ORDER = {"x": 0, "weight": 1, "y": 1}
"""The operand comes first, as in the other formats."""


def read_core_ml(package: Path) -> Graph:
    """The graph of the function `main`."""
    constants: set[str] = set()
    operations = []
    for op in read_program(package).functions["main"].operations:
        if is_constant(op):
            constants.update(var.name for var in op.outputs)
            continue
        inputs, attributes = [], {}
        for name, argument in sorted(op.inputs.items(), key=lambda item: ORDER.get(item[0], len(ORDER))):
            for var in argument if isinstance(argument, list | tuple) else [argument]:
                if var is None:
                    continue
                if _is_tensor(var):
                    inputs.append(_facts(var, var.name in constants))
                if var.name in constants and (short := _short(var.val)) is not None:
                    attributes[name] = short
        outputs = tuple(_facts(var, False) for var in op.outputs)
        operations.append(Operation(op.op_type, op.name, tuple(inputs), outputs, attributes))
    return Graph(Format.CORE_ML, tuple(operations))


def _is_tensor(var: Any) -> bool:
    return hasattr(var, "shape") and var.shape is not None


def _facts(var: Any, constant: bool) -> TensorFacts:
    shape = tuple(int(n) if isinstance(n, int | np.integer) else None for n in var.shape)
    name = type_name(var.dtype)
    return TensorFacts(var.name, shape, DTYPES.get(name, name), constant)


def _short(value: Any) -> Any:
    """A constant as an option: a number, a text, or a short list of them."""
    if isinstance(value, np.ndarray):
        return value.reshape(-1).tolist() if value.size <= LONGEST_ATTRIBUTE else None
    return value.item() if isinstance(value, np.generic) else value


UNPACKING = frozenset({"DEQUANTIZE", "DENSIFY"})
"""Operations that a runtime executes once if their input is constant: compressed weights."""


def read_lite(path: Path) -> Graph:
    """The graph of the first subgraph, the one that runs."""
    with captured_output(f"reading {path.name}"):
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        kinds = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        dtypes = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
        graph = model.subgraphs[0]
        unpacked: set[int] = set()

        def facts(index: int) -> TensorFacts:
            tensor = graph.tensors[index]
            name = (tensor.name or b"").decode(errors="replace")
            constant = index in unpacked or _is_stored(model.buffers[tensor.buffer])
            return TensorFacts(name, _shape(tensor), dtypes[tensor.type], constant)

        operations = []
        for op in graph.operators:
            code = model.operatorCodes[op.opcodeIndex]
            kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
            inputs = tuple(facts(int(i)) for i in op.inputs if i >= 0)
            if kind in UNPACKING and all(one.constant for one in inputs):
                unpacked.update(int(i) for i in op.outputs)
                continue
            outputs = tuple(facts(int(i)) for i in op.outputs)
            attributes = {k: _plain(v) for k, v in vars(op.builtinOptions).items()} if op.builtinOptions else {}
            attributes["version"] = int(code.version)
            if kind == "CUSTOM":
                attributes["custom"] = code.customCode.decode(errors="replace")
            operations.append(Operation(kind, outputs[0].name, inputs, outputs, attributes))
        return Graph(Format.LITE, tuple(operations))


def _is_stored(buffer: Any) -> bool:
    # Large files keep weights behind the flatbuffer; then the offset is above 1.
    return buffer.offset > 1 or (buffer.data is not None and len(buffer.data) > 0)


def _shape(tensor: Any) -> tuple[int | None, ...]:
    # shapeSignature has -1 for an open axis, where shape has 1.
    sizes = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    return tuple(None if n < 0 else int(n) for n in (() if sizes is None else sizes))


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, enum.IntEnum) else value


def read_onnx(path: Path) -> Graph:
    """The graph of the file."""
    with captured_output(f"reading {path.name}"):
        import onnx

        model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
        graph = model.graph
        types = {i.name: i.type.tensor_type for i in (*graph.input, *graph.value_info, *graph.output)}
        constants = {i.name: (tuple(i.dims), i.data_type) for i in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                value = next(a.t for a in node.attribute if a.name == "value")
                constants[node.output[0]] = (tuple(value.dims), value.data_type)

        def dtype(code: int) -> str:
            return str(onnx.helper.tensor_dtype_to_np_dtype(code))

        def facts(name: str) -> TensorFacts:
            if name in constants:
                shape, code = constants[name]
                return TensorFacts(name, shape, dtype(code), True)
            tensor = types[name]
            return TensorFacts(name, tuple(_size(d) for d in tensor.shape.dim), dtype(tensor.elem_type))

        return Graph(
            Format.ONNX,
            tuple(
                Operation(
                    node.op_type,
                    node.name or node.output[0],
                    tuple(facts(name) for name in node.input if name),
                    tuple(facts(name) for name in node.output if name),
                    {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute},
                )
                for node in graph.node
                if node.op_type != "Constant"
            ),
        )


def _size(dimension: Any) -> int | None:
    return dimension.dim_value if dimension.HasField("dim_value") else None


READERS: Mapping[Format, Callable[[Path], Graph]] = {
    Format.CORE_ML: read_core_ml,
    Format.LITE: read_lite,
    Format.ONNX: read_onnx,
}


def read_graph(path: Path) -> Graph:
    """The operations of a model file. Raises ValueError for another suffix, ExportError for a broken file."""
    return READERS[Format(path.suffix)](path)
