"""Adam for large tables of which a step reads few rows.

Müller et al. 2022 (sec. 4) leave alone what has no gradient. Then a step costs what its samples read, and not what the
table holds.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nelf.kernels.dispatch import array, split_range, vectorised

LINE = 16  # values in a line: 64 bytes, which a CPU fetches at once


class LineGradient:
    """The gradient of a table, kept from step to step, with a mark for each line that was written.

    Who computes the gradient adds to `values`, and marks the lines; `LineAdam` uses both, and clears what is marked.
    """

    def __init__(self, table: Float[Tensor, "*axes"]) -> None:
        self.values = torch.zeros_like(table, requires_grad=False)
        self.marks = torch.zeros(_lines(table), dtype=torch.bool)
        self.clear = True

    def begin(self) -> tuple[Float[np.ndarray, "*axes"], Bool[np.ndarray, "lines"]]:
        """Zeros to add to, and their marks. What no step has used is lost."""
        if not self.clear:
            self.values.zero_()
            self.marks.zero_()
        self.clear = False
        return array(self.values), array(self.marks)


def line_gradient(table: Tensor) -> LineGradient | None:
    """The gradient of a table that `LineAdam` keeps; None for any other tensor."""
    return getattr(table, "line_gradient", None)


class LineAdam(torch.optim.Adam):
    """torch.optim.Adam, with the same state.

    Of a table given to `work_by_lines` it changes only what has a gradient; weight decay and moments wait, too.
    """

    def work_by_lines(self, table: Tensor, *, keep: bool) -> None:
        """table: a parameter on the CPU.

        keep: give it a `LineGradient`; kernels that know it add to it, and `table.grad` stays None. Several processes
        cannot: they exchange `table.grad`.
        """
        table.by_lines = True  # type: ignore[attr-defined]
        if keep:
            table.line_gradient = LineGradient(table)  # type: ignore[attr-defined]

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update the parameters. `closure` recomputes the loss, as in every torch optimizer."""
        tables = [(g, p) for g in self.param_groups for p in g["params"] if getattr(p, "by_lines", False)]
        whole = {id(table): table.grad for _, table in tables}
        for _, table in tables:
            table.grad = None
        loss = super().step(closure)
        for group, table in tables:
            gradient = line_gradient(table)
            if gradient is not None and not gradient.clear:
                self._update(group, table, gradient.values, gradient.marks)
                gradient.clear = True
            elif (dense := whole[id(table)]) is not None:
                self._update(group, table, dense.contiguous(), torch.ones(_lines(table), dtype=torch.bool))
        return loss

    def _update(self, group: dict[str, Any], table: Tensor, gradient: Tensor, marks: Tensor) -> None:
        """`gradient` is zero afterwards, and no line is marked."""
        state = self.state[table]
        if not state:
            state.update(step=torch.zeros(()), exp_avg=torch.zeros_like(table), exp_avg_sq=torch.zeros_like(table))
        state["step"] += 1
        first, second = group["betas"]
        rate = float(group["lr"]) / (1 - first ** float(state["step"]))
        spread = (1 - second ** float(state["step"])) ** -0.5
        settings = rate, first, second, spread, group["weight_decay"], group["eps"]
        flat = [array(t).reshape(-1) for t in (gradient, table, state["exp_avg"], state["exp_avg_sq"])]
        split_range(_update, len(marks), array(marks), *flat, *(np.float32(value) for value in settings))


def _lines(table: Tensor) -> int:
    return -(-table.numel() // LINE)


@vectorised
def _update(
    start: int, stop: int, marks: np.ndarray, gradient: np.ndarray, table: np.ndarray, mean: np.ndarray,
    square: np.ndarray, rate: Any, first: Any, second: Any, spread: Any, decay: Any, eps: Any,
) -> None:  # fmt: skip
    """One step of Adam (Kingma and Ba 2015, algorithm 1) for marked lines. Clears their marks and gradients."""
    one = np.float32(1)
    line = start
    while line < stop:
        if not marks[line]:
            line += 1
            continue
        begin = line
        while line < stop and marks[line]:
            marks[line] = False
            line += 1
        run = slice(begin * LINE, min(line * LINE, len(table)))
        g_run, t_run, m_run, v_run = gradient[run], table[run], mean[run], square[run]
        for i in range(len(g_run)):  # without a branch: these become vector instructions
            g = g_run[i]
            moves = np.float32(g != np.float32(0))
            g += decay * t_run[i]
            m_run[i] += moves * (one - first) * (g - m_run[i])
            v_run[i] += moves * (one - second) * (g * g - v_run[i])
            t_run[i] -= moves * rate * m_run[i] / (np.sqrt(v_run[i]) * spread + eps)
            g_run[i] = 0
