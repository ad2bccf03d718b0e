"""Inputs for every operation with a kernel, and which of them have gradients."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from nelf.kernels import compositing, hash_encoding, importance_sampling, plane_features, random_numbers, ray_marching
from tests.kernels.spaces import SPACES, some_rays


@dataclass(frozen=True)
class Case:
    """reference: the plain form. inputs: its arguments. wanted: those with gradients."""

    operation: str
    reference: Callable[..., Any]
    inputs: tuple[Any, ...]
    wanted: tuple[Tensor, ...] = ()


def _random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def hash_encode() -> Case:
    points = torch.rand(3000, 3, generator=_random())
    points[:8] = torch.tensor([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)]).float()
    table = torch.randn(4, 4096, 4, generator=_random()).requires_grad_()
    resolutions = (12, 24, 48, 96)  # 13^3 corners fit into 4096 entries: one dense level
    return Case("hash_encode", hash_encoding.encode_reference, (points, table, resolutions), (table,))


def composited() -> Case:
    counts = torch.randint(0, 30, (500,), generator=_random())
    offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    ray = torch.arange(500).repeat_interleave(counts)
    optical = (torch.rand(len(ray), generator=_random()) * 0.5).requires_grad_()
    values = torch.rand(len(ray), 4, generator=_random(1)).requires_grad_()
    return Case("composite", compositing.composite_reference, (optical, values, ray, offsets), (optical, values))


def medians() -> Case:
    optical, _, ray, offsets = composited().inputs
    depths = 1 + torch.arange(len(ray))[:, None] + torch.tensor([0.0, 0.5])
    return Case("median_depths", compositing.median_depths_reference, (optical.detach(), depths, ray, offsets))


def planes() -> Case:
    points = (torch.rand(3000, 3, generator=_random()) * 38 - 3).requires_grad_()  # a fifth lies outside
    tables = torch.randn(3, 32, 32, 8, generator=_random()).requires_grad_()
    return Case("read_planes", plane_features.read_planes_reference, (points, tables), (points, tables))


def lines() -> Case:
    points = (torch.rand(3000, 3, generator=_random()) * 80 - 8).requires_grad_()
    tables = torch.randn(3, 65, 8, generator=_random()).requires_grad_()
    return Case("read_lines", plane_features.read_lines_reference, (points, tables), (points, tables))


def volume() -> Case:
    points = (torch.rand(3000, 3, generator=_random()) * 42 - 3).requires_grad_()
    table = torch.randn(36, 36, 36, 8, generator=_random()).requires_grad_()
    return Case("read_volume", plane_features.read_volume_reference, (points, table), (points, table))


def marched(space: str) -> Case:
    rays, density = some_rays(space, 300), torch.rand(30, 30, 30, generator=_random()) * 20
    density = torch.where(torch.rand(density.shape, generator=_random(1)) < 0.3, density, 0.0)
    jitter = torch.rand(len(rays), generator=_random(2))
    return Case("march", ray_marching.march_reference, (rays, SPACES[space](), density, 64, jitter, 0.1))


def counted(space: str) -> Case:
    return Case("count_samples", ray_marching.count_reference, marched(space).inputs)


def resampled(space: str) -> Case:
    rays, space_, density, steps, jitter, _ = marched(space).inputs
    return Case("resample", importance_sampling.resample_reference, (rays, space_, density, steps, 24, jitter))


def drawn(operation: str, reference: Callable[..., Any]) -> Case:
    key = torch.tensor([-123456789], dtype=torch.int32)
    return Case(operation, reference, (key, (7, 1, 3, 5, 10_000, random_numbers.MOST)))


CASES: dict[str, Case] = {
    "hash_encode": hash_encode(),
    "composite": composited(),
    "median_depths": medians(),
    "read_planes": planes(),
    "read_lines": lines(),
    "read_volume": volume(),
    **{f"{make.__name__}-{space}": make(space) for make in (marched, counted, resampled) for space in SPACES},
    "draw_uniform": drawn("draw_uniform", random_numbers.draw_uniform_reference),
    "draw_integers": drawn("draw_integers", random_numbers.draw_integers_reference),
}


def moved(value: Any, device: torch.device | str) -> Any:
    """An argument on a device; tensors with gradients keep them."""
    if isinstance(value, Tensor):
        there = value.detach().to(device)
        return there.requires_grad_(value.requires_grad)
    return value.to(device) if hasattr(value, "to") else value


def tensors(found: Any) -> list[Tensor]:
    """An operation's results as CPU tensors, without padding rows."""
    if isinstance(found, Tensor):
        return [found.detach().cpu()]
    rows = int(found.offsets[-1])
    values = [getattr(found, field.name).cpu() for field in fields(found) if field.name != "found"]
    return [value if len(value) == len(found.offsets) and value.ndim == 1 and i == 4 else value[:rows]
            for i, value in enumerate(values)]  # fmt: skip


def gradients(found: Any, wanted: list[Tensor]) -> list[Tensor]:
    """Gradients of a random sum over an operation's results."""
    if not wanted:
        return []
    weights = torch.randn(found.shape, generator=_random(3)).to(found.device)
    return [grad.cpu() for grad in torch.autograd.grad((found * weights).sum(), wanted)]
