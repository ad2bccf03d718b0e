"""Reading the inputs of a Core ML operation: tensors as they are, constants as Python values."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

Value: TypeAlias = Tensor | str | Sequence[Tensor]
Inputs: TypeAlias = Mapping[str, Value]


def tensor(inputs: Inputs, name: str) -> Tensor:
    value = inputs[name]
    assert isinstance(value, Tensor), f"{name} is no tensor"
    return value


def optional(inputs: Inputs, name: str) -> Tensor | None:
    return tensor(inputs, name) if name in inputs else None


def tensors(inputs: Inputs, name: str) -> list[Tensor]:
    return [torch.as_tensor(item) for item in inputs[name]]


def integers(inputs: Inputs, name: str, default: Iterable[int] | None = None) -> list[int]:
    """A constant list of integers or booleans."""
    if name not in inputs and default is not None:
        return list(default)
    return [int(n) for n in tensor(inputs, name).reshape(-1).tolist()]


def integer(inputs: Inputs, name: str, default: int | None = None) -> int:
    return integers(inputs, name, None if default is None else [default])[0]


def flag(inputs: Inputs, name: str, default: bool) -> bool:
    return bool(integer(inputs, name, int(default)))


def number(inputs: Inputs, name: str, default: float | None = None) -> float:
    if name not in inputs and default is not None:
        return default
    return float(tensor(inputs, name))


def text(inputs: Inputs, name: str, default: str) -> str:
    return str(inputs.get(name, default))
