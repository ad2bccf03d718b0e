"""Moving average of the weights."""

import copy

import torch
from torch import Tensor

from nelf.student import Student


class WeightAverage:
    """A second model whose weights are the exponential moving average of the trained one's.

    Buffers (BatchNorm's statistics) are averaged like weights, so that they belong together. The first updates use the
    smaller decay (1 + n) / (10 + n), so that the random initial weights are soon forgotten.
    decay 0: no average; the second model takes over the weights when it is asked for.
    """

    def __init__(self, model: Student, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._source = model
        self._model = copy.deepcopy(model).eval().requires_grad_(False)
        self._pairs = _pairs(self._model, model)

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after one training step."""
        if self.decay == 0:
            return
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, values = self._pairs
        torch._foreach_lerp_(averages, values, 1 - decay)

    def model(self) -> Student:
        """The averaged model, in eval mode. It changes with the next update."""
        if self.decay == 0:
            self._model.load_state_dict(self._source.state_dict())
        return self._model

    def restart(self) -> None:
        """Forget the past: the average of the weights as they are now."""
        self._model.load_state_dict(self._source.state_dict())
        self.updates = 0


def _pairs(average: Student, model: Student) -> tuple[list[Tensor], list[Tensor]]:
    """The tensors of both that are averaged; they stay the same objects while training."""
    # keep_vars: the parameters themselves, not views that a change of their storage would leave behind.
    pairs = zip(average.state_dict(keep_vars=True).values(), model.state_dict(keep_vars=True).values(), strict=True)
    kept = [(a, b) for a, b in pairs if a.is_floating_point()]
    return [a for a, _ in kept], [b.detach() for _, b in kept]
