"""Features of points of space, read from small tables: three planes, three lines, or a volume.

Planes (EG3D, Chan et al. 2022; K-Planes, Fridovich-Keil et al. 2023): a point is projected on the planes xy, xz and yz,
and each gives the bilinear mean of its four neighbours. The features of the three planes stand side by side.
Lines (CP decomposition of TensoRF, Chen et al. 2022, eq. 3): each axis gives the linear mean of two neighbours, and the
three are multiplied.
Volume: the trilinear mean of a point's eight neighbours.

Coordinates are in cells: 0 is the first node of a table, `nodes - 1` the last. Outside, the features of the border
hold, and the point has no gradient there. The functions `..._reference` are the readable forms.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.kernels.compile import constants, launch
from nelf.kernels.dispatch import GPU, array, compiled, find, inlined, kernel, split_range

PLANES = ((0, 1), (0, 2), (1, 2))
"""Axes of each plane: along a row of its table, from row to row."""


def read_planes(
    points: Float[Tensor, "n 3"], tables: Float[Tensor, "3 nodes nodes channels"]
) -> Float[Tensor, "n channels3"]:
    """Features of `points` (in cells) from three planes, side by side."""
    return find("read_planes", points.device, read_planes_reference)(points, tables)


def read_lines(points: Float[Tensor, "n 3"], tables: Float[Tensor, "3 nodes channels"]) -> Float[Tensor, "n channels"]:
    """Products of the features of `points` (in cells) from three lines."""
    return find("read_lines", points.device, read_lines_reference)(points, tables)


def read_volume(
    points: Float[Tensor, "n 3"], table: Float[Tensor, "nodes nodes nodes channels"]
) -> Float[Tensor, "n channels"]:
    """Features of `points` (in cells) from a volume, whose axes are z, y and x."""
    return find("read_volume", points.device, read_volume_reference)(points, table)


def read_planes_reference(
    points: Float[Tensor, "n 3"], tables: Float[Tensor, "3 nodes nodes channels"]
) -> Float[Tensor, "n channels3"]:
    """Plain form of `read_planes`."""
    cell, fraction = _cells(points, tables.shape[1])
    features = []
    for table, (a, b) in zip(tables, PLANES, strict=True):
        i, j = cell[:, a], cell[:, b]
        across, up = fraction[:, a, None], fraction[:, b, None]
        low = table[j, i] * (1 - across) + table[j, i + 1] * across
        high = table[j + 1, i] * (1 - across) + table[j + 1, i + 1] * across
        features.append(low * (1 - up) + high * up)
    return torch.cat(features, dim=1)


def read_lines_reference(
    points: Float[Tensor, "n 3"], tables: Float[Tensor, "3 nodes channels"]
) -> Float[Tensor, "n channels"]:
    """Plain form of `read_lines`."""
    cell, fraction = _cells(points, tables.shape[1])
    x, y, z = (
        table[cell[:, a]] * (1 - fraction[:, a, None]) + table[cell[:, a] + 1] * fraction[:, a, None]
        for a, table in enumerate(tables)
    )
    return x * y * z


def read_volume_reference(
    points: Float[Tensor, "n 3"], table: Float[Tensor, "nodes nodes nodes channels"]
) -> Float[Tensor, "n channels"]:
    """Plain form of `read_volume`."""
    cell, fraction = _cells(points, len(table))
    total: Tensor | None = None
    for corner in range(8):
        step = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2], device=points.device)
        weight = torch.where(step.bool(), fraction, 1 - fraction).prod(dim=1, keepdim=True)
        x, y, z = (cell + step).unbind(1)
        part = table[z, y, x] * weight
        total = part if total is None else total + part
    assert total is not None
    return total


def _cells(points: Float[Tensor, "n 3"], nodes: int) -> tuple[Tensor, Tensor]:
    """The cell that each coordinate lies in, and how far it lies in it, 0 to 1."""
    inside = points.clamp(0, nodes - 1)
    cell = inside.detach().floor().clamp(max=nodes - 2)
    return cell.long(), inside - cell


class _Read(torch.autograd.Function):
    """One of the compiled reads. The table's gradient is split by tables, so that no two threads add to one entry."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, tables: Tensor, loops: Callable[[int], tuple[Any, Any, Any]]) -> Tensor:
        ctx.save_for_backward(points, tables)
        channels = tables.shape[-1]
        ctx.loops = loops(channels)
        forward, _, _ = ctx.loops
        ctx.parts = channels if loops is _volume_loops else len(tables)
        out = torch.empty(len(points), channels * (3 if loops is _plane_loops else 1))
        split_range(forward, len(points), array(points), array(tables), array(out))
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None]:
        points, tables = ctx.saved_tensors
        _, table_gradient, point_gradient = ctx.loops
        known = array(points), array(tables), array(grad)
        grad_tables = torch.zeros(tables.shape)
        split_range(table_gradient, ctx.parts, *known, array(grad_tables))
        if not ctx.needs_input_grad[0]:
            return None, grad_tables, None
        grad_points = torch.empty(points.shape)
        split_range(point_gradient, len(points), *known, array(grad_points))
        return grad_points, grad_tables, None


