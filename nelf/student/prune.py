"""Make a trained student smaller: rank its channels by what their loss costs, and keep the best of each layer.

The criterion is the first-order Taylor expansion of Molchanov et al. (CVPR 2019, equation 8): removing a channel
changes the loss by about the sum of gradient times weight over all weights that write it. Its square, averaged over
batches, is the channel's importance. The result is an ordinary student of the same family with a smaller configuration,
so every block of a level keeps the same width; which channels stay is decided for each layer. Pruning goes in rounds,
with training between them.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nelf.core.errors import CheckpointError, ConfigError
from nelf.core.files import read_json, remove, write_json
from nelf.student.config import StudentConfig
from nelf.student.files import load_student, make_student, save_student
from nelf.student.protocol import Student

ROUNDS = 4
ABOUT, STUDENT = "about.json", "student.safetensors"


@dataclass(frozen=True)
class Slots:
    """Where the channels of a group are in one parameter.

    parameter: its name in the state. axis: along which the channels lie. positions: along this axis, of each channel.
    counts: whether these weights make the channel, so that the criterion looks at them.
    """

    parameter: str
    axis: int
    positions: Int[Tensor, "channels slots"]
    counts: bool


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are removed together from every parameter that writes or reads them.

    setting: of the configuration, which decides how many there are. number: of channels for a configuration.
    centred: keep those in the middle whatever their importance, since their places are evenly spaced.
    """

    setting: str
    number: Callable[[StudentConfig], int]
    slots: tuple[Slots, ...]
    centred: bool = False


@runtime_checkable
class Prunable(Protocol):
    """A student that can be pruned."""

    def channel_groups(self) -> Sequence[ChannelGroup]:
        """All groups of channels that may be removed."""

    def smaller_configs(self, config: StudentConfig) -> Mapping[str, StudentConfig]:
        """Setting -> `config` with this setting one step smaller."""


class LimitError(ConfigError):
    """A limit that pruning cannot reach. reached: the least cost."""

    def __init__(self, reached: float, limit: float) -> None:
        super().__init__(f"pruning ends at a cost of {reached:.4g}, above the limit of {limit:.4g}; raise the budget")
        self.reached = reached


Importance = Sequence[Float[Tensor, "_"]]
"""Of each group's channels, in the order of `channel_groups`."""


def groups_of(model: Student) -> Sequence[ChannelGroup]:
    """The groups of `model`. Raises ConfigError for a family that cannot be pruned."""
    if not isinstance(model, Prunable):
        raise ConfigError(f"student={model.config.name} cannot be pruned; use a run with student=s, m or l")
    return model.channel_groups()


def importance(model: Student, losses: Iterable[Tensor]) -> Importance:
    """Importance of each channel. losses: of some batches, each computed when it is asked for, and at least one."""
    groups = groups_of(model)
    weights = dict(model.named_parameters())
    used = sorted({slots.parameter for group in groups for slots in group.slots if slots.counts})
    sums: list[Tensor] | None = None
    number = 0
    for loss in losses:
        gradients = torch.autograd.grad(loss, [weights[name] for name in used], allow_unused=True)
        products = {
            name: (gradient * weights[name]).detach().float().cpu()
            for name, gradient in zip(used, gradients, strict=True)
            if gradient is not None
        }
        found = [_change(group, products).square() for group in groups]
        sums = found if sums is None else [total + more for total, more in zip(sums, found, strict=True)]
        number += 1
    if sums is None:
        raise ConfigError("there are no views to rank channels on; render some with: nelf distill RUN")
    return [total / number for total in sums]


def _change(group: ChannelGroup, products: Mapping[str, Tensor]) -> Float[Tensor, "channels"]:
    """First-order change of the loss by the removal of each channel. products: gradient times weight."""
    parts = [
        products[slots.parameter].movedim(slots.axis, 0)[slots.positions].flatten(1).sum(dim=1)
        for slots in group.slots
        if slots.counts and slots.parameter in products
    ]
    return torch.stack(parts).sum(dim=0) if parts else torch.zeros(len(group.slots[0].positions))


