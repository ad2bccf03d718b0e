"""One batch on several CPU cores: each computes loss and gradients of its share of the views.

The convolutions of a small student are too small to be divided: threads that work on views of their own lose less time
waiting for each other than threads inside each operation.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

Share = Callable[..., tuple[Tensor, Tensor]]
"""What is known of some views, one tensor a quantity (or None) -> their mean loss, and the predicted images."""


class Shards:
    """As many threads as PyTorch uses on this CPU, each with operations of its own that use one.

    Not for networks whose views depend on one another (BatchNorm).
    """

    def __init__(self, parameters: Sequence[nn.Parameter], share: Share) -> None:
        self.parameters = list(parameters)
        self.share = share
        self.threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="shard", initializer=_use_one_thread)
        together = threading.Barrier(self.threads)  # so that no thread takes a second task before all have started
        for future in [self._pool.submit(together.wait) for _ in range(self.threads)]:
            future.result()
        # Threads that others start later take the number that was set last, in whatever thread.
        torch.set_num_threads(self.threads)

    def backward(self, first: Tensor, *others: Tensor | None) -> tuple[Tensor, Tensor]:
        """Set the parameters' gradients to those of the batch's mean loss; gives that loss and the predicted images.

        Deterministic: shares are added in their order.
        """
        count, quantities = len(first), (first, *others)
        parts = zip(*(self._divided(quantity) for quantity in quantities), strict=True)
        futures = [self._pool.submit(self._work, part, len(part[0]) / count) for part in parts if len(part[0])]
        done = [future.result() for future in futures]
        loss, _, gradients = done[0]
        for more, _, theirs in done[1:]:
            loss = loss + more
            torch._foreach_add_(gradients, theirs)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        return loss, torch.cat([predicted for _, predicted, _ in done])

    def _divided(self, quantity: Tensor | None) -> Sequence[Tensor | None]:
        return [None] * self.threads if quantity is None else quantity.tensor_split(self.threads)

    def _work(self, part: Sequence[Tensor | None], weight: float) -> tuple[Tensor, Tensor, list[Tensor]]:
        loss, predicted = self.share(*part)
        loss = loss * weight
        return loss.detach(), predicted.detach(), list(torch.autograd.grad(loss, self.parameters))


def _use_one_thread() -> None:
    torch.set_num_threads(1)
    # A thread takes the number that holds for the process when it first asks, and keeps it: ask before that changes.
    if torch.get_num_threads() != 1:
        raise RuntimeError("PyTorch does not let this thread use one thread only")
