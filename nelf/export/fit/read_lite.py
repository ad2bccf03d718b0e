"""The operations of a .tflite file, from its flatbuffer."""

import enum
from pathlib import Path
from typing import Any

from nelf.export.fit.graph import Format, Graph, Operation, TensorFacts
from nelf.export.quiet import quiet

UNPACKING = frozenset({"DEQUANTIZE", "DENSIFY"})
"""Operations that a runtime does once when their input is a constant: compressed weights."""


def read_lite(path: Path) -> Graph:
    """Of the first subgraph, which is the one that is run."""
    with quiet(f"reading {path.name}"):
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
    # Large files have their weights behind the flatbuffer: an offset above 1 says where.
    return buffer.offset > 1 or (buffer.data is not None and len(buffer.data) > 0)


def _shape(tensor: Any) -> tuple[int | None, ...]:
    # shapeSignature has -1 where an axis is open; shape then holds 1.
    sizes = tensor.shapeSignature if tensor.shapeSignature is not None else tensor.shape
    return tuple(None if n < 0 else int(n) for n in (() if sizes is None else sizes))


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, enum.IntEnum) else value
