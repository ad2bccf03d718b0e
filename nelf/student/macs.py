"""Multiply-accumulates of a network. Students and exported files are counted in the same way."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from nelf.student.deploy import Layout
from nelf.student.protocol import Student


def layer_macs(weight: Sequence[int], positions: int) -> int:
    """Multiply-accumulates of a layer that uses each weight once per position.

    weight: shape of the weights without bias. positions: of the output for a convolution or a matrix product with
    constants (rows), of the input for a transposed convolution; times the batch.
    """
    return math.prod(weight) * positions


def count_macs(model: Student) -> int:
    """Multiply-accumulates of all convolutions and linear layers of the deployed network, for one image."""
    return network_macs(model.deploy(Layout.CHANNELS_FIRST, torch.float32), (1, 3, 4))


@torch.no_grad()
def network_macs(network: nn.Module, *shapes: Sequence[int]) -> int:
    """The same of a network, or a part of one, in channels first, for one input of each shape.

    Moves it to the meta device, so nothing is computed.
    """
    total = 0

    def add(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            grid = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
            total += layer_macs(module.weight.shape, grid.shape[2:].numel())
        elif isinstance(module, nn.Linear):
            total += layer_macs(module.weight.shape, output.shape[:-1].numel())

    network = network.to("meta")
    for module in network.modules():
        module.register_forward_hook(add)
    network(*(torch.empty(shape, device="meta") for shape in shapes))
    return total
