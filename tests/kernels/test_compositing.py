"""Compositing: compiled kernels, the readable form, and a loop over rays agree."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nelf.kernels.compositing import composite, composite_reference, median_depths, median_depths_reference


def packed(counts: list[int], seed: int = 0, thickest: float = 2.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """optical, values, ray, offsets of rays with `counts` samples."""
    random = torch.Generator().manual_seed(seed)
    offsets = torch.tensor([0, *counts]).cumsum(0)
    total = int(offsets[-1])
    ray = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    optical = torch.rand(total, generator=random) * thickest
    return optical, torch.randn(total, 4, generator=random), ray, offsets


def one_by_one(optical: Tensor, values: Tensor, offsets: Tensor) -> Tensor:
    """NeRF, eq. 3, ray by ray."""
    rays = []
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        total, alpha, through = torch.zeros(values.shape[1], dtype=optical.dtype), optical.new_zeros(()), 1.0
        for i in range(start, end):
            weight = through * (1 - torch.exp(-optical[i]))
            total, alpha = total + weight * values[i], alpha + weight
            through = through * torch.exp(-optical[i])
        rays.append(torch.cat([total, alpha[None]]))
    return torch.stack(rays)


CASES = {
    "mixed": packed([5, 0, 1, 40, 3]),
    "empty first and last": packed([0, 0, 7, 0]),
    "all empty": packed([0, 0]),
    "opaque": packed([6, 1, 30], thickest=80.0),
    "thin": packed([6, 1, 30], thickest=1e-4),
}


@pytest.mark.parametrize("case", CASES)
def test_values(case: str) -> None:
    optical, values, ray, offsets = CASES[case]
    expected = one_by_one(optical.double(), values.double(), offsets).float()
    assert torch.allclose(composite(optical, values, ray, offsets), expected, atol=1e-5)
    assert torch.allclose(composite_reference(optical, values, ray, offsets), expected, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_gradients(case: str) -> None:
    optical, values, ray, offsets = CASES[case]
    towards = torch.randn(len(offsets) - 1, values.shape[1] + 1, generator=torch.Generator().manual_seed(1))
    optical, values = optical.clone().requires_grad_(), values.clone().requires_grad_()

    def gradients(out: Tensor, inputs: tuple[Tensor, Tensor]) -> list[Tensor]:
        return [g.float() for g in torch.autograd.grad((out * towards.to(out.dtype)).sum(), inputs)]

    exact = optical.detach().double().requires_grad_(), values.detach().double().requires_grad_()
    if len(optical) == 0:
        found = gradients(composite(optical, values, ray, offsets), (optical, values))
        assert [g.shape for g in found] == [optical.shape, values.shape]
        return
    expected = gradients(one_by_one(*exact, offsets), exact)
    for out in (composite(optical, values, ray, offsets), composite_reference(optical, values, ray, offsets)):
        for found_one, expected_one in zip(gradients(out, (optical, values)), expected, strict=True):
            # What lies behind a sample is a difference of sums over the ray: the error is that of the sum.
            assert torch.allclose(found_one, expected_one, atol=2e-5)


def test_known_ray() -> None:
    """Two samples that each transmit half: a half and a quarter."""
    optical = torch.full((2,), math.log(2))
    values = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    out = composite(optical, values, torch.tensor([0, 0]), torch.tensor([0, 2]))
    assert torch.allclose(out, torch.tensor([[0.5, 0.25, 0.75]]))


def test_alpha_of_the_opaque_is_one() -> None:
    out = composite(torch.full((9,), 1e4), torch.ones(9, 1), torch.zeros(9, dtype=torch.int64), torch.tensor([0, 9]))
    assert out.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("form", [median_depths, median_depths_reference])
def test_the_median_depth_is_where_half_of_the_light_is_left(form: Callable[..., Tensor]) -> None:
    optical, _, ray, offsets = packed([3, 0, 1, 4, 2])
    half = math.log(2)
    optical[:] = half * torch.tensor([0.5, 0.4, 0.2, 0.9, 1e-3, 0.0, 99.0, 1.0, 0.5, 0.4])
    depths = torch.arange(len(optical))[:, None] + torch.tensor([1.0, 1.5])
    expected = torch.tensor([3 + 0.5 * 0.1 / 0.2, 0, 0, 7 + 0.5 * 0.999 / 99, 0])
    assert torch.allclose(form(optical, depths, ray, offsets), expected, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_both_forms_find_the_same_median_depths(case: str) -> None:
    optical, _, ray, offsets = CASES[case]
    depths = torch.arange(len(optical))[:, None] + torch.tensor([1.0, 1.5])
    given = optical.float(), depths, ray, offsets
    assert torch.allclose(median_depths(*given), median_depths_reference(*given), atol=1e-4)
