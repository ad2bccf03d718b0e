"""Optimizers by name, Muon among them, and the moving average of the weights."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from nelf.student import Student

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
CHANNELS_LAST = (0, 2, 3, 1)  # axes of a kernel in the order in which training lays them out
MATCHED_RMS = 0.2  # RMS of AdamW's updates: lets both use one learning rate (Liu et al. 2025, eq. 4)


class Muon(Optimizer):
    """Muon for convolution kernels, each as the matrix [first axis, all others]; AdamW for everything else.

    Everything else is biases, normalisation, feature tables, and the last kernel, which outputs colours.
    torch.optim.Muon takes only matrices.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        everything = list(parameters)
        kernels = [p for p in everything if p.ndim == 4][:-1]
        chosen = {id(p) for p in kernels}
        rest = [p for p in everything if id(p) not in chosen]
        groups: list[dict[str, Any]] = [
            {"params": kernels, "orthogonal": True, "weight_decay": weight_decay},
            {"params": rest, "orthogonal": False, "weight_decay": 0.0},
        ]
        defaults = {"lr": lr, "momentum": momentum, "betas": betas, "eps": 1e-8}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update the parameters. `closure` recomputes the loss, as in every torch optimizer."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            (self._orthogonal if group["orthogonal"] else self._adamw)(group)
        return loss

    def _orthogonal(self, group: dict[str, Any]) -> None:
        parameters = [p for p in group["params"] if p.grad is not None]
        if not parameters:
            return
        for p in parameters:
            if not self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        gradients = [p.grad for p in parameters]
        momenta = [self.state[p]["momentum"] for p in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        nesterov = torch._foreach_lerp(gradients, momenta, group["momentum"])
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        by_rows: dict[int, list[tuple[Tensor, Tensor]]] = {}
        for p, update in zip(parameters, nesterov, strict=True):
            matrix = _as_matrix(update)
            wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT
            by_rows.setdefault(len(wide), []).append((p, wide))
        for items in by_rows.values():  # one call for all small products of equal size
            factors = orthogonalizer(torch.stack([wide @ wide.mT for _, wide in items]))
            for (p, wide), factor in zip(items, factors, strict=True):
                tall = len(p) > len(wide)
                direction = wide.mT @ factor if tall else factor @ wide  # the factor is symmetric
                kernel = p.permute(CHANNELS_LAST)
                kernel.add_(direction.view(kernel.shape), alpha=-group["lr"] * MATCHED_RMS * wide.shape[1] ** 0.5)

    def _adamw(self, group: dict[str, Any]) -> None:
        first, second = group["betas"]
        parameters = [p for p in group["params"] if p.grad is not None]
        if not parameters:
            return
        for p in parameters:
            if not self.state[p]:
                self.state[p].update(updates=0, mean=torch.zeros_like(p), square=torch.zeros_like(p))
            self.state[p]["updates"] += 1
        count = self.state[parameters[0]]["updates"]
        gradients = [p.grad for p in parameters]
        means, squares = ([self.state[p][name] for p in parameters] for name in ("mean", "square"))
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - second)
        spreads = torch._foreach_div(squares, 1 - second**count)
        torch._foreach_sqrt_(spreads)
        torch._foreach_add_(spreads, group["eps"])
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_addcdiv_(parameters, means, spreads, value=-group["lr"] / (1 - first**count))


def _as_matrix(kernel: Float[Tensor, "first second h w"]) -> Float[Tensor, "first others"]:
    """View with all axes but the first as columns, in memory order, so that nothing is copied.

    The order of columns does not change U V^T otherwise.
    """
    return kernel.permute(CHANNELS_LAST).flatten(1)


def orthogonalizer(grams: Float[Tensor, "n rows rows"]) -> Float[Tensor, "n rows rows"]:
    """For each matrix X = U S V^T (not taller than wide), the factor on its left that gives nearly U V^T.

    grams: X X^T. A quintic iteration moves all singular values to about 0.7 to 1.2 (Jordan et al. 2024). An iterate is
    a polynomial in X X^T times X, so the iteration needs only the small square matrices.
    """
    norms = grams.diagonal(dim1=1, dim2=2).sum(1).sqrt()[:, None, None] + 1e-7  # Frobenius norms of X
    gram = grams / norms.square()
    product = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device) / norms
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        product = factor @ product
        gram = factor @ gram @ factor
    return product


def orthogonalized_reference(matrices: Float[Tensor, "n rows columns"]) -> Float[Tensor, "n rows columns"]:
    """The readable form: `orthogonalizer` times the matrices."""
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def _adamw(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, fused: bool) -> Optimizer:
    return AdamW(parameters, lr, weight_decay=weight_decay, fused=fused)


def _adam(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, fused: bool) -> Optimizer:
    return Adam(parameters, lr, weight_decay=weight_decay, fused=fused)


def _sgd(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, fused: bool) -> Optimizer:
    return SGD(parameters, lr, momentum=0.9, nesterov=True, weight_decay=weight_decay, fused=fused)


def _muon(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, fused: bool) -> Optimizer:
    return Muon(parameters, lr, weight_decay)


OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter], float, float, bool], Optimizer]] = {
    "adamw": _adamw,
    "adam": _adam,
    "sgd": _sgd,
    "muon": _muon,
}
"""name -> (parameters, rate, weight decay, whether to use one fused kernel) -> optimizer."""


class ExponentialMovingAverage:
    """A second model whose weights are the exponential moving average of the trained ones.

    Buffers (BatchNorm's statistics) are averaged like weights, so that they match. The first updates use the smaller
    decay (1 + n) / (10 + n), which soon forgets the random initial weights.
    decay 0: no average; `model` copies the current weights.
    """

    def __init__(self, model: Student, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self._source = model
        self._model = copy.deepcopy(model).eval().requires_grad_(False)
        self._pairs = _pairs(self._model, model)

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights after one training step."""
        if self.decay == 0:
            return
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, values = self._pairs
        torch._foreach_lerp_(averages, values, 1 - decay)

    def model(self) -> Student:
        """The averaged model in eval mode. The next update changes it."""
        if self.decay == 0:
            self._model.load_state_dict(self._source.state_dict())
        return self._model

    def restart(self) -> None:
        """Restart the average from the current weights."""
        self._model.load_state_dict(self._source.state_dict())
        self.updates = 0


def _pairs(average: Student, model: Student) -> tuple[list[Tensor], list[Tensor]]:
    """The tensors of both models to average; they stay the same objects during training."""
    # keep_vars: the parameters themselves; views would go stale when their storage changes.
    pairs = zip(average.state_dict(keep_vars=True).values(), model.state_dict(keep_vars=True).values(), strict=True)
    kept = [(a, b) for a, b in pairs if a.is_floating_point()]
    return [a for a, _ in kept], [b.detach() for _, b in kept]
