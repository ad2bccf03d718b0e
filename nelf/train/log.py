"""What a training run leaves to look at: TensorBoard files and history.json."""

import os
import socket
import sys
import time
import types
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from nelf.core.files import disk_errors, write_json


class TrainingLog:
    """Writes scalars and images to `folder/tensorboard` and the course of training to `folder/history.json`.

    Use as a context manager. In processes other than the first, `active` is false and nothing is written.
    Raises StorageError when the disk is full. (TensorBoard's own writer is a thread, which prints its errors.)
    """

    def __init__(self, folder: Path, step: int, *, active: bool) -> None:
        """step: at which this run begins; what an earlier, interrupted run wrote beyond it is hidden."""
        self.path = folder / "history.json"
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"  # TensorBoard's, in order
        self.events = folder / "tensorboard" / name
        self._writer: Any = None
        if active:
            # TensorBoard imports tensorflow where it is installed, unless this marker module exists. Only its file
            # functions are used, and tensorflow together with torch and coremltools crashes the process.
            sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))
            from tensorboard.compat.proto.event_pb2 import SessionLog
            from tensorboard.summary.writer.record_writer import RecordWriter

            with disk_errors(self.events):
                self.events.parent.mkdir(parents=True, exist_ok=True)
                self._writer = RecordWriter(self.events.open("wb"))
            self._write(file_version="brain.Event:2")
            if step:
                self._write(step=step, session_log=SessionLog(status=SessionLog.START))

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            with disk_errors(self.events):
                self._writer.close()

    def scalars(self, step: int, **values: float) -> None:
        """Values at global step `step`."""
        if self._writer is not None:
            from torch.utils.tensorboard.summary import scalar

            for name, value in values.items():
                self._write(step=step, summary=scalar(name, value))

    def image(self, step: int, name: str, image: Float[Tensor, "3 h w"]) -> None:
        """A picture, values in [0, 1]."""
        if self._writer is not None:
            from torch.utils.tensorboard import summary

            self._write(step=step, summary=summary.image(name, image, dataformats="CHW"))

    def history(self, entries: list[dict[str, Any]]) -> None:
        """Write the whole course so far."""
        if self._writer is not None:
            write_json(self.path, entries)

    def _write(self, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        with disk_errors(self.events):
            self._writer.write(Event(wall_time=time.time(), **content).SerializeToString())
            self._writer.flush()
