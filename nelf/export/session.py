"""A model file, loaded and ready to run."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Session:
    """A loaded model file.

    runtime: what executes it, for the manifest.
    render: pose [1, 3, 4] -> image [1, height, width, channels], both float32.
    untimed: why its speed says nothing of the runtime that the file is for; None where it does.
    """

    runtime: str
    render: Callable[[Tensor], Tensor]
    untimed: str | None = None
