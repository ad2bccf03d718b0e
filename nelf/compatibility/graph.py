"""Operations of a model file in any format, and the multiply-accumulates of each."""

import enum
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nelf.student import layer_macs

Shape = tuple[int | None, ...]
"""None: an axis whose size is not fixed in the file."""


class Format(enum.Enum):
    """File format; the value is the suffix of its files."""

    CORE_ML = ".mlpackage"
    LITE = ".tflite"
    ONNX = ".onnx"


@dataclass(frozen=True)
class TensorFacts:
    """One input or output of an operation. dtype: NumPy's name; constant: known from the file alone."""

    name: str
    shape: Shape
    dtype: str
    constant: bool = False

    @property
    def elements(self) -> int:
        """Number of elements; axes of unknown size count as one."""
        return math.prod(n or 1 for n in self.shape)

    @property
    def is_dynamic(self) -> bool:
        """Whether a side is known only when the model runs."""
        return None in self.shape


@dataclass(frozen=True)
class Operation:
    """One operation executed per image. Operations that only compute constants from constants are left out.

    kind: the format's name for it. attributes: its options, by the format's names.
    """

    kind: str
    name: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def largest(self) -> int:
        """Elements of the largest tensor it reads or writes, constants excluded."""
        return max((t.elements for t in (*self.inputs, *self.outputs) if not t.constant), default=0)


@dataclass(frozen=True)
class Graph:
    """Operations in order of execution."""

    format: Format
    operations: tuple[Operation, ...]

    @functools.cached_property
    def _producers(self) -> Mapping[str, Operation]:
        return {out.name: op for op in self.operations for out in op.outputs}

    @functools.cached_property
    def largest(self) -> int:
        """Elements of the largest computed tensor."""
        return max((op.largest for op in self.operations), default=0)

    def producer(self, tensor: str) -> Operation | None:
        """The operation that computes a tensor; None for an input or a constant."""
        return self._producers.get(tensor)

    def consumers(self, tensor: str) -> list[Operation]:
        """The operations that read a tensor."""
        return [op for op in self.operations if any(one.name == tensor for one in op.inputs)]

    def is_on_the_way_out(self, index: int) -> bool:
        """Whether the results are only moved, cropped and cast until they leave the file, without arithmetic."""
        followers = [op for out in self.operations[index].outputs for op in self.consumers(out.name)]
        return all(op.kind in MOVES and self.is_on_the_way_out(self.operations.index(op)) for op in followers)


MOVES = frozenset(
    {
        *("transpose", "cast", "slice_by_index", "slice_by_size", "reshape"),
        *("TRANSPOSE", "CAST", "SLICE", "STRIDED_SLICE", "RESHAPE", "DEQUANTIZE", "QUANTIZE"),
        *("Transpose", "Cast", "Slice", "Reshape"),
    }
)
"""Operations that only move or retype values, by any format's name."""


class Work(enum.Enum):
    """How an operation multiplies."""

    CONVOLUTION = enum.auto()
    TRANSPOSED = enum.auto()
    ROWS = enum.auto()  # a matrix of constants with each row of the input
    PRODUCT = enum.auto()  # of two tensors


WORK: Mapping[str, tuple[Work, int, int]] = {
    **dict.fromkeys(("conv", "CONV_2D", "DEPTHWISE_CONV_2D", "Conv", "ConvInteger"), (Work.CONVOLUTION, 0, 1)),
    "QLinearConv": (Work.CONVOLUTION, 0, 3),
    **dict.fromkeys(("conv_transpose", "ConvTranspose"), (Work.TRANSPOSED, 0, 1)),
    "TRANSPOSE_CONV": (Work.TRANSPOSED, 2, 1),
    **dict.fromkeys(("linear", "FULLY_CONNECTED", "Gemm"), (Work.ROWS, 0, 1)),
    **dict.fromkeys(("matmul", "BATCH_MATMUL", "MatMul", "MatMulInteger"), (Work.PRODUCT, 0, 1)),
}
"""Operations that multiply and accumulate: how, and which inputs are the image and the weights.

Names of all formats: no two formats share one."""


def operation_macs(format: Format, operation: Operation) -> int:
    """Multiply-accumulates of one operation; 0 if it is not in `WORK`."""
    work = WORK.get(operation.kind)
    if work is None:
        return 0
    kind, image, weights = work[0], operation.inputs[work[1]], operation.inputs[work[2]]
    output = operation.outputs[0]
    if kind is Work.PRODUCT:
        contracted = image.shape[
            -2 if operation.attributes.get("transpose_x") or operation.attributes.get("adjX") else -1
        ]
        return output.elements * (contracted or 1)
    shape = [n or 1 for n in weights.shape]
    if kind is Work.ROWS:
        return layer_macs(shape, output.elements // (output.shape[-1] or 1))
    grid = image if kind is Work.TRANSPOSED else output
    channels = grid.shape[-1 if format is Format.LITE else 1]
    return layer_macs(shape, grid.elements // (channels or 1))


def graph_macs(graph: Graph) -> int:
    """Multiply-accumulates for one image."""
    return sum(operation_macs(graph.format, operation) for operation in graph.operations)


@dataclass(frozen=True)
class Rule:
    """One thing that keeps an operation off an accelerator, or wastes time there.

    leaves: whether the operation then runs elsewhere; otherwise it is only slow. because: the reason, for people.
    source: where it is written. broken: (graph, index of the operation) -> what is wrong, or None.
    """

    name: str
    leaves: bool
    because: str
    source: str
    broken: Callable[[Graph, int], str | None]


@dataclass(frozen=True)
class Finding:
    """One operation that breaks one rule."""

    rule: Rule
    operation: Operation
    detail: str

    def __str__(self) -> str:
        return f"{self.rule.name}: {self.operation.kind} {self.operation.name}: {self.detail}; {self.rule.because}"


def shape_text(shape: tuple[int | None, ...]) -> str:
    """Such as 1x288x?x16."""
    return "x".join("?" if n is None else str(n) for n in shape) or "scalar"
