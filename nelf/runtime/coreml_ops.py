"""Operations of Core ML programs in torch.

Names and semantics: coremltools' MIL reference, opsets iOS15 to iOS17. Inputs come by name, with half precision widened
to float32; the caller rounds results to the declared dtype.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nelf.core.errors import ExportError
from nelf.runtime.coreml_layers import LAYERS
from nelf.runtime.coreml_values import Inputs, Value, flag, integer, integers, number, tensor, tensors, text

__all__ = ["OPS", "Value"]

Operation = Callable[[Inputs], Tensor | Sequence[Tensor]]


def _unary(function: Callable[[Tensor], Tensor]) -> Operation:
    return lambda inputs: function(tensor(inputs, "x"))


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    return lambda inputs: function(tensor(inputs, "x"), tensor(inputs, "y"))


def _reduction(function: Callable[..., Tensor]) -> Operation:
    def reduce(inputs: Inputs) -> Tensor:
        x = tensor(inputs, "x")
        axes = integers(inputs, "axes", range(x.dim()))
        return function(x, dim=axes, keepdim=flag(inputs, "keep_dims", False))

    return reduce


def _gelu(inputs: Inputs) -> Tensor:
    x, mode = tensor(inputs, "x"), text(inputs, "mode", "EXACT")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return functional.gelu(x, approximate="tanh" if mode == "TANH_APPROXIMATION" else "none")


def _reshape(inputs: Inputs) -> Tensor:
    x = tensor(inputs, "x")
    shape = integers(inputs, "shape")
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(shape)])  # 0 keeps the dimension


def _expand_dims(inputs: Inputs) -> Tensor:
    x, axes = tensor(inputs, "x"), integers(inputs, "axes")
    rank = x.dim() + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _squeeze(inputs: Inputs) -> Tensor:
    x = tensor(inputs, "x")
    return x.squeeze(tuple(integers(inputs, "axes", [i for i, n in enumerate(x.shape) if n == 1])))


def _concat(inputs: Inputs) -> Tensor:
    values = tensors(inputs, "values")
    axis = integer(inputs, "axis") % values[0].dim()
    if flag(inputs, "interleave", False):
        return torch.stack(values, dim=axis + 1).flatten(axis, axis + 1)
    return torch.cat(values, dim=axis)


def _split(inputs: Inputs) -> Sequence[Tensor]:
    x, axis = tensor(inputs, "x"), integer(inputs, "axis")
    if "split_sizes" in inputs:
        return torch.split(x, integers(inputs, "split_sizes"), dim=axis)
    return torch.tensor_split(x, integer(inputs, "num_splits"), dim=axis)


def _slice_by_index(inputs: Inputs) -> Tensor:
    x = tensor(inputs, "x")
    begin, end = integers(inputs, "begin"), integers(inputs, "end")
    stride = integers(inputs, "stride", [1] * x.dim())
    no_begin, no_end, single = (
        integers(inputs, name, [0] * x.dim()) for name in ("begin_mask", "end_mask", "squeeze_mask")
    )
    squeezed = []
    for axis, length in enumerate(x.shape):
        if single[axis]:
            x = x.narrow(axis, begin[axis] % length, 1)
            squeezed.append(axis)
            continue
        indices = range(length)[slice(
            None if no_begin[axis] else begin[axis], None if no_end[axis] else end[axis], stride[axis]
        )]  # fmt: skip
        if indices != range(length):
            x = x.index_select(axis, torch.tensor(indices))
    return x.squeeze(tuple(squeezed)) if squeezed else x


def _slice_by_size(inputs: Inputs) -> Tensor:
    x = tensor(inputs, "x")
    for axis, (begin, size) in enumerate(zip(integers(inputs, "begin"), integers(inputs, "size"), strict=True)):
        x = x.narrow(axis, begin, x.shape[axis] - begin if size == -1 else size)
    return x


def _pad(inputs: Inputs) -> Tensor:
    x, pad, mode = tensor(inputs, "x"), integers(inputs, "pad"), text(inputs, "mode", "constant")
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]  # of the last axes
    if mode == "constant":
        amounts = [n for pair in reversed(pairs) for n in pair]  # torch counts from the last axis
        return functional.pad(x, amounts, value=number(inputs, "constant_val", 0.0))
    for axis, (before, after) in enumerate(pairs, x.dim() - len(pairs)):
        last = x.shape[axis] - 1
        indices = torch.arange(-before, last + 1 + after)
        if mode == "reflect":
            indices = last - (last - indices.abs()).abs()
        x = x.index_select(axis, indices.clamp(0, last))
    return x


def _crop(inputs: Inputs) -> Tensor:
    x, rows, columns = tensor(inputs, "x"), integers(inputs, "crop_height"), integers(inputs, "crop_width")
    return x[..., rows[0] : x.shape[-2] - rows[1], columns[0] : x.shape[-1] - columns[1]]


def _depth_to_space(inputs: Inputs) -> Tensor:
    x, block = tensor(inputs, "x"), integer(inputs, "block_size")
    n, c, h, w = x.shape
    x = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // block**2, h * block, w * block)


def _space_to_depth(inputs: Inputs) -> Tensor:
    x, block = tensor(inputs, "x"), integer(inputs, "block_size")
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * block**2, h // block, w // block)


def _gather(inputs: Inputs) -> Tensor:
    x, indices, axis = tensor(inputs, "x"), tensor(inputs, "indices").long(), integer(inputs, "axis", 0)
    if integer(inputs, "batch_dims", 0):
        raise ExportError("our interpreter does not know gather with batch_dims")
    picked = x.index_select(axis, (indices % x.shape[axis]).reshape(-1))
    return picked.unflatten(axis, tuple(indices.shape)) if indices.dim() else picked.squeeze(axis)


OPS: Mapping[str, Operation] = {
    "abs": _unary(torch.abs),
    "ceil": _unary(torch.ceil),
    "cos": _unary(torch.cos),
    "erf": _unary(torch.erf),
    "exp": _unary(torch.exp),
    "floor": _unary(torch.floor),
    "identity": _unary(lambda x: x),
    "cast": _unary(lambda x: x),  # rounding to the declared dtype does the cast
    "inverse": lambda i: torch.reciprocal(tensor(i, "x") + number(i, "epsilon", 1e-4)),
    "log": lambda i: torch.log(tensor(i, "x") + number(i, "epsilon", 1e-45)),
    "relu": _unary(torch.relu),
    "relu6": _unary(functional.relu6),
    "round": _unary(torch.round),
    "rsqrt": lambda i: torch.rsqrt(tensor(i, "x") + number(i, "epsilon", 1e-12)),
    "sigmoid": _unary(torch.sigmoid),
    "sign": _unary(torch.sign),
    "silu": _unary(functional.silu),
    "sin": _unary(torch.sin),
    "softplus": _unary(functional.softplus),
    "sqrt": _unary(torch.sqrt),
    "square": _unary(torch.square),
    "tanh": _unary(torch.tanh),
    "clip": lambda i: tensor(i, "x").clamp(number(i, "alpha"), number(i, "beta")),
    "elu": lambda i: functional.elu(tensor(i, "x"), number(i, "alpha")),
    "leaky_relu": lambda i: functional.leaky_relu(tensor(i, "x"), number(i, "alpha")),
    "sigmoid_hard": lambda i: (number(i, "alpha", 0.2) * tensor(i, "x") + number(i, "beta", 0.5)).clamp(0, 1),
    "thresholded_relu": lambda i: torch.where((x := tensor(i, "x")) >= number(i, "alpha"), x, 0.0),
    "gelu": _gelu,
    "softmax": lambda i: torch.softmax(tensor(i, "x"), dim=integer(i, "axis", -1)),
    "add": _binary(torch.add),
    "sub": _binary(torch.sub),
    "mul": _binary(torch.mul),
    "real_div": _binary(torch.true_divide),
    "floor_div": _binary(torch.floor_divide),
    "mod": _binary(torch.remainder),
    "pow": _binary(torch.pow),
    "maximum": _binary(torch.maximum),
    "minimum": _binary(torch.minimum),
    "equal": _binary(torch.eq),
    "not_equal": _binary(torch.ne),
    "greater": _binary(torch.gt),
    "greater_equal": _binary(torch.ge),
    "less": _binary(torch.lt),
    "less_equal": _binary(torch.le),
    "select": lambda i: torch.where(tensor(i, "cond").bool(), tensor(i, "a"), tensor(i, "b")),
    "reduce_mean": _reduction(torch.mean),
    "reduce_sum": _reduction(torch.sum),
    "reduce_max": _reduction(torch.amax),
    "reduce_min": _reduction(torch.amin),
    "concat": _concat,
    "crop": _crop,
    "expand_dims": _expand_dims,
    "gather": _gather,
    "pad": _pad,
    "pixel_shuffle": lambda i: functional.pixel_shuffle(tensor(i, "x"), integer(i, "upscale_factor")),
    "depth_to_space": _depth_to_space,
    "space_to_depth": _space_to_depth,
    "reshape": _reshape,
    "reverse": lambda i: tensor(i, "x").flip(integers(i, "axes", range(tensor(i, "x").dim()))),
    "slice_by_index": _slice_by_index,
    "slice_by_size": _slice_by_size,
    "split": _split,
    "squeeze": _squeeze,
    "stack": lambda i: torch.stack(tensors(i, "values"), dim=integer(i, "axis")),
    "tile": lambda i: tensor(i, "x").repeat(integers(i, "reps")),
    "transpose": lambda i: tensor(i, "x").permute(integers(i, "perm")),
    **LAYERS,
}