@kernel("read_planes", "cpu")
def _read_planes(points: Tensor, tables: Tensor) -> Tensor:
    return _Read.apply(points, tables, _plane_loops)


@kernel("read_lines", "cpu")
def _read_lines(points: Tensor, tables: Tensor) -> Tensor:
    return _Read.apply(points, tables, _line_loops)


@kernel("read_volume", "cpu")
def _read_volume(points: Tensor, table: Tensor) -> Tensor:
    return _Read.apply(points, table, _volume_loops)


@kernel("read_planes", GPU)
def _read_planes_on_gpu(points: Tensor, tables: Tensor) -> Tensor:
    read: Tensor = _ReadPlanes.apply(points.contiguous(), tables.contiguous())
    return read


@kernel("read_lines", GPU)
def _read_lines_on_gpu(points: Tensor, tables: Tensor) -> Tensor:
    read: Tensor = _ReadLines.apply(points.contiguous(), tables.contiguous())
    return read


class _ReadPlanes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, tables: Tensor) -> Tensor:
        ctx.sizes = {"SIDE": tables.shape[1], "CHANNELS": tables.shape[3]}
        count = constants((len(points),), points.device)
        ctx.save_for_backward(points, tables, count)
        out = tables.new_empty(len(points), 3 * tables.shape[3])
        launch("planes_read", out.numel(), ctx.sizes, points.detach(), tables.detach(), count, out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor]:
        points, tables, count = (tensor.detach() for tensor in ctx.saved_tensors)
        grad, grad_tables, grad_points = grad.contiguous(), torch.zeros_like(tables), None
        launch("planes_table_grad", grad.numel(), ctx.sizes, points, grad, count, grad_tables)
        if ctx.needs_input_grad[0]:
            grad_points = torch.empty_like(points)
            launch("planes_point_grad", len(points), ctx.sizes, points, tables, grad, count, grad_points)
        return grad_points, grad_tables


class _ReadLines(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, tables: Tensor) -> Tensor:
        ctx.sizes = {"NODES": tables.shape[1], "CHANNELS": tables.shape[2]}
        count = constants((len(points),), points.device)
        ctx.save_for_backward(points, tables, count)
        out = tables.new_empty(len(points), tables.shape[2])
        launch("lines_read", out.numel(), ctx.sizes, points.detach(), tables.detach(), count, out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor]:
        points, tables, count = (tensor.detach() for tensor in ctx.saved_tensors)
        grad, grad_tables, grad_points = grad.contiguous(), torch.zeros_like(tables), None
        launch("lines_table_grad", grad.numel(), ctx.sizes, points, tables, grad, count, grad_tables)
        if ctx.needs_input_grad[0]:
            grad_points = torch.empty_like(points)
            launch("lines_point_grad", len(points), ctx.sizes, points, tables, grad, count, grad_points)
        return grad_points, grad_tables


@inlined
def _locate(x: Any, nodes: int) -> tuple[int, Any, bool]:
    """Cell of a coordinate, how far it lies in it, and whether it lies inside of the table."""
    last = np.float32(nodes - 1)
    held = min(max(x, np.float32(0)), last)
    cell = min(int(held), nodes - 2)
    return cell, held - np.float32(cell), x == held


