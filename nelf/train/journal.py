"""What a training run leaves to look at: TensorBoard files and history.json."""

import sys
import types
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from nelf.storage import write_json


class Journal:
    """Writes scalars and images to `folder/tensorboard` and the course of training to `folder/history.json`.

    Use as a context manager. In processes other than the first, `active` is false and nothing is written.
    """

    def __init__(self, folder: Path, step: int, *, active: bool) -> None:
        """step: at which this run begins; what an earlier, interrupted run wrote beyond it is hidden."""
        self.path = folder / "history.json"
        self._writer: Any = None
        if active:
            # TensorBoard imports tensorflow where it is installed, unless this marker module exists. Its file functions
            # are all that is used, and tensorflow beside torch and coremltools crashes the process.
            sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step if step else None)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def scalars(self, step: int, **values: float) -> None:
        """Values at global step `step`."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, image: Float[Tensor, "3 h w"]) -> None:
        """A picture, values in [0, 1]."""
        if self._writer is not None:
            self._writer.add_image(name, image, step)

    def history(self, entries: list[dict[str, Any]]) -> None:
        """Write the whole course so far."""
        if self._writer is not None:
            write_json(self.path, entries)
