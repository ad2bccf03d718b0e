"""Muon: momentum whose direction is made orthogonal, matrix by matrix (Jordan et al. 2024)."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
CHANNELS_LAST = (0, 2, 3, 1)  # axes of a kernel in the order in which training lays them out
MATCHED_RMS = 0.2  # size of an update of AdamW's, so that both take one learning rate (Liu et al. 2025, eq. 4)


class Muon(Optimizer):
    """Muon for the kernels of convolutions, each as the matrix [first axis, all others]; AdamW for everything else.

    Everything else is biases, normalisation, a grid's values, and the last kernel: what it gives are colours, not
    features.
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
        for items in by_rows.values():  # the small products of equal size in one call
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
    """All axes but the first as columns, in the order in which they lie in memory, so that nothing is copied.

    The order of the columns does not matter to the rows of U V^T.
    """
    return kernel.permute(CHANNELS_LAST).flatten(1)


def orthogonalizer(grams: Float[Tensor, "n rows rows"]) -> Float[Tensor, "n rows rows"]:
    """The factor before each matrix X = U S V^T (not taller than wide) that makes it U V^T, nearly; `grams` are X X^T.

    A quintic iteration brings all singular values to about 0.7 to 1.2 (Jordan et al. 2024). Each iterate is a
    polynomial in X X^T times X, so the iteration runs on the small square matrices alone.
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
    """The readable form: what `orthogonalizer` times the matrices is."""
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
