"""Executes a saved Core ML package where Core ML does not exist.

Reads program and weights from the package's own files and runs it operation by operation in torch. Each operation
computes in float32 from its inputs and its result is rounded to the dtype that the program declares, so a float16
program shows float16's rounding between operations. Within one operation the Neural Engine may accumulate differently.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nelf.errors import ExportError
from nelf.export.graph import INPUT, OUTPUT
from nelf.export.mil_ops import OPS, Value
from nelf.export.quiet import quiet
from nelf.export.session import Session

DTYPES = {
    "fp16": torch.float16,
    "fp32": torch.float32,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "bool": torch.bool,
}


class Program:
    """The `main` function of a package. `operations` can be looked at without running it."""

    def __init__(self, package: Path) -> None:
        main = read_program(package).functions["main"]
        self.inputs: list[str] = list(main.inputs)
        self.outputs: list[str] = [var.name for var in main.outputs]
        self.operations: list[Any] = list(main.operations)
        self._constants = {op.outputs[0].name: _constant(op) for op in self.operations if is_constant(op)}
        self._computed = [op for op in self.operations if not is_constant(op)]
        unknown = sorted({op.op_type for op in self._computed} - OPS.keys())
        if unknown:
            raise ExportError(
                f"{package.name} holds operations that our interpreter does not know: {', '.join(unknown)}; "
                "add them to nelf/export/mil_ops.py"
            )
        self._last_use = {name: i for i, op in enumerate(self._computed) for name in _names(op.inputs)}
        self._last_use |= dict.fromkeys(self.outputs, len(self._computed))

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs by name. A result is dropped after its last use."""
        values: dict[str, Value] = {name: inputs[name] for name in self.inputs}
        for i, op in enumerate(self._computed):
            results = self._execute(op, values)
            for var, result in zip(op.outputs, results, strict=True):
                values[var.name] = self._as_declared(op, var, result)
            for name in [name for name in values if self._last_use.get(name, -1) <= i]:
                del values[name]
        return {name: torch.as_tensor(values[name]) for name in self.outputs}

    def _execute(self, op: Any, values: dict[str, Value]) -> Sequence[Tensor]:
        def read(argument: Any) -> Value:
            if isinstance(argument, list | tuple):
                return [read(item) for item in argument]  # type: ignore[misc]  # lists hold tensors, never lists
            value = values[argument.name] if argument.name in values else self._constants[argument.name]
            half = isinstance(value, Tensor) and value.dtype is torch.float16
            return value.float() if half else value  # type: ignore[union-attr]

        result = OPS[op.op_type]({name: read(argument) for name, argument in op.inputs.items() if argument is not None})
        return [result] if isinstance(result, Tensor) else result

    def _as_declared(self, op: Any, var: Any, result: Tensor) -> Tensor:
        if tuple(result.shape) != tuple(var.shape):
            raise ExportError(
                f"operation {op.name} ({op.op_type}) gives shape {tuple(result.shape)}, the file declares {var.shape}"
            )
        return result.to(DTYPES[type_name(var.dtype)])


def read_program(package: Path) -> Any:
    """The program of a package as coremltools holds it, with its weights. Nothing is checked against `OPS`."""
    with quiet(f"reading {package.name}"):
        import coremltools as ct
        from coremltools.converters.mil.frontend.milproto.load import load as load_program

        # Not by MLModel: it writes the package's manifest anew when it only looks at a package.
        file = _model_file(package)
        spec = ct.proto.Model_pb2.Model()
        spec.ParseFromString(file.read_bytes())
        return load_program(spec, spec.specificationVersion, str(file.parent / "weights"))


def type_name(dtype: Any) -> str:
    """A variable's dtype as `DTYPES` names it."""
    from coremltools.converters.mil.mil import types

    return str(types.builtin_to_string(dtype))


def _model_file(package: Path) -> Path:
    """The program's file, as the package's manifest names it. Raises ExportError where that is outside the package."""
    manifest = json.loads((package / "Manifest.json").read_text())
    data = package / "Data"
    file = data / str(manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"])
    if not file.resolve().is_relative_to(data.resolve()):
        raise ExportError(f"{package.name} names the program {str(file)!r}, which is outside of it; do not use it")
    return file


def is_constant(op: Any) -> bool:
    """Whether an operation of a program only holds a constant, compressed or not."""
    return op.op_type == "const" or op.op_type.startswith("constexpr_")


def _constant(op: Any) -> Value:
    """A const's value; for compressed weights (constexpr_*) what they decompress to."""
    value = op.outputs[0].val if op.op_type == "const" else op.materialized_val_inference()
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.array(value))
    return value.item() if isinstance(value, np.generic) else value


def _names(inputs: Mapping[str, Any]) -> list[str]:
    flat: list[Any] = []
    for argument in inputs.values():
        flat += argument if isinstance(argument, list | tuple) else [argument]
    return [var.name for var in flat if var is not None]


def load(path: Path) -> Session:
    """The package, ready to run in our interpreter."""
    program = Program(path)

    @torch.no_grad()
    def render(pose: Tensor) -> Tensor:
        return program.run({INPUT: pose})[OUTPUT]

    return Session("nelf's MIL interpreter", render)
