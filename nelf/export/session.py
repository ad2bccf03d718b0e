"""A model file, loaded and ready to run."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Session:
    """A loaded model file.

    runtime: what executes it, for the manifest.
    render: pose [1, 3, 4] -> image [1, height, width, channels], both float32.
    """

    runtime: str
    render: Callable[[Tensor], Tensor]
