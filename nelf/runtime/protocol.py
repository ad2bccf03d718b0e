"""What every runtime gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

INPUT, OUTPUT = "pose", "image"
"""Names that every model file has."""

Arrays = Mapping[str, NDArray[Any]]
"""Name of an input or output -> array."""


@dataclass(frozen=True)
class OperationTime:
    """One operation as the runtime executes it, which may be several of the file's, or a part of one.

    kind: the runtime's name for it. milliseconds: median over the profiled frames.
    """

    kind: str
    milliseconds: float


@runtime_checkable
class RuntimeModel(Protocol):
    """A model file, loaded for a fixed number of threads."""

    @property
    def inputs(self) -> Mapping[str, tuple[tuple[int, ...], str]]:
        """Name -> (shape, NumPy's name of the dtype)."""

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Outputs by name; they stay valid when the model runs again."""

    def profile(self, inputs: Arrays, frames: int) -> Sequence[OperationTime]:
        """Run `frames` more frames under the runtime's own profiler: its operations, in order of execution.

        Raises BenchError where the runtime has no profiler.
        """


def medians(frames: Sequence[Sequence[tuple[str, float]]]) -> list[OperationTime]:
    """(kind, milliseconds) of the same operations in each of several frames, as one list of medians."""
    first = [kind for kind, _ in frames[0]]
    if any([kind for kind, _ in frame] != first for frame in frames):
        raise RuntimeError("the runtime's profiler lists other operations for one frame than for the next")
    times = np.median([[ms for _, ms in frame] for frame in frames], axis=0)
    return [OperationTime(kind, float(ms)) for kind, ms in zip(first, times, strict=True)]
