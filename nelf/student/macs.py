"""Multiply-accumulates of a network: the one way in which nelf counts them, of a student and of an exported file."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nelf.student.grid import FactoredGrid
from nelf.student.nelf import NeLF


def layer_macs(weight: Sequence[int], positions: int) -> int:
    """Of a layer that uses each of its weights once at every position.

    weight: shape of the weights, biases apart. positions: of the output for a convolution or a matrix product with
    constants (rows), of the input for a transposed convolution; times the batch.
    """
    return math.prod(weight) * positions


@torch.no_grad()
def count_macs(model: NeLF) -> int:
    """Of all convolutions, exported ones included, for one image (found on the meta device: nothing is computed)."""
    total = 0

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            grid = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
            total += layer_macs(module.weight.shape, grid.shape[2:].numel())
        elif isinstance(module, FactoredGrid):
            functions, nodes = module.values.shape
            spread = 3 * 3  # a convolution of an exported file takes three coordinates to the nodes of three axes
            total += layer_macs((functions + spread, nodes), output.shape[2:].numel())

    twin = NeLF(model.config, dataclasses.replace(model.frame)).to("meta").eval()
    for module in twin.modules():
        module.register_forward_hook(add)
    twin(torch.empty(1, 3, 4, device="meta"))
    return total
