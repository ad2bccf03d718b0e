"""Values in Core ML programs: inputs of operations, and stored weights."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from nelf.core.errors import ExportError

Value: TypeAlias = Tensor | str | Sequence[Tensor]
Inputs: TypeAlias = Mapping[str, Value]


def tensor(inputs: Inputs, name: str) -> Tensor:
    """The input of this name, which must be a tensor."""
    value = inputs[name]
    assert isinstance(value, Tensor), f"{name} is no tensor"
    return value


def optional(inputs: Inputs, name: str) -> Tensor | None:
    """The tensor of this name; None where the operation does not have it."""
    return tensor(inputs, name) if name in inputs else None


def tensors(inputs: Inputs, name: str) -> list[Tensor]:
    """An input that is a list of tensors."""
    return [torch.as_tensor(item) for item in inputs[name]]


def integers(inputs: Inputs, name: str, default: Iterable[int] | None = None) -> list[int]:
    """A constant list of integers or booleans."""
    if name not in inputs and default is not None:
        return list(default)
    return [int(n) for n in tensor(inputs, name).reshape(-1).tolist()]


def integer(inputs: Inputs, name: str, default: int | None = None) -> int:
    """An input that is one whole number."""
    return integers(inputs, name, None if default is None else [default])[0]


def flag(inputs: Inputs, name: str, default: bool) -> bool:
    """An input that is true or false."""
    return bool(integer(inputs, name, int(default)))


def number(inputs: Inputs, name: str, default: float | None = None) -> float:
    """An input that is one number."""
    if name not in inputs and default is not None:
        return default
    return float(tensor(inputs, name))


def text(inputs: Inputs, name: str, default: str) -> str:
    """An input that is a word."""
    return str(inputs.get(name, default))


Arrays = Mapping[str, np.ndarray]
"""The inputs of an operation, by name."""


def _affine_dequantize(inputs: Arrays) -> np.ndarray:
    data, scale = inputs["quantized_data"], inputs["scale"]
    shape = [1] * data.ndim
    shape[int(inputs["axis"])] = -1

    def along(value: np.ndarray) -> np.ndarray:
        return value.reshape(shape) if value.ndim else value

    return (data.astype(np.float32) - along(inputs["zero_point"]).astype(np.float32)) * along(scale)


def _spread(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Repeat each value along the leading axes over its block."""
    for axis, length in enumerate(shape):
        value = np.repeat(value, length // value.shape[axis], axis)
    return value


def _blockwise_shift_scale(inputs: Arrays) -> np.ndarray:
    data, scale = inputs["data"], inputs["scale"]
    shifted = data.astype(np.float32)
    if "offset" in inputs:
        shifted = shifted - _spread(inputs["offset"], data.shape).astype(np.float32)
    return shifted * _spread(scale, data.shape)


def _lut_to_dense(inputs: Arrays) -> np.ndarray:
    if "shape" in inputs:  # iOS16: one palette, indices packed from the lowest bit on
        return inputs["lut"][_packed_indices(inputs)].reshape(inputs["shape"])
    indices, lut = inputs["indices"].astype(np.int64), inputs["lut"]
    if lut.shape[-1] != 1:
        raise ExportError(
            f"constexpr_lut_to_dense has a palette of vectors of {lut.shape[-1]} values, which our interpreter cannot "
            "unfold; compress with cluster_dim=1"
        )
    palettes = _spread(lut[..., 0], indices.shape)  # [*shape, values]
    return np.take_along_axis(palettes, indices[..., None], axis=-1)[..., 0]


def _packed_indices(inputs: Arrays) -> np.ndarray:
    bits = int(np.log2(len(inputs["lut"])))
    count = int(np.prod(inputs["shape"]))
    digits = np.unpackbits(inputs["indices"].astype(np.uint8), bitorder="little")[: count * bits]
    return digits.reshape(count, bits).astype(np.int64) @ (1 << np.arange(bits))


def _sparse_to_dense(inputs: Arrays) -> np.ndarray:
    mask, shape = inputs["mask"], inputs["mask"].shape
    if "shape" in inputs:  # iOS16: the mask is packed
        shape = tuple(int(n) for n in inputs["shape"])
        mask = np.unpackbits(mask.astype(np.uint8), bitorder="little")[: int(np.prod(shape))]
    dense = np.zeros(shape, inputs["nonzero_data"].dtype)
    dense[mask.reshape(shape) != 0] = inputs["nonzero_data"]
    return dense


UNFOLD: Mapping[str, Callable[[Arrays], np.ndarray]] = {
    "constexpr_affine_dequantize": _affine_dequantize,
    "constexpr_blockwise_shift_scale": _blockwise_shift_scale,
    "constexpr_cast": lambda inputs: inputs["source_val"],
    "constexpr_lut_to_dense": _lut_to_dense,
    "constexpr_sparse_to_dense": _sparse_to_dense,
}
"""Operation -> the weights, before rounding to the declared dtype."""
