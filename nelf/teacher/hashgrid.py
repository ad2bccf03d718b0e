"""Multi-resolution hash encoding (Müller et al., SIGGRAPH 2022, sec. 3).

`encode_reference` is the readable form in plain PyTorch and runs on every device. On the CPU `encode` uses compiled
kernels: the forward splits points over threads, the table's gradient splits levels, so that no two threads add to the
same entry and no atomics are needed.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nelf.kernels.dispatch import array, compiled, inlined, split_range

FEATURES = 4  # per level: one 16-byte load a corner
PRIMES = (1, 2654435761, 805459861)


class HashGrid(nn.Module):
    """Trainable features of points in the unit cube: [n, 3] -> [n, levels * FEATURES]."""

    resolutions: Tensor

    def __init__(self, levels: int, log2_entries: int, coarsest: int, finest: int) -> None:
        super().__init__()
        growth = math.exp((math.log(finest) - math.log(coarsest)) / max(levels - 1, 1))
        resolutions = [int(coarsest * growth**level + 1e-6) for level in range(levels)]
        self.register_buffer("resolutions", torch.tensor(resolutions), persistent=False)
        self.table = nn.Parameter(torch.empty(levels, 2**log2_entries, FEATURES).uniform_(-1e-4, 1e-4))

    @property
    def channels(self) -> int:
        return self.table.shape[0] * FEATURES

    def forward(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n channels"]:
        if points.device.type == "cpu":
            return _CompiledEncode.apply(self.table, points, self.resolutions)
        return encode_reference(points, self.table, self.resolutions)


def encode_reference(
    points: Float[Tensor, "n 3"], table: Float[Tensor, "levels entries 4"], resolutions: Int[Tensor, "levels"]
) -> Float[Tensor, "n channels"]:
    """Trilinear interpolation of the corner features at every level.

    A level whose corners all fit is indexed directly; a finer one through the spatial hash of eq. 4.
    """
    entries = table.shape[1]
    corners = torch.tensor([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)], device=points.device)
    outputs = []
    for level, resolution in enumerate(resolutions.tolist()):
        scaled = points * resolution
        cell = scaled.floor().clamp(0, resolution - 1)
        fraction = (scaled - cell)[:, None, :]
        corner = cell.long()[:, None, :] + corners
        if (resolution + 1) ** 3 <= entries:
            index = corner[..., 0] + (resolution + 1) * (corner[..., 1] + (resolution + 1) * corner[..., 2])
        else:
            hashed = corner * torch.tensor(PRIMES, device=points.device)
            index = (hashed[..., 0] ^ hashed[..., 1] ^ hashed[..., 2]) & (entries - 1)
        weight = torch.where(corners.bool(), fraction, 1 - fraction).prod(dim=-1)
        outputs.append((table[level][index] * weight[..., None]).sum(dim=1))
    return torch.cat(outputs, dim=-1)


class _CompiledEncode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, points: Tensor, resolutions: Tensor) -> Tensor:
        ctx.save_for_backward(points, resolutions)
        ctx.shape = table.shape
        out = torch.empty(points.shape[0], table.shape[0] * FEATURES)
        split_range(_forward, points.shape[0], array(points), array(table), array(resolutions), array(out))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        points, resolutions = ctx.saved_tensors
        grad_table = torch.zeros(ctx.shape)
        split_range(_backward, ctx.shape[0], array(points), array(grad), array(resolutions), array(grad_table))
        return grad_table, None, None


@inlined
def _index(x: int, y: int, z: int, resolution: int, entries: int) -> int:
    side = resolution + 1
    if side * side * side <= entries:
        return x + side * (y + side * z)
    return (x ^ (y * 2654435761) ^ (z * 805459861)) & (entries - 1)


@compiled
def _forward(
    start: int, stop: int, points: np.ndarray, table: np.ndarray, resolutions: np.ndarray, out: np.ndarray
) -> None:
    entries = table.shape[1]
    for level in range(table.shape[0]):
        resolution = resolutions[level]
        features = table[level]
        for i in range(start, stop):
            sx = points[i, 0] * np.float32(resolution)
            sy = points[i, 1] * np.float32(resolution)
            sz = points[i, 2] * np.float32(resolution)
            x = min(max(int(sx), 0), resolution - 1)
            y = min(max(int(sy), 0), resolution - 1)
            z = min(max(int(sz), 0), resolution - 1)
            fx, fy, fz = sx - np.float32(x), sy - np.float32(y), sz - np.float32(z)
            f0 = f1 = f2 = f3 = np.float32(0)
            for corner in range(8):
                dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
                weight = (
                    (fx if dx else np.float32(1) - fx)
                    * (fy if dy else np.float32(1) - fy)
                    * (fz if dz else np.float32(1) - fz)
                )
                index = _index(x + dx, y + dy, z + dz, resolution, entries)
                f0 += weight * features[index, 0]
                f1 += weight * features[index, 1]
                f2 += weight * features[index, 2]
                f3 += weight * features[index, 3]
            out[i, level * 4] = f0
            out[i, level * 4 + 1] = f1
            out[i, level * 4 + 2] = f2
            out[i, level * 4 + 3] = f3


@compiled
def _backward(
    start: int, stop: int, points: np.ndarray, grad: np.ndarray, resolutions: np.ndarray, grad_table: np.ndarray
) -> None:
    entries = grad_table.shape[1]
    for level in range(start, stop):
        resolution = resolutions[level]
        target = grad_table[level]
        for i in range(points.shape[0]):
            sx = points[i, 0] * np.float32(resolution)
            sy = points[i, 1] * np.float32(resolution)
            sz = points[i, 2] * np.float32(resolution)
            x = min(max(int(sx), 0), resolution - 1)
            y = min(max(int(sy), 0), resolution - 1)
            z = min(max(int(sz), 0), resolution - 1)
            fx, fy, fz = sx - np.float32(x), sy - np.float32(y), sz - np.float32(z)
            g0, g1 = grad[i, level * 4], grad[i, level * 4 + 1]
            g2, g3 = grad[i, level * 4 + 2], grad[i, level * 4 + 3]
            for corner in range(8):
                dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
                weight = (
                    (fx if dx else np.float32(1) - fx)
                    * (fy if dy else np.float32(1) - fy)
                    * (fz if dz else np.float32(1) - fz)
                )
                index = _index(x + dx, y + dy, z + dz, resolution, entries)
                target[index, 0] += weight * g0
                target[index, 1] += weight * g1
                target[index, 2] += weight * g2
                target[index, 3] += weight * g3
