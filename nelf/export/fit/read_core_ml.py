"""The operations of a Core ML package, from its program."""

from pathlib import Path
from typing import Any

import numpy as np

from nelf.export.fit.graph import Format, Graph, Operation, TensorFacts
from nelf.export.mil import is_constant, read_program, type_name

DTYPES = {"fp16": "float16", "fp32": "float32"}
LONGEST_ATTRIBUTE = 16
ORDER = {"x": 0, "weight": 1, "y": 1}
"""What an operation works on comes first, as in the other formats."""


def read_core_ml(package: Path) -> Graph:
    """Of the function `main`."""
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
