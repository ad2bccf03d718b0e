"""Multi-resolution hash encoding (Müller et al. 2022) and spherical harmonics of directions."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nelf.kernels.compile import constants, launch
from nelf.kernels.dispatch import GPU, array, compiled, find, inlined, kernel, split_range
from nelf.kernels.line_adam import LINE, LineGradient, line_gradient

CHANNELS = 16


def encode_directions(directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 16"]:
    """Harmonics of `directions`, which need not have unit length."""
    x, y, z = torch.nn.functional.normalize(directions, dim=-1).unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    return torch.stack(
        [
            torch.full_like(x, 0.28209479),
            -0.48860251 * y, 0.48860251 * z, -0.48860251 * x,
            1.09254843 * x * y, -1.09254843 * y * z, 0.31539157 * (3 * zz - 1), -1.09254843 * x * z,
            0.54627421 * (xx - yy),
            -0.59004359 * y * (3 * xx - yy), 2.89061144 * x * y * z, -0.45704579 * y * (5 * zz - 1),
            0.37317633 * z * (5 * zz - 3), -0.45704579 * x * (5 * zz - 1), 1.44530572 * z * (xx - yy),
            -0.59004359 * x * (xx - 3 * yy),
        ],
        dim=-1,
    )  # fmt: skip


FEATURES = 4  # per level: one 16-byte load a corner
PRIMES = (1, 2654435761, 805459861)


class HashGrid(nn.Module):
    """Trainable features of points in the unit cube: [n, 3] -> [n, levels * FEATURES]."""

    def __init__(self, levels: int, log2_entries: int, coarsest: int, finest: int) -> None:
        super().__init__()
        growth = math.exp((math.log(finest) - math.log(coarsest)) / max(levels - 1, 1))
        self.resolutions = tuple(int(coarsest * growth**level + 1e-6) for level in range(levels))
        self.table = nn.Parameter(torch.empty(levels, 2**log2_entries, FEATURES).uniform_(-1e-4, 1e-4))

    @property
    def channels(self) -> int:
        """Features that a point gets."""
        return self.table.shape[0] * FEATURES

    def forward(
        self, points: Float[Tensor, "n 3"], count: Int[Tensor, "1"] | None = None
    ) -> Float[Tensor, "n channels"]:
        """count: how many of the rows hold points, known to the device alone; None for all."""
        return find("hash_encode", points.device, encode_reference)(points, self.table, self.resolutions, count)


def encode_reference(
    points: Float[Tensor, "n 3"],
    table: Float[Tensor, "levels entries 4"],
    resolutions: Sequence[int],
    count: Int[Tensor, "1"] | None = None,
) -> Float[Tensor, "n channels"]:
    """Trilinear interpolation of the corner features at every level.

    A level whose corners all fit is indexed directly; a finer one through the spatial hash of eq. 4.
    """
    entries = table.shape[1]
    number = torch.arange(8, device=points.device)
    corners = torch.stack([number & 1, number >> 1 & 1, number >> 2], dim=-1)
    indices, weights = [], []
    for level, resolution in enumerate(resolutions):
        scaled = points * resolution
        cell = scaled.floor().clamp(0, resolution - 1)
        fraction = (scaled - cell)[:, None, :]
        x, y, z = (cell.long()[:, None, :] + corners).unbind(-1)
        if (resolution + 1) ** 3 <= entries:
            index = x + (resolution + 1) * (y + (resolution + 1) * z)
        else:
            index = (x * PRIMES[0] ^ y * PRIMES[1] ^ z * PRIMES[2]) & (entries - 1)
        indices.append(level * entries + index)
        weights.append(torch.where(corners.bool(), fraction, 1 - fraction).prod(dim=-1))
    # Read from one flat table: its gradient is one `index_add`, with neither a sort nor a table of zeros a level.
    index, weight = torch.stack(indices, dim=1), torch.stack(weights, dim=1)
    features = table.flatten(0, 1).index_select(0, index.flatten()).reshape(*index.shape, FEATURES)
    return (features * weight[..., None]).sum(dim=2).flatten(1)


class _CompiledEncode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, points: Tensor, resolutions: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(points)
        ctx.shape, ctx.resolutions, ctx.lines = table.shape, np.array(resolutions), line_gradient(table)
        out = torch.empty(points.shape[0], table.shape[0] * FEATURES)
        split_range(_forward, points.shape[0], array(points), array(table), ctx.resolutions, array(out))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:
        (points,) = ctx.saved_tensors
        lines = LineGradient(torch.empty(ctx.shape)) if ctx.lines is None else ctx.lines
        levels, threads = ctx.shape[0], torch.get_num_threads()
        order = np.concatenate([np.arange(first, levels, threads) for first in range(threads)])  # fine levels cost more
        split_range(_backward, levels, array(points), array(grad), ctx.resolutions, order, *lines.begin())
        return lines.values if ctx.lines is None else None, None, None


@kernel("hash_encode", "cpu")
def _encode_on_cpu(points: Tensor, table: Tensor, resolutions: tuple[int, ...], count: Tensor | None = None) -> Tensor:
    encoded: Tensor = _CompiledEncode.apply(table, points, resolutions)
    return encoded


@kernel("hash_encode", GPU)
def _encode_on_gpu(points: Tensor, table: Tensor, resolutions: tuple[int, ...], count: Tensor | None = None) -> Tensor:
    if table.numel() >= 1 << 31:  # kernels count in 32 bits
        return encode_reference(points, table, resolutions)
    count = constants((len(points),), points.device) if count is None else count.int()
    encoded: Tensor = _Encode.apply(table, points.contiguous(), tuple(resolutions), count)
    return encoded


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, points: Tensor, resolutions: tuple[int, ...], count: Tensor) -> Tensor:
        levels, entries, _ = table.shape
        dense = sum((resolution + 1) ** 3 <= entries for resolution in resolutions)
        ctx.sizes, ctx.shape = {"LEVELS": levels, "DENSE": dense, "ENTRIES": entries}, table.shape
        sides = constants(resolutions, points.device)
        out = table.new_zeros(len(points), levels * FEATURES)  # rows beyond `count` are not written
        launch("hash_encode", len(points) * levels, ctx.sizes, points, table.detach(), sides, count, out)
        ctx.save_for_backward(points, sides, count)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        points, sides, count = ctx.saved_tensors
        grad_table, threads = grad.new_zeros(ctx.shape), len(points) * ctx.sizes["LEVELS"]
        launch("hash_table_grad", threads, ctx.sizes, points, grad.contiguous(), sides, count, grad_table)
        return grad_table, None, None, None


@inlined
def _index(x: int, y: int, z: int, resolution: int, entries: int) -> int:
    side = resolution + 1
    if side * side * side <= entries:
        return x + side * (y + side * z)
    return (x ^ (y * 2654435761) ^ (z * 805459861)) & (entries - 1)


@inlined
def _cell(coordinate: Any, resolution: int) -> tuple[int, Any]:
    """The cell that a coordinate in [0, 1] lies in, and how far it lies in it."""
    scaled = coordinate * np.float32(resolution)
    cell = min(max(int(scaled), 0), resolution - 1)
    return cell, scaled - np.float32(cell)


@inlined
def _share(upper: int, fraction: Any) -> Any:
    """Weight along one axis of the upper (1) or lower (0) node of a cell."""
    return fraction if upper else np.float32(1) - fraction


@compiled
def _forward(
    start: int, stop: int, points: np.ndarray, table: np.ndarray, resolutions: np.ndarray, out: np.ndarray
) -> None:
    entries = table.shape[1]
    for level in range(table.shape[0]):
        resolution = resolutions[level]
        features = table[level]
        for i in range(start, stop):
            x, fx = _cell(points[i, 0], resolution)
            y, fy = _cell(points[i, 1], resolution)
            z, fz = _cell(points[i, 2], resolution)
            f0 = f1 = f2 = f3 = np.float32(0)
            for corner in range(8):
                dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
                weight = _share(dx, fx) * _share(dy, fy) * _share(dz, fz)
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
    start: int, stop: int, points: np.ndarray, grad: np.ndarray, resolutions: np.ndarray, order: np.ndarray,
    grad_table: np.ndarray, marks: np.ndarray,
) -> None:  # fmt: skip
    entries = grad_table.shape[1]
    for turn in range(start, stop):
        level = order[turn]
        resolution = resolutions[level]
        target = grad_table[level]
        for i in range(points.shape[0]):
            x, fx = _cell(points[i, 0], resolution)
            y, fy = _cell(points[i, 1], resolution)
            z, fz = _cell(points[i, 2], resolution)
            g0, g1 = grad[i, level * 4], grad[i, level * 4 + 1]
            g2, g3 = grad[i, level * 4 + 2], grad[i, level * 4 + 3]
            for corner in range(8):
                dx, dy, dz = corner & 1, (corner >> 1) & 1, corner >> 2
                weight = _share(dx, fx) * _share(dy, fy) * _share(dz, fz)
                index = _index(x + dx, y + dy, z + dz, resolution, entries)
                marks[(level * entries + index) * FEATURES // LINE] = True
                target[index, 0] += weight * g0
                target[index, 1] += weight * g1
                target[index, 2] += weight * g2
                target[index, 3] += weight * g3
