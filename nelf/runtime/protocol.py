"""Interface of every runtime."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

INPUT, OUTPUT = "pose", "image"
"""Names of the input and the output in every model file."""

Arrays = Mapping[str, NDArray[Any]]
"""Name of an input or output -> array."""

Signature = Mapping[str, tuple[tuple[int, ...], str]]
"""Name of an input -> (shape, NumPy's name of the dtype)."""


@dataclass(frozen=True)
class OperationTime:
    """One operation as the runtime executes it. It may be several of the file's operations, or a part of one.

    kind: the runtime's name for it. milliseconds: median over the profiled frames.
    """

    kind: str
    milliseconds: float


@runtime_checkable
class RuntimeModel(Protocol):
    """A model file, loaded for a fixed number of threads."""

    @property
    def signatures(self) -> Sequence[Signature]:
        """What the file takes. If it has several signatures, `run` chooses by the shapes of what it is given."""

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Outputs by name. They stay valid when the model runs again."""

    def profile(self, inputs: Arrays, frames: int) -> Sequence[OperationTime]:
        """Run `frames` more frames under the runtime's profiler. Returns its operations in order of execution."""


def medians(frames: Sequence[Sequence[tuple[str, float]]]) -> list[OperationTime]:
    """Medians over frames of (kind, milliseconds). Raises RuntimeError if the operations differ between frames."""
    first = [kind for kind, _ in frames[0]]
    if any([kind for kind, _ in frame] != first for frame in frames):
        raise RuntimeError("the runtime's profiler lists different operations for different frames")
    times = np.median([[ms for _, ms in frame] for frame in frames], axis=0)
    return [OperationTime(kind, float(ms)) for kind, ms in zip(first, times, strict=True)]