@functools.cache
def _plane_loops(channels: int) -> tuple[Any, Any, Any]:
    """Loops over `channels` features each: a number that the compiler knows, so that it needs no loop for them."""
    one = np.float32(1)

    @compiled
    def forward(start: int, stop: int, points: np.ndarray, tables: np.ndarray, out: np.ndarray) -> None:
        nodes = tables.shape[1]
        for n in range(start, stop):
            for plane in range(3):
                i, across, _ = _locate(points[n, 0 if plane < 2 else 1], nodes)
                j, up, _ = _locate(points[n, 1 if plane == 0 else 2], nodes)
                w00, w10, w01, w11 = (one - across) * (one - up), across * (one - up), (one - across) * up, across * up
                low, high = tables[plane, j], tables[plane, j + 1]
                for c in range(channels):
                    out[n, plane * channels + c] = (
                        w00 * low[i, c] + w10 * low[i + 1, c] + w01 * high[i, c] + w11 * high[i + 1, c]
                    )

    @compiled
    def table_gradient(
        start: int, stop: int, points: np.ndarray, tables: np.ndarray, grad: np.ndarray, grad_tables: np.ndarray
    ) -> None:
        nodes = tables.shape[1]
        for plane in range(start, stop):
            for n in range(len(points)):
                i, across, _ = _locate(points[n, 0 if plane < 2 else 1], nodes)
                j, up, _ = _locate(points[n, 1 if plane == 0 else 2], nodes)
                w00, w10, w01, w11 = (one - across) * (one - up), across * (one - up), (one - across) * up, across * up
                low, high = grad_tables[plane, j], grad_tables[plane, j + 1]
                for c in range(channels):
                    g = grad[n, plane * channels + c]
                    low[i, c] += w00 * g
                    low[i + 1, c] += w10 * g
                    high[i, c] += w01 * g
                    high[i + 1, c] += w11 * g

    @compiled
    def point_gradient(
        start: int, stop: int, points: np.ndarray, tables: np.ndarray, grad: np.ndarray, grad_points: np.ndarray
    ) -> None:
        nodes = tables.shape[1]
        for n in range(start, stop):
            for axis in range(3):
                grad_points[n, axis] = 0
            for plane in range(3):
                a, b = 0 if plane < 2 else 1, 1 if plane == 0 else 2
                i, across, inside_a = _locate(points[n, a], nodes)
                j, up, inside_b = _locate(points[n, b], nodes)
                low, high = tables[plane, j], tables[plane, j + 1]
                slope_a = slope_b = np.float32(0)
                for c in range(channels):
                    g = grad[n, plane * channels + c]
                    v00, v10, v01, v11 = low[i, c], low[i + 1, c], high[i, c], high[i + 1, c]
                    slope_a += g * ((one - up) * (v10 - v00) + up * (v11 - v01))
                    slope_b += g * ((one - across) * (v01 - v00) + across * (v11 - v10))
                if inside_a:
                    grad_points[n, a] += slope_a
                if inside_b:
                    grad_points[n, b] += slope_b

    return forward, table_gradient, point_gradient


@functools.cache
def _line_loops(channels: int) -> tuple[Any, Any, Any]:
    one = np.float32(1)

    @compiled
    def forward(start: int, stop: int, points: np.ndarray, tables: np.ndarray, out: np.ndarray) -> None:
        nodes = tables.shape[1]
        for n in range(start, stop):
            i, fx, _ = _locate(points[n, 0], nodes)
            j, fy, _ = _locate(points[n, 1], nodes)
            k, fz, _ = _locate(points[n, 2], nodes)
            for c in range(channels):
                x = (one - fx) * tables[0, i, c] + fx * tables[0, i + 1, c]
                y = (one - fy) * tables[1, j, c] + fy * tables[1, j + 1, c]
                z = (one - fz) * tables[2, k, c] + fz * tables[2, k + 1, c]
                out[n, c] = x * y * z

    @compiled
    def table_gradient(
        start: int, stop: int, points: np.ndarray, tables: np.ndarray, grad: np.ndarray, grad_tables: np.ndarray
    ) -> None:
        nodes = tables.shape[1]
        for axis in range(start, stop):
            first, second = (axis + 1) % 3, (axis + 2) % 3
            for n in range(len(points)):
                i, f, _ = _locate(points[n, axis], nodes)
                j, fj, _ = _locate(points[n, first], nodes)
                k, fk, _ = _locate(points[n, second], nodes)
                for c in range(channels):
                    y = (one - fj) * tables[first, j, c] + fj * tables[first, j + 1, c]
                    z = (one - fk) * tables[second, k, c] + fk * tables[second, k + 1, c]
                    g = grad[n, c] * y * z
                    grad_tables[axis, i, c] += (one - f) * g
                    grad_tables[axis, i + 1, c] += f * g

    @compiled
    def point_gradient(
        start: int, stop: int, points: np.ndarray, tables: np.ndarray, grad: np.ndarray, grad_points: np.ndarray
    ) -> None:
        nodes = tables.shape[1]
        for n in range(start, stop):
            i, fx, inside_x = _locate(points[n, 0], nodes)
            j, fy, inside_y = _locate(points[n, 1], nodes)
            k, fz, inside_z = _locate(points[n, 2], nodes)
            gx = gy = gz = np.float32(0)
            for c in range(channels):
                x0, x1 = tables[0, i, c], tables[0, i + 1, c]
                y0, y1 = tables[1, j, c], tables[1, j + 1, c]
                z0, z1 = tables[2, k, c], tables[2, k + 1, c]
                x, y, z = (one - fx) * x0 + fx * x1, (one - fy) * y0 + fy * y1, (one - fz) * z0 + fz * z1
                g = grad[n, c]
                gx += g * (x1 - x0) * y * z
                gy += g * x * (y1 - y0) * z
                gz += g * x * y * (z1 - z0)
            grad_points[n, 0] = gx if inside_x else np.float32(0)
            grad_points[n, 1] = gy if inside_y else np.float32(0)
            grad_points[n, 2] = gz if inside_z else np.float32(0)

    return forward, table_gradient, point_gradient


