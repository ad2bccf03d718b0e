import copy

import pytest
import torch
from torch import nn

from nelf.train.optimizers import Muon, orthogonalized_reference, orthogonalizer


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, 8, 1), nn.GELU(), nn.Conv2d(8, 2, 1))


def descend(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> float:
    x = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    truth = torch.stack([x[:, 0] * x[:, 1], x[:, 2]], dim=1)
    loss = torch.tensor(torch.nan)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(x) - truth).square().mean()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


@pytest.mark.parametrize("shape", [(2, 6, 20), (1, 8, 8)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    directions = orthogonalizer(matrices @ matrices.mT) @ matrices
    values = torch.linalg.svdvals(directions)
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.3
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    core = u.mT @ directions @ v.mT
    off_diagonal = core - torch.diag_embed(core.diagonal(dim1=1, dim2=2))
    assert float(off_diagonal.abs().max()) < 1e-3


@pytest.mark.parametrize("shape", [(2, 96, 864), (1, 96, 192), (3, 64, 64)])
def test_the_fast_form_is_the_readable_one(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    # Ill-conditioned, as gradients are: rank 3 and a little noise.
    matrices = 1e-3 * matrices + (matrices[:, :, :3] @ matrices[:, :3, :])
    exact = orthogonalized_reference(matrices.double()).float()
    # Five squarings of the spectrum in float32 cost about three digits; momentum's noise is far larger.
    assert (orthogonalizer(matrices @ matrices.mT) @ matrices - exact).abs().max() < 1e-2 * exact.abs().max()


def test_an_update_is_orthogonal_whatever_the_shape_of_the_kernel() -> None:
    """Kernels wider than tall, taller than wide (a transposed one), and a 1x1."""
    for shape in ((8, 4, 3, 3), (64, 4, 2, 2), (6, 5, 1, 1)):
        kernel, last = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.randn(2, 2, 1, 1))
        optimizer = Muon([kernel, last], lr=1.0, weight_decay=0.0)
        before = kernel.detach().clone()
        kernel.grad, last.grad = torch.randn(shape), torch.zeros_like(last)
        optimizer.step()
        update = (before - kernel.detach()).flatten(1) / (0.2 * max(shape[0], kernel[0].numel()) ** 0.5)
        values = torch.linalg.svdvals(update)
        assert float(values.min()) > 0.5, shape
        assert float(values.max()) < 1.3, shape


def test_only_inner_kernels_are_orthogonal() -> None:
    model = network()
    first, second = Muon(model.parameters(), 1e-2, 0.0).param_groups
    assert [tuple(p.shape) for p in first["params"]] == [(8, 3, 3, 3), (8, 8, 1, 1)]
    assert [tuple(p.shape) for p in second["params"]] == [(8,), (8,), (2, 8, 1, 1), (2,)]


def test_the_rest_is_torch_adamw() -> None:
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    pairs = (
        (ours, Muon(ours.parameters(), 1e-2, 0.1)),
        (theirs, torch.optim.AdamW(theirs.parameters(), 1e-2, weight_decay=0.0)),
    )
    x = torch.randn(7, 5)
    for model, optimizer in pairs:
        for _ in range(5):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


def test_it_learns_and_goes_on_exactly_from_its_state() -> None:
    model = network()
    optimizer = Muon(model.parameters(), 3e-3, 1e-2)
    before = descend(model, optimizer, 1)
    descend(model, optimizer, 100)
    twin, state = copy.deepcopy(model), copy.deepcopy(optimizer.state_dict())
    after = descend(model, optimizer, 100)
    assert after < 0.7 * before
    again = Muon(twin.parameters(), 3e-3, 1e-2)
    again.load_state_dict(state)
    assert descend(twin, again, 100) == after
