"""Compiled loops of nelf/kernels/plane_features.py for the CPU: reads of tables, and gradients of tables and points.

Each function gives three loops over parts of a range: the read (over points), the gradient of the tables (over tables,
of a volume over channels), and that of the points.
"""

import functools
from typing import Any

import numpy as np

from nelf.kernels.dispatch import compiled, inlined


@inlined
def _locate(x: Any, nodes: int) -> tuple[int, Any, bool]:
    """Cell of a coordinate, how far it lies in it, and whether it lies inside of the table."""
    last = np.float32(nodes - 1)
    held = min(max(x, np.float32(0)), last)
    cell = min(int(held), nodes - 2)
    return cell, held - np.float32(cell), x == held


@functools.cache
def plane_loops(channels: int) -> tuple[Any, Any, Any]:
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
def line_loops(channels: int) -> tuple[Any, Any, Any]:
    """Loops for tables along lines: forward, gradient of the tables, gradient of the points."""
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
def volume_loops(channels: int) -> tuple[Any, Any, Any]:
    """The same for tables in a volume."""
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
