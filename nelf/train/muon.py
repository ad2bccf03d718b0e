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
            matrix = p.grad.lerp(state["momentum"], group["momentum"]).flatten(1)  # Nesterov's
            wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT
            by_shape.setdefault(tuple(wide.shape), []).append((p, wide))
        for (rows, columns), items in by_shape.items():  # equal shapes in one call
            matrices = torch.stack([matrix for _, matrix in items])
            directions = orthogonalizer(matrices) @ matrices
            size = MATCHED_RMS * columns**0.5
            for (p, _), direction in zip(items, directions, strict=True):
                turned = direction if p.shape[0] == rows and p[0].numel() == columns else direction.mT
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(turned.reshape(p.shape), alpha=-group["lr"] * size)

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


def orthogonalizer(matrices: Float[Tensor, "n rows columns"]) -> Float[Tensor, "n rows rows"]:
    """The factor before each matrix X = U S V^T (not taller than wide) that makes it U V^T, nearly.

    A quintic iteration brings all singular values to about 0.7 to 1.2 (Jordan et al. 2024). Each iterate is a
    polynomial in X X^T times X, so the iteration runs on the small square matrices alone.
    """
    norm = matrices.norm(dim=(1, 2), keepdim=True) + 1e-7
    x = matrices / norm
    gram = x @ x.mT
    identity = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    product = identity / norm
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        factor = a * identity + b * gram + c * (gram @ gram)
        product = factor @ product
        gram = factor @ gram @ factor
    return product


def orthogonalized_reference(matrices: Float[Tensor, "n rows columns"]) -> Float[Tensor, "n rows columns"]:
    """The readable form: what `orthogonalizer` times the matrices is."""
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
