"""Cases, as in mil_cases.py, for operations with weights or windows, and the table of all."""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tests.export import mil_cases as cases
from tests.export.mil_cases import Array, Case, Draw, const, exact

CONVOLUTIONS: list[Any] = [functional.conv1d, functional.conv2d, functional.conv3d]
TRANSPOSED: list[Any] = [functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d]


def padding(draw: Draw, kinds: list[str], sizes: list[int], windows: list[int], strides: list[int]) -> tuple[Any, Any]:
    """Inputs that describe padding, and the elements before and after each axis."""
    kind = draw.one_of(kinds)
    pairs = [(0, 0)] * len(sizes)
    if kind == "custom":
        pairs = [(draw.integer(0, (w - 1) // 2), draw.integer(0, (w - 1) // 2)) for w in windows]
        return {"pad_type": kind, "pad": const([n for pair in pairs for n in pair])}, pairs
    if kind.startswith("same"):  # as many results as strides begin within the input
        totals = [max(w - (n % s or s), 0) for n, w, s in zip(sizes, windows, strides, strict=True)]
        pairs = [(t // 2, t - t // 2) if kind == "same" else (t - t // 2, t // 2) for t in totals]
    return {"pad_type": kind}, pairs


def conv(draw: Draw) -> Case:
    rank, groups = draw.integer(1, 3), draw.integer(1, 3)
    kernel, strides, dilations = ([draw.integer(1, most) for _ in range(rank)] for most in (3, 3, 2))
    sizes = [draw.integer(5, 7) for _ in range(rank)]
    x = draw.values(draw.integer(1, 2), groups * draw.integer(1, 2), *sizes)
    weight = draw.values(groups * draw.integer(1, 2), x.shape[1] // groups, *kernel)
    windows = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    given, pairs = padding(draw, ["valid", "custom", "same", "same_lower"], sizes, windows, strides)
    given |= draw.maybe(bias=draw.values(len(weight)))
    bias = given["bias"].double() if "bias" in given else None
    padded = torch.from_numpy(np.pad(exact(x), [(0, 0), (0, 0), *pairs]))
    result = CONVOLUTIONS[rank - 1](padded, weight.double(), bias, strides, 0, dilations, groups)
    how = {"strides": const(strides), "dilations": const(dilations), "groups": const(groups)}
    return {"x": x, "weight": weight, **given, **how}, result.numpy()


def conv_transpose(draw: Draw) -> Case:
    rank, groups = draw.integer(1, 3), draw.integer(1, 3)
    kernel, strides, dilations = ([draw.integer(1, most) for _ in range(rank)] for most in (4, 3, 2))
    x = draw.values(draw.integer(1, 2), groups * draw.integer(1, 2), *(draw.integer(3, 5) for _ in range(rank)))
    weight = draw.values(x.shape[1], draw.integer(1, 2), *kernel)
    pad = [draw.integer(0, (k - 1) // 2) for k in kernel]
    longer = [draw.integer(0, max(s, d) - 1) for s, d in zip(strides, dilations, strict=True)]
    given = draw.maybe(bias=draw.values(weight.shape[1] * groups))
    bias = given["bias"].double() if "bias" in given else None
    result = TRANSPOSED[rank - 1](x.double(), weight.double(), bias, strides, pad, longer, groups, dilations)
    if any(longer):
        given["output_shape"] = const(list(result.shape))
    pairs = {"pad_type": "custom", "pad": const([n for n in pad for _ in range(2)])} if any(pad) else {}
    how = {"strides": const(strides), "dilations": const(dilations), "groups": const(groups)}
    return {"x": x, "weight": weight, **given, **pairs, **how}, result.numpy()


def linear(draw: Draw) -> Case:
    x = draw.values(*draw.shape(1, 3), 4)
    weight = draw.values(3, 4)
    given = draw.maybe(bias=draw.values(3))
    return {"x": x, "weight": weight, **given}, exact(x) @ exact(weight).T + exact(given.get("bias", torch.zeros(3)))


def matmul(draw: Draw) -> Case:
    *batch, rows, inner, columns = [*draw.shape(0, 2), *draw.shape(3, 3)]
    x, y = draw.values(*batch, rows, inner), draw.values(*(batch if draw.often() else []), inner, columns)
    given = draw.maybe(transpose_x=const(draw.often()), transpose_y=const(draw.often()))
    turned = {name: value.mT.contiguous() if bool(given.get(f"transpose_{name}", False)) else value
              for name, value in (("x", x), ("y", y))}  # fmt: skip
    return {**turned, **given}, exact(x) @ exact(y)


def pool(maximum: bool) -> Callable[[Draw], Case]:
    def case(draw: Draw) -> Case:
        x = draw.values(1, 2, draw.integer(5, 8), draw.integer(5, 8))
        kernel = [draw.integer(1, 4), draw.integer(1, 4)]
        strides = [draw.integer(1, k) for k in kernel]
        ceil, without = draw.often(), draw.often()
        kinds = ["valid", "custom"] if ceil else ["valid", "custom", "same", "same_lower"]
        given, pairs = padding(draw, kinds, list(x.shape[2:]), kernel, strides)
        if ceil and "pad" in given:  # must be symmetric
            pairs = [(before, before) for before, _ in pairs]
            given["pad"] = const([n for pair in pairs for n in pair])
        given |= {} if maximum else {"exclude_padding_from_average": const(without)}
        result = windows(exact(x), kernel, strides, pairs, ceil, largest if maximum else average(without))
        how = {"kernel_sizes": const(kernel), "strides": const(strides), "ceil_mode": const(ceil)}
        return {"x": x, **given, **how}, result

    return case


def windows(x: Array, kernel: Any, strides: Any, pairs: Any, ceil: bool, function: Callable[..., Array]) -> Array:
    """Visit windows one by one. With `ceil` a window may extend beyond the end, but not start in the padding."""
    starts = []
    for n, k, s, (before, after) in zip(x.shape[2:], kernel, strides, pairs, strict=True):
        over = s - 1 if ceil else 0
        starts.append([i for i in range(-before, n + after - k + 1 + over, s) if i < n])
    result = np.empty((*x.shape[:2], *(len(axis) for axis in starts)))
    for (i, top), (j, left) in itertools.product(enumerate(starts[0]), enumerate(starts[1])):
        inside = x[:, :, max(top, 0) : top + kernel[0], max(left, 0) : left + kernel[1]]
        ends = [min(a + k, n + after) - a for a, k, n, (_, after)
                in zip((top, left), kernel, x.shape[2:], pairs, strict=True)]  # fmt: skip
        result[:, :, i, j] = function(inside.reshape(*x.shape[:2], -1), math.prod(ends))
    return result


def largest(inside: Array, count: int) -> Array:
    return inside.max(-1)


def average(without_padding: bool) -> Callable[[Array, int], Array]:
    return lambda inside, count: inside.sum(-1) / (inside.shape[-1] if without_padding else count)


def normalised(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt(np.square(centred).mean(axes, keepdims=True) + epsilon)


def scaled(draw: Draw, x: Tensor, axes: list[int]) -> tuple[dict[str, Any], Callable[[Array], Array]]:
    """gamma, beta and epsilon, or not; applies the first two."""
    shape = [n if axis in axes else 1 for axis, n in enumerate(x.shape)]
    sizes = [x.shape[axis] for axis in axes]
    given = draw.maybe(gamma=draw.values(*sizes), beta=draw.values(*sizes), epsilon=const(0.01))
    gamma, beta = exact(given.get("gamma", torch.ones(sizes))), exact(given.get("beta", torch.zeros(sizes)))
    return given, lambda value: value * gamma.reshape(shape) + beta.reshape(shape)


def epsilon_of(given: Mapping[str, Tensor]) -> float:
    return float(given.get("epsilon", 1e-5))


def batch_norm(draw: Draw) -> Case:
    x = draw.values(*draw.shape(3, 5))
    given, apply = scaled(draw, x, [1])
    mean, variance = draw.values(x.shape[1]), draw.values(x.shape[1]).abs() + 0.1
    shape = [-1, *[1] * (x.dim() - 2)]
    result = exact(x) - exact(mean).reshape(shape)
    result /= np.sqrt(exact(variance).reshape(shape) + epsilon_of(given))
    return {"x": x, "mean": mean, "variance": variance, **given}, apply(result)


def instance_norm(draw: Draw) -> Case:
    x = draw.values(*draw.shape(2, 3), 5)
    given, apply = scaled(draw, x, [1])
    return {"x": x, **given}, apply(normalised(exact(x), tuple(range(2, x.dim())), epsilon_of(given)))


def layer_norm(draw: Draw) -> Case:
    x = draw.values(*draw.shape(1, 4))
    axes = draw.some_of(range(x.dim())) if draw.often() else list(range(x.dim()))
    given, apply = scaled(draw, x, axes)
    if len(axes) < x.dim() or draw.often():
        given["axes"] = const([axis - x.dim() * draw.integer(0, 1) for axis in axes])
    return {"x": x, **given}, apply(normalised(exact(x), tuple(axes), epsilon_of(given)))


def upsample(draw: Draw, places: Callable[[Array, int, int], Array], **given: Tensor) -> Case:
    """places: maps a result's index, and both lengths along an axis, to input pixels."""
    factors = {f"scale_factor_{axis}": draw.one_of([1.0, 2.0, 3.0, 1.5]) for axis in ("height", "width")}
    x = draw.values(*draw.shape(1, 3), *(2 * draw.integer(1, 3) for _ in factors))
    result = exact(x)
    for axis, factor in zip((-2, -1), factors.values(), strict=True):
        n = x.shape[axis]
        at = places(np.arange(int(n * factor)), n, int(n * factor)).clip(0, n - 1)
        below = np.floor(at).astype(int)
        weight = (at - below).reshape(-1, *[1] * (-1 - axis))
        result = result.take(below, axis) * (1 - weight) + result.take(np.minimum(below + 1, n - 1), axis) * weight
    scales = {name: const(int(f) if f % 1 == 0 and draw.often() else f) for name, f in factors.items()}
    return {"x": x, **{name: f for name, f in scales.items() if f != 1 or draw.often()}, **given}, result


def upsample_nearest_neighbor(draw: Draw) -> Case:
    return upsample(draw, lambda i, n, m: np.floor(i * n / m + 1e-6))


def upsample_bilinear(draw: Draw) -> Case:
    given = draw.maybe(align_corners=const(draw.often()))
    if bool(given.get("align_corners", True)):
        return upsample(draw, lambda i, n, m: i * (n - 1) / (m - 1), **given)
    return upsample(draw, lambda i, n, m: (i + 0.5) * n / m - 0.5, **given)


def logistic(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


CASES: Mapping[str, Callable[[Draw], Case]] = {
    "abs": cases.unary(np.abs),
    "ceil": cases.unary(np.ceil),
    "cos": cases.unary(np.cos),
    "erf": cases.unary(np.vectorize(math.erf)),
    "exp": cases.unary(np.exp),
    "floor": cases.unary(np.floor),
    "identity": cases.unary(lambda x: x),
    "cast": cases.unary(lambda x: x),
    "inverse": cases.with_epsilon(lambda x: 1 / x, 1e-4),
    "log": cases.with_epsilon(np.log, 1e-45),
    "relu": cases.unary(lambda x: np.maximum(x, 0)),
    "relu6": cases.unary(lambda x: x.clip(0, 6)),
    "round": cases.unary(np.round),
    "rsqrt": cases.with_epsilon(lambda x: 1 / np.sqrt(x), 1e-12),
    "sigmoid": cases.unary(logistic),
    "sign": cases.unary(np.sign),
    "silu": cases.unary(lambda x: x * logistic(x)),
    "sin": cases.unary(np.sin),
    "softplus": cases.unary(lambda x: np.logaddexp(0, x)),
    "sqrt": cases.positive(np.sqrt),
    "square": cases.unary(lambda x: x * x),
    "tanh": cases.unary(np.tanh),
    "clip": cases.activation(lambda x, a, b: np.minimum(np.maximum(x, a), b), "alpha", "beta"),
    "elu": cases.activation(lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))), "alpha"),
    "leaky_relu": cases.activation(lambda x, a: np.where(x > 0, x, a * x), "alpha"),
    "sigmoid_hard": cases.activation(lambda x, a, b: (a * x + b).clip(0, 1), "alpha", "beta"),
    "thresholded_relu": cases.activation(lambda x, a: np.where(x >= a, x, 0), "alpha"),
    "gelu": cases.gelu,
    "softmax": cases.softmax,
    "add": cases.binary(np.add),
    "sub": cases.binary(np.subtract),
    "mul": cases.binary(np.multiply),
    "real_div": cases.binary(np.divide, zeros=False),
    "floor_div": cases.binary(np.floor_divide, zeros=False),
    "mod": cases.binary(np.mod, zeros=False),
    "pow": cases.power,
    "maximum": cases.binary(np.maximum),
    "minimum": cases.binary(np.minimum),
    "equal": cases.binary(np.equal),
    "not_equal": cases.binary(np.not_equal),
    "greater": cases.binary(np.greater),
    "greater_equal": cases.binary(np.greater_equal),
    "less": cases.binary(np.less),
    "less_equal": cases.binary(np.less_equal),
    "select": cases.select,
    "reduce_mean": cases.reduction(np.mean),
    "reduce_sum": cases.reduction(np.sum),
    "reduce_max": cases.reduction(np.max),
    "reduce_min": cases.reduction(np.min),
    "concat": cases.concat,
    "crop": cases.crop,
    "expand_dims": cases.expand_dims,
    "gather": cases.gather,
    "pad": cases.pad,
    "pixel_shuffle": cases.blocks("pixel_shuffle", "upscale_factor"),
    "depth_to_space": cases.blocks("depth_to_space", "block_size"),
    "space_to_depth": cases.blocks("space_to_depth", "block_size"),
    "reshape": cases.reshape,
    "reverse": cases.reverse,
    "slice_by_index": cases.slice_by_index,
    "slice_by_size": cases.slice_by_size,
    "split": cases.split,
    "squeeze": cases.squeeze,
    "stack": cases.stack,
    "tile": cases.tile,
    "transpose": cases.transpose,
    "conv": conv,
    "conv_transpose": conv_transpose,
    "linear": linear,
    "matmul": matmul,
    "max_pool": pool(True),
    "avg_pool": pool(False),
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "layer_norm": layer_norm,
    "upsample_nearest_neighbor": upsample_nearest_neighbor,
    "upsample_bilinear": upsample_bilinear,
}
"""Operation -> inputs and result of a draw."""