def choose(model: Student, scores: Importance, cost: Callable[[StudentConfig], float], limit: float) -> StudentConfig:
    """A smaller configuration that costs at most `limit`.

    Step by step the setting shrinks whose channels have the least importance for the cost that they save. Raises
    LimitError if the limit cannot be reached.
    """
    groups = groups_of(model)
    assert isinstance(model, Prunable)
    config = model.config
    now, lost = cost(config), 0.0
    while now > limit:
        best: tuple[float, float, float, StudentConfig] | None = None
        for smaller in model.smaller_configs(config).values():
            price, loss = cost(smaller), _lost(groups, scores, smaller)
            if price < now and (best is None or (loss - lost) / (now - price) < best[0]):
                best = (loss - lost) / (now - price), price, loss, smaller
        if best is None:
            raise LimitError(now, limit)
        _, now, lost, config = best
    return config


def _lost(groups: Sequence[ChannelGroup], scores: Importance, config: StudentConfig) -> float:
    """Importance of all channels that `config` has no room for."""
    total = 0.0
    for group, score in zip(groups, scores, strict=True):
        total += float(score.sum() - score[_kept(group, score, config)].sum())
    return total


def _kept(group: ChannelGroup, score: Float[Tensor, "channels"], config: StudentConfig) -> Int[Tensor, "kept"]:
    """The channels that stay, in their order."""
    number = group.number(config)
    if group.centred:
        first = (len(score) - number) // 2
        return torch.arange(first, first + number)
    return score.topk(number).indices.sort().values


def shrink(model: Student, scores: Importance, config: StudentConfig) -> Student:
    """The student with the sizes of `config`, made of the most important channels of `model`; on the CPU."""
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    stays: dict[tuple[str, int], Tensor] = {}
    for group, score in zip(groups_of(model), scores, strict=True):
        kept = set(_kept(group, score, config).tolist())
        removed = [channel for channel in range(len(score)) if channel not in kept]
        for slots in group.slots:
            key = slots.parameter, slots.axis
            mask = stays.setdefault(key, torch.ones(state[slots.parameter].shape[slots.axis], dtype=torch.bool))
            mask[slots.positions[removed].flatten()] = False
    for (name, axis), mask in stays.items():
        state[name] = state[name].index_select(axis, mask.nonzero()[:, 0])
    smaller = make_student(config, model.frame)
    smaller.load_state_dict(state)
    return smaller.eval()


Losses = Callable[[Student], Iterable[Tensor]]
"""The losses of a student on some batches of pseudo views, each computed when it is asked for."""
Tune = Callable[[Student, Path, int], Student]
"""Trains a student after a round, with the number of the round and a folder; goes on where it was interrupted."""


def prune_in_rounds(
    student: Student,
    cost: Callable[[StudentConfig], float],
    limit: float,
    losses: Losses,
    tune: Tune,
    folder: Path,
    about: object,
    echo: Callable[[str], None],
    rounds: int = ROUNDS,
) -> Student:
    """A student of the same family that costs at most `limit`.

    Every round removes the same share of what it finds. Finished rounds are kept in `folder` and not done again,
    unless `about`, which is everything that they depend on, has changed. Raises LimitError if the limit is too low.
    """
    if not is_begun(folder, about):
        remove(folder)
        write_json(folder / ABOUT, about)
    first = cost(student.config)
    limit = min(limit, first)
    choose(student, importance(student, losses(student)), cost, limit)  # refuses a limit before any training
    for number in range(1, rounds + 1):
        done = folder / f"round-{number}" / STUDENT
        if done.is_file():
            student = load_student(done)
            continue
        scores = importance(student, losses(student))
        smaller = choose(student, scores, cost, first * (limit / first) ** (number / rounds))
        student = tune(shrink(student, scores, smaller), done.parent, number)
        save_student(done, student)
        echo(f"fit: round {number} of {rounds}: pruned from {first:.4g} to {cost(student.config):.4g}")
    return student.eval()


def is_begun(folder: Path, about: object) -> bool:
    """Whether `folder` has rounds of pruning about the same."""
    try:
        found: object = read_json(folder / ABOUT)
    except (OSError, ValueError):  # none, or damaged
        return False
    return found == json.loads(json.dumps(about))


def check_start(path: Path) -> Student:
    """The student to prune. Raises CheckpointError where a run has none."""
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist, so there is nothing to prune; train it first: nelf train RUN")
    return load_student(path)
