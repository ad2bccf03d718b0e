"""Operations of a Core ML program that have weights or windows: convolution, pooling, normalisation, matrix product."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from nelf.core.errors import ExportError
from nelf.runtime.coreml_values import Inputs, flag, integer, integers, number, optional, tensor, text


def _padding(inputs: Inputs, size: list[int], window: list[int], stride: list[int]) -> list[tuple[int, int]]:
    """Elements added before and after each spatial axis; `window` is the kernel's extent with dilation."""
    kind = text(inputs, "pad_type", "valid")
    if kind == "valid":
        return [(0, 0)] * len(size)
    if kind == "custom":
        pad = integers(inputs, "pad")
        return [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]
    totals = [max((-(-n // s) - 1) * s + w - n, 0) for n, w, s in zip(size, window, stride, strict=True)]
    if kind == "same":
        return [(total // 2, total - total // 2) for total in totals]
    if kind == "same_lower":
        return [(total - total // 2, total // 2) for total in totals]
    raise ExportError(f"pad_type {kind} is not known to our interpreter")


def _padded(x: Tensor, pad: list[tuple[int, int]], value: float = 0.0) -> Tensor:
    return functional.pad(x, [n for pair in reversed(pad) for n in pair], value=value)


def _conv(inputs: Inputs) -> Tensor:
    x, weight = tensor(inputs, "x"), tensor(inputs, "weight")
    rank = x.dim() - 2
    stride, dilation = integers(inputs, "strides", [1] * rank), integers(inputs, "dilations", [1] * rank)
    window = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    pad = _padding(inputs, list(x.shape[2:]), window, stride)
    zero = [0] * rank
    groups = integer(inputs, "groups", 1)
    if all(before == after for before, after in pad):  # torch pads without a copy
        even = [before for before, _ in pad]
        return torch.convolution(x, weight, optional(inputs, "bias"), stride, even, dilation, False, zero, groups)
    return torch.convolution(
        _padded(x, pad), weight, optional(inputs, "bias"), stride, zero, dilation, False, zero, groups
    )


def _conv_transpose(inputs: Inputs) -> Tensor:
    x, weight = tensor(inputs, "x"), tensor(inputs, "weight")
    rank = x.dim() - 2
    stride, dilation = integers(inputs, "strides", [1] * rank), integers(inputs, "dilations", [1] * rank)
    zero = [0] * rank
    full = torch.convolution(x, weight, None, stride, zero, dilation, True, zero, integer(inputs, "groups", 1))
    if text(inputs, "pad_type", "valid") not in ("valid", "custom"):
        raise ExportError("conv_transpose with pad_type same is not known to our interpreter")
    pad = _padding(inputs, list(x.shape[2:]), zero, stride)
    sizes = [n - sum(p) for n, p in zip(full.shape[2:], pad, strict=True)]
    if "output_shape" in inputs:
        sizes = integers(inputs, "output_shape")[2:]
    # Crop what the padding hides; a larger output shape goes on with zeros, which no input reaches.
    crop = [(-before, size + before - n) for (before, _), size, n in zip(pad, sizes, full.shape[2:], strict=True)]
    full = _padded(full, crop)
    bias = optional(inputs, "bias")
    return full if bias is None else full + bias.reshape(-1, *[1] * rank)


def _pool(inputs: Inputs, maximum: bool) -> Tensor:
    x = tensor(inputs, "x")
    kernel = integers(inputs, "kernel_sizes")
    stride = integers(inputs, "strides", [1] * len(kernel))
    if len(kernel) != 2:
        raise ExportError(f"pooling over {len(kernel)} axes is not known to our interpreter")
    pad = _padding(inputs, list(x.shape[2:]), kernel, stride)
    over = [0, 0]
    if flag(inputs, "ceil_mode", False):  # as torch: windows may hang over the end, but none begins beyond the input
        for axis, (n, (before, after), k, s) in enumerate(zip(x.shape[2:], pad, kernel, stride, strict=True)):
            over[axis] = (k - n - before - after) % s
            if after + over[axis] >= k:
                over[axis] = 0
    whole = [(before, after + more) for (before, after), more in zip(pad, over, strict=True)]
    if maximum:
        return functional.max_pool2d(_padded(x, whole, -torch.inf), kernel, stride)
    counted = 0.0 if flag(inputs, "exclude_padding_from_average", False) else 1.0  # what hangs over never is
    inside = _padded(_padded(torch.ones_like(x[:1, :1]), pad, counted), [(0, more) for more in over])
    return functional.avg_pool2d(_padded(x, whole), kernel, stride) / functional.avg_pool2d(inside, kernel, stride)


def _batch_norm(inputs: Inputs) -> Tensor:
    x = tensor(inputs, "x")
    return functional.batch_norm(
        x,
        tensor(inputs, "mean"),
        tensor(inputs, "variance"),
        optional(inputs, "gamma"),
        optional(inputs, "beta"),
        eps=number(inputs, "epsilon", 1e-5),
    )


def _instance_norm(inputs: Inputs) -> Tensor:
    return functional.instance_norm(
        tensor(inputs, "x"),
        weight=optional(inputs, "gamma"),
        bias=optional(inputs, "beta"),
        eps=number(inputs, "epsilon", 1e-5),
    )


def _layer_norm(inputs: Inputs) -> Tensor:
    x = tensor(inputs, "x")
    axes = integers(inputs, "axes", range(x.dim()))
    variance, mean = torch.var_mean(x, dim=axes, correction=0, keepdim=True)
    x = (x - mean) * torch.rsqrt(variance + number(inputs, "epsilon", 1e-5))
    shape = [n if i in {axis % x.dim() for axis in axes} else 1 for i, n in enumerate(x.shape)]
    for name, apply in (("gamma", torch.mul), ("beta", torch.add)):
        value = optional(inputs, name)
        x = x if value is None else apply(x, value.reshape(shape))
    return x


def _matmul(inputs: Inputs) -> Tensor:
    x, y = tensor(inputs, "x"), tensor(inputs, "y")
    x = x.mT if flag(inputs, "transpose_x", False) else x
    return x @ (y.mT if flag(inputs, "transpose_y", False) else y)


def _upsample(inputs: Inputs, mode: str) -> Tensor:
    factors = [number(inputs, f"scale_factor_{axis}", 1.0) for axis in ("height", "width")]
    x = tensor(inputs, "x")
    size = [int(n * f) for n, f in zip(x.shape[-2:], factors, strict=True)]
    corners = flag(inputs, "align_corners", True) if mode == "bilinear" else None
    larger = functional.interpolate(x.reshape(1, -1, *x.shape[-2:]), size=size, mode=mode, align_corners=corners)
    return larger.reshape(*x.shape[:-2], *size)


LAYERS: Mapping[str, Callable[[Inputs], Tensor]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "linear": lambda i: functional.linear(tensor(i, "x"), tensor(i, "weight"), optional(i, "bias")),
    "matmul": _matmul,
    "max_pool": lambda i: _pool(i, True),
    "avg_pool": lambda i: _pool(i, False),
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "upsample_nearest_neighbor": lambda i: _upsample(i, "nearest"),
    "upsample_bilinear": lambda i: _upsample(i, "bilinear"),
}
