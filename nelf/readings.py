"""Small results of training steps, brought to the host without making it wait for the device."""

from typing import Any

import torch
from torch import Tensor

LATE = 16  # steps of an accelerator between readings


class Readings:
    """Give each step's values in, get those of earlier steps out.

    every: steps between readings. 1 on the CPU, where values come out at once; elsewhere `LATE`, and a reading returns
    the copy that the reading before it began: by then the device has long made it.
    """

    def __init__(self, device: torch.device) -> None:
        self.every = 1 if device.type == "cpu" else LATE
        self._kept: list[Tensor] = []
        self._begun: tuple[Tensor, Any] | None = None

    def add(self, values: list[Tensor]) -> list[list[float]]:
        """values: of one step, scalars on the device. Returns those of steps that are read now, oldest first."""
        self._kept.append(torch.stack([value.detach().float() for value in values]))
        if len(self._kept) < self.every:
            return []
        rows, self._kept = torch.stack(self._kept), []
        if self.every == 1:
            return [list(map(float, row)) for row in rows.tolist()]
        begun, self._begun = self._begun, _begin(rows)
        return _end(begun)

    def rest(self) -> list[list[float]]:
        """What was not read yet; waits for the device."""
        kept = [torch.stack(self._kept)] if self._kept else []
        found = _end(self._begun) + [row for rows in kept for row in rows.tolist()]
        self._begun, self._kept = None, []
        return found


def _begin(rows: Tensor) -> tuple[Tensor, Any]:
    """A copy to the host under way, and what tells when it is there."""
    if rows.device.type != "cuda":
        return rows, None  # other devices copy when asked, and wait then
    copy = torch.empty(rows.shape, pin_memory=True).copy_(rows, non_blocking=True)
    return copy, torch.cuda.current_stream().record_event()


def _end(begun: tuple[Tensor, Any] | None) -> list[list[float]]:
    if begun is None:
        return []
    rows, event = begun
    if event is not None:
        event.synchronize()
    found: list[list[float]] = rows.tolist()
    return found