@functools.cache
def _volume_loops(channels: int) -> tuple[Any, Any, Any]:
    one = np.float32(1)

    @compiled
    def forward(start: int, stop: int, points: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
        nodes = len(table)
        for n in range(start, stop):
            i, fx, _ = _locate(points[n, 0], nodes)
            j, fy, _ = _locate(points[n, 1], nodes)
            k, fz, _ = _locate(points[n, 2], nodes)
            w00, w10, w01, w11 = (one - fx) * (one - fy), fx * (one - fy), (one - fx) * fy, fx * fy
            a, b, c, d = table[k, j], table[k, j + 1], table[k + 1, j], table[k + 1, j + 1]
            for f in range(channels):
                near = w00 * a[i, f] + w10 * a[i + 1, f] + w01 * b[i, f] + w11 * b[i + 1, f]
                far = w00 * c[i, f] + w10 * c[i + 1, f] + w01 * d[i, f] + w11 * d[i + 1, f]
                out[n, f] = (one - fz) * near + fz * far

    @compiled
    def table_gradient(
        start: int, stop: int, points: np.ndarray, table: np.ndarray, grad: np.ndarray, grad_table: np.ndarray
    ) -> None:
        nodes = len(table)
        for n in range(len(points)):
            i, fx, _ = _locate(points[n, 0], nodes)
            j, fy, _ = _locate(points[n, 1], nodes)
            k, fz, _ = _locate(points[n, 2], nodes)
            w00, w10, w01, w11 = (one - fx) * (one - fy), fx * (one - fy), (one - fx) * fy, fx * fy
            a, b, c, d = grad_table[k, j], grad_table[k, j + 1], grad_table[k + 1, j], grad_table[k + 1, j + 1]
            for f in range(start, stop):
                near, far = (one - fz) * grad[n, f], fz * grad[n, f]
                a[i, f] += w00 * near
                a[i + 1, f] += w10 * near
                b[i, f] += w01 * near
                b[i + 1, f] += w11 * near
                c[i, f] += w00 * far
                c[i + 1, f] += w10 * far
                d[i, f] += w01 * far
                d[i + 1, f] += w11 * far

    @compiled
    def point_gradient(
        start: int, stop: int, points: np.ndarray, table: np.ndarray, grad: np.ndarray, grad_points: np.ndarray
    ) -> None:
        nodes = len(table)
        for n in range(start, stop):
            i, fx, inside_x = _locate(points[n, 0], nodes)
            j, fy, inside_y = _locate(points[n, 1], nodes)
            k, fz, inside_z = _locate(points[n, 2], nodes)
            a, b, c, d = table[k, j], table[k, j + 1], table[k + 1, j], table[k + 1, j + 1]
            gx = gy = gz = np.float32(0)
            for f in range(channels):
                g = grad[n, f]
                a0, a1, b0, b1 = a[i, f], a[i + 1, f], b[i, f], b[i + 1, f]
                c0, c1, d0, d1 = c[i, f], c[i + 1, f], d[i, f], d[i + 1, f]
                low_x = (one - fy) * (a1 - a0) + fy * (b1 - b0)
                high_x = (one - fy) * (c1 - c0) + fy * (d1 - d0)
                gx += g * ((one - fz) * low_x + fz * high_x)
                low_0, low_1 = (one - fx) * a0 + fx * a1, (one - fx) * b0 + fx * b1
                high_0, high_1 = (one - fx) * c0 + fx * c1, (one - fx) * d0 + fx * d1
                gy += g * ((one - fz) * (low_1 - low_0) + fz * (high_1 - high_0))
                gz += g * ((one - fy) * (high_0 - low_0) + fy * (high_1 - low_1))
            grad_points[n, 0] = gx if inside_x else np.float32(0)
            grad_points[n, 1] = gy if inside_y else np.float32(0)
            grad_points[n, 2] = gz if inside_z else np.float32(0)

    return forward, table_gradient, point_gradient
