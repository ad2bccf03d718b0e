"""Features of points of space, read from small tables: three planes, three lines, or a volume.

Planes (EG3D, Chan et al. 2022; K-Planes, Fridovich-Keil et al. 2023): a point is projected on the planes xy, xz and yz,
and each gives the bilinear mean of its four neighbours. The features of the three planes stand side by side.
Lines (CP decomposition of TensoRF, Chen et al. 2022, eq. 3): each axis gives the linear mean of two neighbours, and the
three are multiplied.
Volume: the trilinear mean of a point's eight neighbours.

Coordinates are in cells: 0 is the first node of a table, `nodes - 1` the last. Outside, the features of the border
hold, and the point has no gradient there. The functions `..._reference` are the readable forms.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nelf.kernels.compile import constants, launch
from nelf.kernels.dispatch import GPU, array, find, kernel, split_range
from nelf.kernels.feature_loops import line_loops, plane_loops, volume_loops

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
        ctx.parts = channels if loops is volume_loops else len(tables)
        out = torch.empty(len(points), channels * (3 if loops is plane_loops else 1))
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


NODES = {"planes": "SIDE", "lines": "NODES", "volume": "VOLUME"}
"""First word of the kernels' names -> their macro for the nodes along an axis."""


class _ReadOnGPU(torch.autograd.Function):
    """One of the reads of `kernels.cu`."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, tables: Tensor, name: str) -> Tensor:
        channels = tables.shape[-1]
        ctx.name, ctx.sizes = name, {NODES[name]: tables.shape[1], "CHANNELS": channels}
        count = constants((len(points),), points.device)
        ctx.save_for_backward(points, tables, count)
        out = tables.new_empty(len(points), channels * (3 if name == "planes" else 1))
        launch(f"{name}_read", out.numel(), ctx.sizes, points.detach(), tables.detach(), count, out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None]:
        points, tables, count = (tensor.detach() for tensor in ctx.saved_tensors)
        grad, grad_tables, grad_points = grad.contiguous(), torch.zeros_like(tables), None
        known = points, tables, grad, count
        launch(f"{ctx.name}_table_grad", grad.numel(), ctx.sizes, *known, grad_tables)
        if ctx.needs_input_grad[0]:
            grad_points = torch.empty_like(points)
            launch(f"{ctx.name}_point_grad", len(points), ctx.sizes, *known, grad_points)
        return grad_points, grad_tables, None


def _register(name: str, loops: Callable[[int], tuple[Any, Any, Any]]) -> None:
    @kernel(f"read_{name}", "cpu")
    def read(points: Tensor, tables: Tensor) -> Tensor:
        return _Read.apply(points, tables, loops)

    @kernel(f"read_{name}", GPU)
    def read_on_gpu(points: Tensor, tables: Tensor) -> Tensor:
        return _ReadOnGPU.apply(points.contiguous(), tables.contiguous(), name)


for _name, _loops in (("planes", plane_loops), ("lines", line_loops), ("volume", volume_loops)):
    _register(_name, _loops)
