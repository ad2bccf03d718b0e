"""Muon: momentum whose direction is made orthogonal, matrix by matrix (Jordan et al. 2024)."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
MATCHED_RMS = 0.2  # size of an update of AdamW's, so that both take one learning rate (Liu et al. 2025, eq. 4)


class Muon(Optimizer):
    """Muon for the kernels of convolutions, each as the matrix [first axis, all others]; AdamW for everything else.

    Everything else is biases, normalisation, and the last kernel: what it gives are colours, not features.
    torch.optim.Muon takes matrices only.
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
        """Change the parameters by their gradients. `closure` evaluates the loss anew, as in every torch optimizer."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            (self._orthogonal if group["orthogonal"] else self._adamw)(group)
        return loss

    def _orthogonal(self, group: dict[str, Any]) -> None:
        by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = {}
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if not state:
                state["momentum"] = torch.zeros_like(p)
            state["momentum"].lerp_(p.grad, 1 - group["momentum"])
            nesterov = p.grad.lerp(state["momentum"], group["momentum"])
            by_shape.setdefault((len(p), p[0].numel()), []).append((p, nesterov.flatten(1)))
        for shape, items in by_shape.items():  # equal shapes in one call
            directions = orthogonalized(torch.stack([matrix for _, matrix in items]))
            size = MATCHED_RMS * max(shape) ** 0.5
            for (p, _), direction in zip(items, directions, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(direction.reshape(p.shape), alpha=-group["lr"] * size)

    def _adamw(self, group: dict[str, Any]) -> None:
        first, second = group["betas"]
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            if not state:
                state["updates"], state["mean"], state["square"] = 0, torch.zeros_like(p), torch.zeros_like(p)
            state["updates"] += 1
            state["mean"].lerp_(p.grad, 1 - first)
            state["square"].mul_(second).addcmul_(p.grad, p.grad, value=1 - second)
            spread = (state["square"] / (1 - second ** state["updates"])).sqrt_().add_(group["eps"])
            p.mul_(1 - group["lr"] * group["weight_decay"])
            p.addcdiv_(state["mean"], spread, value=-group["lr"] / (1 - first ** state["updates"]))


def orthogonalized(matrices: Float[Tensor, "n rows columns"]) -> Float[Tensor, "n rows columns"]:
    """U V^T of each matrix U S V^T, nearly: a quintic iteration brings all singular values to about 0.7 to 1.2.

    Every iterate is a polynomial in X X^T times X, so the iteration runs on the small square matrices alone.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.mT
    identity = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    product = identity
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        factor = a * identity + b * gram + c * (gram @ gram)
        product = factor @ product
        gram = factor @ gram @ factor
    x = product @ x
    return x.mT if tall else x


def orthogonalized_reference(matrices: Float[Tensor, "n rows columns"]) -> Float[Tensor, "n rows columns"]:
    """The readable form of `orthogonalized` (Jordan et al. 2024)."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
