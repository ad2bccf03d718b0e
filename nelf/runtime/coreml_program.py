"""Execute a saved Core ML package without Core ML.

Reads program and weights from the package and runs them in torch, operation by operation. Each operation computes in
float32; its result is rounded to the dtype that the program declares. So a float16 program shows float16's rounding
between operations. Within one operation the Neural Engine may accumulate differently.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nelf.core.captured_output import captured_output
from nelf.core.errors import BenchError, ExportError
from nelf.runtime.coreml_ops import OPS, Value
from nelf.runtime.coreml_values import UNFOLD
from nelf.runtime.protocol import Arrays, OperationTime, Signature

DTYPES = {
    "fp16": torch.float16,
    "fp32": torch.float32,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "uint16": torch.uint16,
    "int32": torch.int32,
    "int64": torch.int64,
    "bool": torch.bool,
}


class Program:
    """The `main` function of a package. You can read `operations` without running it.

    pictures: outputs that Core ML returns as a picture: [1, 3, height, width], values 0 to 255.
    """

    def __init__(self, package: Path) -> None:
        spec, program = _read(package)
        main = program.functions["main"]
        self.declared: Mapping[str, Any] = main.inputs
        self.inputs: list[str] = list(main.inputs)
        self.outputs: list[str] = [var.name for var in main.outputs]
        self.pictures: frozenset[str] = frozenset(
            output.name for output in spec.description.output if output.type.WhichOneof("Type") == "imageType"
        )
        self.operations: list[Any] = list(main.operations)
        self._computed = [op for op in self.operations if not is_constant(op)]
        unknown = sorted({op.op_type for op in self.operations} - OPS.keys() - UNFOLD.keys() - {"const"})
        if unknown:
            raise ExportError(
                f"{package.name} holds operations that our interpreter does not know: {', '.join(unknown)}; "
                "add them to nelf/runtime/coreml_ops.py"
            )
        self._constants: dict[str, Value] = {}
        for op in self.operations:
            if is_constant(op):
                self._constants[op.outputs[0].name] = self._constant(op)
        self._last_use = {name: i for i, op in enumerate(self._computed) for name in _names(op.inputs)}
        self._last_use |= dict.fromkeys(self.outputs, len(self._computed))

    def _constant(self, op: Any) -> Value:
        """A const's value; compressed weights (constexpr_*) are unfolded."""
        (var,) = op.outputs
        if op.op_type != "const":
            arrays = {
                name: np.asarray(self._constants[argument.name])
                for name, argument in op.inputs.items()
                if argument is not None
            }
            with captured_output(f"unfolding the weights {op.name}"):
                unfolded = torch.from_numpy(np.ascontiguousarray(UNFOLD[op.op_type](arrays)))
            return self._as_declared(op, var, unfolded)
        value = var.val
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub":
            return torch.from_numpy(np.array(value))
        return value.item() if isinstance(value, np.generic) else value

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs by name. Results are dropped after their last use. Raises ExportError for inputs of another shape."""
        values: dict[str, Value] = {name: self._as_input(name, inputs) for name in self.inputs}
        for i, op in enumerate(self._computed):
            results = self._execute(op, values)
            for var, result in zip(op.outputs, results, strict=True):
                values[var.name] = self._as_declared(op, var, result)
            for name in [name for name in values if self._last_use.get(name, -1) <= i]:
                del values[name]
        return {name: torch.as_tensor(values[name]) for name in self.outputs}

    def _as_input(self, name: str, inputs: Mapping[str, Tensor]) -> Tensor:
        """The input in the declared dtype, as in Core ML."""
        declared = self.declared[name]
        if name not in inputs:
            raise ExportError(f"the program needs an input {name}; given: {', '.join(inputs) or 'none'}")
        if tuple(inputs[name].shape) != tuple(declared.shape):
            raise ExportError(
                f"input {name} has the shape {tuple(inputs[name].shape)}, but the file declares {tuple(declared.shape)}"
            )
        return inputs[name].to(DTYPES[type_name(declared.dtype)])

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
                f"operation {op.name} ({op.op_type}) has shape {tuple(result.shape)}, but the file declares {var.shape}"
            )
        return result.to(DTYPES[type_name(var.dtype)])


def read_program(package: Path) -> Any:
    """The program of a package as coremltools holds it, with weights. Its operations may not be in `OPS`."""
    return _read(package)[1]


def _read(package: Path) -> tuple[Any, Any]:
    """The specification from a package's program file, and its program."""
    with captured_output(f"reading {package.name}"):
        import coremltools as ct
        from coremltools.converters.mil.frontend.milproto.load import load as load_program

        # MLModel would rewrite the package's manifest even when it only reads.
        file = _model_file(package)
        spec = ct.proto.Model_pb2.Model()
        spec.ParseFromString(file.read_bytes())
        return spec, load_program(spec, spec.specificationVersion, str(file.parent / "weights"))


def type_name(dtype: Any) -> str:
    """A variable's dtype as named in `DTYPES`."""
    from coremltools.converters.mil.mil import types

    return str(types.builtin_to_string(dtype))


def _model_file(package: Path) -> Path:
    """The program's file, from the package's manifest. Raises ExportError if it lies outside the package."""
    manifest = json.loads((package / "Manifest.json").read_text())
    data = package / "Data"
    file = data / str(manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"])
    if not file.resolve().is_relative_to(data.resolve()):
        raise ExportError(f"{package.name} names the program {str(file)!r}, which lies outside it; do not use it")
    return file


def is_constant(op: Any) -> bool:
    """Whether an operation only holds a constant, compressed or not."""
    return op.op_type == "const" or op.op_type.startswith("constexpr_")


def _names(inputs: Mapping[str, Any]) -> list[str]:
    flat: list[Any] = []
    for argument in inputs.values():
        flat += argument if isinstance(argument, list | tuple) else [argument]
    return [var.name for var in flat if var is not None]


RESERVED = "_workaround"
"""coremltools lengthens names that Core ML's language reserves by this: `state` is `state_workaround` in a package."""


class CoreMLModel:
    """A loaded .mlpackage in our interpreter. Its inputs and outputs have their names without `RESERVED`."""

    def __init__(self, path: Path) -> None:
        self._program = Program(path)
        self._names = {name.removesuffix(RESERVED): name for name in self._program.inputs}

    @property
    def signatures(self) -> list[Signature]:
        """See `RuntimeModel`."""
        declared = {name: self._program.declared[full] for name, full in self._names.items()}
        return [
            {
                name: (tuple(one.shape), str(DTYPES[type_name(one.dtype)]).removeprefix("torch."))
                for name, one in declared.items()
            }
        ]

    @torch.no_grad()
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Pictures come as Core ML's 8 bits hold them: [1, height, width, 3], 0 to 1."""
        given = {self._names.get(name, name): torch.from_numpy(array) for name, array in inputs.items()}
        outputs = self._program.run(given)
        for name in self._program.pictures:
            outputs[name] = outputs[name].float().round().clamp(0, 255).permute(0, 2, 3, 1) / 255
        return {name.removesuffix(RESERVED): value.numpy() for name, value in outputs.items()}

    def profile(self, inputs: Arrays, frames: int) -> Sequence[OperationTime]:
        """Raises BenchError: our interpreter has no profiler."""
        raise BenchError("our interpreter of Core ML programs has no profiler; measure on Apple's systems")


def open_model(path: Path, threads: int) -> CoreMLModel:
    """The package in our interpreter, on as many threads as torch uses."""
    return CoreMLModel(path)
