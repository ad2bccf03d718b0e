"""Volume rendering of packed samples (NeRF, eq. 3): weights w_i = T_i (1 - exp(-sigma_i delta_i))."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from nelf.kernels.compile import constants, launch
from nelf.kernels.dispatch import GPU, array, compiled, find, kernel, split_range

HALF_GONE = math.log(2)  # optical depth at which half of the light is left


def composite(
    optical: Float[Tensor, "m"],
    values: Float[Tensor, "m c"],
    ray: Int[Tensor, "m"],
    offsets: Int[Tensor, "rays_plus_1"],
) -> Float[Tensor, "rays c_plus_1"]:
    """Sum of w_i times `values` along each ray, and alpha (the sum of w_i) as the last channel.

    optical: density times length of each sample.
    """
    return find("composite", optical.device, composite_reference)(optical, values, ray, offsets)


def composite_reference(
    optical: Float[Tensor, "m"],
    values: Float[Tensor, "m c"],
    ray: Int[Tensor, "m"],
    offsets: Int[Tensor, "rays_plus_1"],
) -> Float[Tensor, "rays c_plus_1"]:
    """The readable form of `composite`."""
    passed, place = _passed(optical, ray, offsets)
    before = passed[ray, place]
    weights = torch.exp(-before) * (1 - torch.exp(-optical))
    columns = torch.cat([values, torch.ones_like(optical)[:, None]], dim=1) * weights[:, None]
    return columns.new_zeros(len(offsets) - 1, columns.shape[1]).index_add(0, ray, columns)


def _passed(
    optical: Float[Tensor, "m"], ray: Int[Tensor, "m"], offsets: Int[Tensor, "rays_plus_1"]
) -> tuple[Float[Tensor, "rays longest_plus_1"], Int[Tensor, "m"]]:
    """Optical depth of the first k samples of each ray, for every k; and each sample's place on its ray.

    Each ray has a row of its own: one running sum over all rays loses the digits of the later ones in float32, and MPS
    has no float64.
    """
    longest = int(offsets.diff().amax()) if len(offsets) > 1 else 0
    place = torch.arange(len(optical), device=optical.device) - offsets[ray]
    rows = optical.new_zeros(len(offsets) - 1, longest + 1).index_put((ray, place + 1), optical)
    return rows.cumsum(1), place


def median_depths(
    optical: Float[Tensor, "m"],
    depths: Float[Tensor, "m 2"],
    ray: Int[Tensor, "m"],
    offsets: Int[Tensor, "rays_plus_1"],
) -> Float[Tensor, "rays"]:
    """Depth where half of each ray's light is left, or 0 where more than half passes all samples.

    optical: density times length of each sample; the density is constant within its interval. depths: of both ends of
    the intervals.
    """
    return find("median_depths", optical.device, median_depths_reference)(optical, depths, ray, offsets)


def median_depths_reference(
    optical: Float[Tensor, "m"],
    depths: Float[Tensor, "m 2"],
    ray: Int[Tensor, "m"],
    offsets: Int[Tensor, "rays_plus_1"],
) -> Float[Tensor, "rays"]:
    """The readable form of `median_depths`."""
    passed, _ = _passed(optical, ray, offsets)
    counts = offsets.diff()
    let_through = (passed[:, 1:] <= HALF_GONE).sum(1)  # samples that leave half of the light, or more
    found = depths.new_zeros(len(counts))
    stopped = (let_through < counts).nonzero()[:, 0]
    place = let_through[stopped]
    at = offsets[:-1][stopped] + place
    near, far = depths[at].unbind(1)
    found[stopped] = near + (HALF_GONE - passed[stopped, place]) / optical[at] * (far - near)
    return found


@kernel("median_depths", "cpu")
def _median_depths_on_cpu(optical: Tensor, depths: Tensor, ray: Tensor, offsets: Tensor) -> Tensor:
    found = torch.zeros(len(offsets) - 1)
    split_range(_median, len(found), array(optical), array(depths), array(offsets), array(found))
    return found


@kernel("median_depths", GPU)
def _median_depths_on_gpu(optical: Tensor, depths: Tensor, ray: Tensor, offsets: Tensor) -> Tensor:
    found = depths.new_empty(len(offsets) - 1)
    count = constants((len(found),), depths.device)
    given = optical.contiguous(), depths.contiguous(), offsets.int(), count
    launch("median_depths", len(found), {}, *given, found)
    return found


@kernel("composite", "cpu")
def _composite_on_cpu(optical: Tensor, values: Tensor, ray: Tensor, offsets: Tensor) -> Tensor:
    composed: Tensor = _CompiledComposite.apply(optical, values, offsets)
    return composed


@kernel("composite", GPU)
def _composite_on_gpu(optical: Tensor, values: Tensor, ray: Tensor, offsets: Tensor) -> Tensor:
    composed: Tensor = _Composite.apply(optical.contiguous(), values.contiguous(), offsets.int())
    return composed


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, optical: Tensor, values: Tensor, offsets: Tensor) -> Tensor:
        ctx.sizes = {"VALUES": values.shape[1]}
        out = values.new_empty(len(offsets) - 1, values.shape[1] + 1)
        count = constants((len(out),), values.device)
        launch("composite", len(out), ctx.sizes, optical.detach(), values.detach(), offsets, count, out)
        ctx.save_for_backward(optical, values, offsets, out, count)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        optical, values, offsets, out, count = ctx.saved_tensors
        found = torch.zeros_like(optical), torch.zeros_like(values)  # rows that no ray has are not written
        given = optical.detach(), values.detach(), offsets, out.detach(), grad.contiguous(), count
        launch("composite_grad", len(out), ctx.sizes, *given, *found)
        return *found, None


class _CompiledComposite(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, optical: Tensor, values: Tensor, offsets: Tensor) -> Tensor:
        out = torch.zeros(len(offsets) - 1, values.shape[1] + 1)
        split_range(_forward, len(out), array(optical), array(values), array(offsets), array(out))
        ctx.save_for_backward(optical, values, offsets, out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        optical, values, offsets, out = ctx.saved_tensors
        grad_optical, grad_values = torch.empty_like(optical), torch.empty_like(values)
        split_range(
            _backward, len(out),
            array(optical), array(values), array(offsets), array(out), array(grad), array(grad_optical),
            array(grad_values),
        )  # fmt: skip
        return grad_optical, grad_values, None


@compiled
def _forward(
    start: int, stop: int, optical: np.ndarray, values: np.ndarray, offsets: np.ndarray, out: np.ndarray
) -> None:
    channels = values.shape[1]
    for ray in range(start, stop):
        transmittance = np.float32(1)
        for i in range(offsets[ray], offsets[ray + 1]):
            through = np.exp(-optical[i])
            weight = transmittance * (1 - through)
            for c in range(channels):
                out[ray, c] += weight * values[i, c]
            out[ray, channels] += weight
            transmittance *= through


@compiled
def _median(
    start: int, stop: int, optical: np.ndarray, depths: np.ndarray, offsets: np.ndarray, found: np.ndarray
) -> None:
    for ray in range(start, stop):
        passed = np.float32(0)
        for i in range(offsets[ray], offsets[ray + 1]):
            before = passed
            passed += optical[i]
            if passed > HALF_GONE:
                found[ray] = depths[i, 0] + (HALF_GONE - before) / optical[i] * (depths[i, 1] - depths[i, 0])
                break


@compiled
def _backward(
    start: int,
    stop: int,
    optical: np.ndarray,
    values: np.ndarray,
    offsets: np.ndarray,
    out: np.ndarray,
    grad: np.ndarray,
    grad_optical: np.ndarray,
    grad_values: np.ndarray,
) -> None:
    # d out / d optical_i = T_{i+1} v_i - (what lies behind i). `behind`: that, dotted with the gradient.
    channels = values.shape[1]
    for ray in range(start, stop):
        behind = np.float32(0)
        for c in range(channels + 1):
            behind += grad[ray, c] * out[ray, c]
        transmittance = np.float32(1)
        for i in range(offsets[ray], offsets[ray + 1]):
            through = np.exp(-optical[i])
            weight = transmittance * (1 - through)
            along = grad[ray, channels]
            for c in range(channels):
                along += grad[ray, c] * values[i, c]
                grad_values[i, c] = grad[ray, c] * weight
            behind -= weight * along
            transmittance *= through
            grad_optical[i] = transmittance * along - behind
