"""Optimizers by name."""

from collections.abc import Callable, Iterable

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from nelf.train.muon import Muon


def _adamw(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, fused: bool) -> Optimizer:
    return AdamW(parameters, lr, weight_decay=weight_decay, fused=fused)


def _adam(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, fused: bool) -> Optimizer:
    return Adam(parameters, lr, weight_decay=weight_decay, fused=fused)


def _sgd(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, fused: bool) -> Optimizer:
    return SGD(parameters, lr, momentum=0.9, nesterov=True, weight_decay=weight_decay, fused=fused)


def _muon(parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, fused: bool) -> Optimizer:
    return Muon(parameters, lr, weight_decay)


OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter], float, float, bool], Optimizer]] = {
    "adamw": _adamw,
    "adam": _adam,
    "sgd": _sgd,
    "muon": _muon,
}
"""name -> (parameters, rate, weight decay, whether in one fused kernel) -> optimizer."""
