"""Check that a .tflite file is consistent. LiteRT checks only the flatbuffer, not its meaning.

A missing list or an index beyond a list's end crashes the process with a segmentation fault, so we check first.
"""

import math
from collections.abc import Iterator
from typing import Any

from nelf.core.errors import ExportError, one_line

_BY_COUNT = {
    1: "ABS CAST CONCATENATION COS DEPTH_TO_SPACE DEQUANTIZE EXP FLOOR GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC NEG "
    "PACK QUANTIZE RELU RELU6 RESHAPE RSQRT SIN SOFTMAX SPACE_TO_DEPTH SQRT SQUARE SQUEEZE TANH UNPACK",
    2: "ADD ARG_MAX ARG_MIN BATCH_MATMUL BROADCAST_TO CONV_2D CUMSUM DEPTHWISE_CONV_2D DIV EQUAL EXPAND_DIMS "
    "FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL LESS LESS_EQUAL MAXIMUM MEAN MINIMUM MUL NOT_EQUAL PAD POW "
    "PRELU REDUCE_MAX REDUCE_MIN RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SPLIT SQUARED_DIFFERENCE SUB SUM TILE "
    "TRANSPOSE",
    3: "PADV2 SELECT SELECT_V2 SLICE TRANSPOSE_CONV",
    4: "STRIDED_SLICE",
}
ITEM_BYTES = {
    "FLOAT32": 4,
    "FLOAT16": 2,
    "INT32": 4,
    "UINT8": 1,
    "INT64": 8,
    "BOOL": 1,
    "INT16": 2,
    "INT8": 1,
    "FLOAT64": 8,
}
INPUTS = {name: count for count, names in _BY_COUNT.items() for name in names.split()}
"""Operation -> number of required inputs. LiteRT's XNNPACK delegate reads them before it counts."""


def check_lite(content: bytes, name: str) -> None:
    """Raise ExportError if `content`, of a file called `name`, is inconsistent."""
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.Model.GetRootAs(content, 0)
        kinds, types = (
            {value: key for key, value in vars(table).items() if isinstance(value, int)}
            for table in (schema.BuiltinOperator, schema.TensorType)
        )
        reason = next(_contradictions(model, len(content), kinds, types), None)
    except Exception as error:  # struct, numpy and generated code raise various errors for a damaged table
        reason = one_line(f"{type(error).__name__}: {error}")
    if reason:
        raise ExportError(f"{name} is damaged ({reason}); export it again")


def _contradictions(model: Any, size: int, kinds: dict[int, str], types: dict[int, str]) -> Iterator[str]:
    yield from _missing(model, ("OperatorCodes", "Subgraphs", "Buffers"), size, "the model")
    buffers, codes = model.BuffersLength(), model.OperatorCodesLength()
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    if not graphs:
        yield "it has no graph"
    for number, graph in enumerate(graphs):
        yield from _missing(graph, ("Tensors", "Operators", "Inputs", "Outputs"), size, f"graph {number}")
        tensors = graph.TensorsLength()
        yield from _outside(graph, ("Inputs", "Outputs"), tensors, f"graph {number}")
        for i in range(tensors):
            if graph.Tensors(i).Buffer() >= buffers:
                yield f"tensor {i} is in buffer {graph.Tensors(i).Buffer()} of {buffers}"
            yield from _wrong_size(model, graph.Tensors(i), types, f"tensor {i}")
        for i in range(graph.OperatorsLength()):
            operator = graph.Operators(i)
            if operator.OpcodeIndex() >= codes:
                yield f"operation {i} is of kind {operator.OpcodeIndex()} of {codes}"
            yield from _missing(operator, ("Inputs", "Outputs"), size, f"operation {i}")
            yield from _outside(operator, ("Inputs", "Outputs", "Intermediates"), tensors, f"operation {i}")
            code = model.OperatorCodes(operator.OpcodeIndex())
            kind = kinds.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), "")
            yield from _incomplete(operator, kind, f"operation {i} ({kind})")
    yield from _signatures(model, [graph.TensorsLength() for graph in graphs], size)


def _wrong_size(model: Any, tensor: Any, types: dict[int, str], what: str) -> Iterator[str]:
    """A constant with another number of values than its shape says; XNNPACK trusts the shape."""
    there, item = model.Buffers(tensor.Buffer()).DataLength(), ITEM_BYTES.get(types.get(tensor.Type(), ""))
    shape = [tensor.Shape(i) for i in range(tensor.ShapeLength())]
    if there and item and there != item * math.prod(shape):
        yield f"{what} of shape {shape} has {there} bytes instead of {item * math.prod(shape)}"


def _incomplete(operator: Any, kind: str, what: str) -> Iterator[str]:
    if operator.OutputsLength() < 1:
        yield f"{what} has no output"
    wanted = INPUTS.get(kind, 0)
    if operator.InputsLength() < wanted:
        yield f"{what} has {operator.InputsLength()} inputs, LiteRT reads {wanted}"
    for i in range(wanted):
        if operator.Inputs(i) < 0:
            yield f"{what} lacks input {i}"


def _signatures(model: Any, tensors: list[int], size: int) -> Iterator[str]:
    if model.SignatureDefsLength() > size:
        yield "the model claims more signatures than it has bytes"
    for i in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(i)
        if signature.SubgraphIndex() >= len(tensors):
            yield f"signature {i} is of graph {signature.SubgraphIndex()} of {len(tensors)}"
        yield from _missing(signature, ("Inputs", "Outputs"), size, f"signature {i}")
        known = tensors[signature.SubgraphIndex()]
        for kind in ("Inputs", "Outputs"):
            for j in range(getattr(signature, f"{kind}Length")()):
                entry = getattr(signature, kind)(j)
                if entry.Name() is None or entry.TensorIndex() >= known:
                    yield f"signature {i} names tensor {entry.TensorIndex()} of {known}"


def _missing(table: Any, lists: tuple[str, ...], size: int, what: str) -> Iterator[str]:
    for one in lists:
        if getattr(table, f"{one}IsNone")():
            yield f"{what} has no list of {one.lower()}"
        if getattr(table, f"{one}Length")() > size:
            yield f"{what} claims more {one.lower()} than it has bytes"


def _outside(table: Any, lists: tuple[str, ...], count: int, what: str) -> Iterator[str]:
    for one in lists:
        if getattr(table, f"{one}Length")() == 0:
            continue
        numbers = getattr(table, f"{one}AsNumpy")()
        if numbers.max() >= count or numbers.min() < -1:  # -1: an omitted input
            yield f"{what} uses tensor {numbers.max() if numbers.max() >= count else numbers.min()} of {count}"
