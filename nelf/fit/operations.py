"""What a network does for one image: amounts of work by kind, from which its time and its size are predicted.

The deployed network runs once on the meta device, where nothing is computed, and every operation of PyTorch is noted.
So this works for every student family, and a new kind of layer only needs an entry in `KINDS`.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nelf.student import Layout, Student

LANES = 8
"""Output channels that a kernel computes together: a layer of 9 channels takes the time of 16."""

NETWORK, CALLS = "network", "operations"
"""Amounts of every network: 1 for its start, and the number of its operations."""


@dataclass(frozen=True)
class Counts:
    """work: amount of each kind, for one image. macs: multiply-adds of all convolutions. weights: numbers in a file."""

    work: Mapping[str, float]
    macs: int
    weights: int


@torch.no_grad()
def count_operations(model: Student) -> Counts:
    """The work of a student's deployed network, in the layout of LiteRT."""
    deployed = model.deploy(Layout.CHANNELS_LAST, torch.float32)
    weights = sum(value.numel() for value in (*deployed.parameters(), *deployed.buffers()))
    deployed = deployed.to("meta")
    with _Recorder() as recorder:
        deployed(torch.empty(1, 3, 4, device="meta"))
    return Counts({NETWORK: 1.0, **recorder.work}, recorder.macs, weights)


class _Recorder(TorchDispatchMode):
    """Adds up the work of every operation in its block."""

    def __init__(self) -> None:
        super().__init__()
        self.work: dict[str, float] = defaultdict(float)
        self.macs = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "convolution":
            self._convolution(args, result)
        elif (kind := KINDS.get(name)) is not None:
            self.work[kind] += result.numel()
        else:
            return result
        if name == "embedding":
            self.work["rows"] += result.shape[:-1].numel()
        self.work[CALLS] += 1
        return result

    def _convolution(self, args: tuple[Any, ...], result: Tensor) -> None:
        image, weight, transposed = args[0], args[1], bool(args[6])
        grid = (image if transposed else result).shape[2:].numel()
        macs = math.prod(weight.shape) * grid
        channels = result.shape[1]
        padded = macs * (math.ceil(channels / LANES) * LANES) / channels
        kind = "transposed" if transposed else "pointwise" if weight.shape[2:].numel() == 1 else "convolution"
        self.work[kind] += padded
        self.work["convolved"] += image.numel() + result.numel()
        self.macs += macs


KINDS: Mapping[str, str] = {
    "embedding": "lookup",
    "gelu": "gelu",
    **dict.fromkeys(("_softmax", "sigmoid", "sin", "cos"), "activation"),
    **dict.fromkeys(("add", "mul", "sub", "rsub", "div", "reciprocal", "minimum", "maximum"), "arithmetic"),
    **dict.fromkeys(("clamp", "floor", "_to_copy", "abs", "relu", "sum", "mm", "addmm"), "arithmetic"),
    **dict.fromkeys(("cat", "clone", "pixel_shuffle", "native_batch_norm"), "moved"),
}
"""Operation of PyTorch -> kind of work; its amount are the elements of the result. Others cost nothing: views."""

BYTES = {"fp32": 4, "fp16": 2}
"""Precision -> bytes of a weight in the file."""
OVERHEAD = {"fp32": 190_000, "fp16": 210_000}
"""Bytes of a LiteRT file apart from its weights, rounded up: 172,000 to 188,000 and 181,000 to 207,000 were found."""


def file_megabytes(counts: Counts, precision: str) -> float:
    """Size of the LiteRT file in MB (10^6 bytes)."""
    return (counts.weights * BYTES[precision] + OVERHEAD[precision]) / 1e6


Cost = Callable[[Counts], float]
"""Predicts milliseconds or megabytes."""
