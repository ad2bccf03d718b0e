"""A model file, loaded and ready to run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nelf.core.captured_output import captured_output
from nelf.runtime import Runtime
from nelf.runtime.protocol import INPUT, OUTPUT


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


def in_runtime(path: Path, runtime: Runtime) -> Session:
    """The file in a runtime of this machine's CPU, as many threads as torch uses. Raises ExportError if it is none."""
    with captured_output(f"loading {path.name} in {runtime.name}"):
        model = runtime.open(path, torch.get_num_threads())

    def render(pose: Tensor) -> Tensor:
        return torch.from_numpy(model.run({INPUT: pose.numpy()})[OUTPUT])

    return Session(runtime.name, render)
