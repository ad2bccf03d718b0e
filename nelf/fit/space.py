"""The networks that a search may choose from, and what each costs: a budget, amounts of work, the size of the file.

The work of a network is counted by running it once on the meta device, where nothing is computed, and noting every
operation of PyTorch. This works for every student family; a new kind of layer only needs an entry in `KINDS`.
"""

import dataclasses
import enum
import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nelf.core.errors import ConfigError
from nelf.student import Layout, SceneGeometry, Student, StudentConfig, make_student

_FORM = re.compile(r"(\d+(?:\.\d+)?|\.\d+) ?(ms|MB)")


class Unit(enum.StrEnum):
    """What a budget limits."""

    MILLISECONDS = "ms"
    """Of one image on the device."""
    MEGABYTES = "MB"
    """Of the model file, 10^6 bytes each."""


@dataclass(frozen=True)
class Budget:
    """The most that a student may cost."""

    amount: float
    unit: Unit

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """A budget from the command line, such as "16ms", "2MB" or "0.5 MB". Raises ConfigError."""
        found = _FORM.fullmatch(text.strip())
        if found is None or float(found[1]) <= 0:
            raise ConfigError(f"--budget {text} is not a time or a size; use e.g. --budget 16ms or --budget 2MB")
        return cls(float(found[1]), Unit(found[2]))

    @property
    def needs_table(self) -> bool:
        """Whether the device must be measured first."""
        return self.unit is Unit.MILLISECONDS

    def show(self, amount: float) -> str:
        """An amount in the budget's unit, for people."""
        return f"{float(f'{amount:.3g}'):g} {self.unit.value}"

    def least(self, amount: float) -> "Budget":
        """The budget to use for a network that costs `amount`: a little more, in three digits, rounded up."""
        step = 10.0 ** (math.floor(math.log10(amount)) - 2)
        return Budget(float(f"{math.ceil(1.05 * amount / step) * step:.3g}"), self.unit)

    def __str__(self) -> str:
        return f"{self.amount:g}{self.unit.value}"


def nearest(budget: Budget, smallest: float, describe: Callable[[], str]) -> ConfigError:
    """The error for a budget that no network keeps. smallest: cost of the cheapest. describe: its settings."""
    return ConfigError(
        f"--budget {budget}: no student of this family is so cheap; the cheapest costs about {budget.show(smallest)} "
        f"({describe()}); use --budget {budget.least(smallest)} or more, or smaller images (scene.downscale)"
    )


LANES = 8
"""Output channels that a kernel computes together: a layer of 9 channels takes the time of 16."""

NETWORK, CALLS = "network", "operations"
"""Amounts of every network: 1 for its start, and the number of its operations."""


@dataclass(frozen=True)
class Counts:
    """work: amount of each kind, for one image. macs: multiply-adds of all convolutions. weights: numbers in a file."""

    work: Mapping[str, float]
    macs: int
    weights: int


@torch.no_grad()
def count_operations(model: Student) -> Counts:
    """The work of a student's deployed network, in the layout of LiteRT."""
    deployed = model.deploy(Layout.CHANNELS_LAST, torch.float32)
    weights = sum(value.numel() for value in (*deployed.parameters(), *deployed.buffers()))
    deployed = deployed.to("meta")
    with _Recorder() as recorder:
        deployed(torch.empty(1, 3, 4, device="meta"))
    return Counts({NETWORK: 1.0, **recorder.work}, recorder.macs, weights)


class _Recorder(TorchDispatchMode):
    """Adds up the work of every operation in its block."""

    def __init__(self) -> None:
        super().__init__()
        self.work: dict[str, float] = defaultdict(float)
        self.macs = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "convolution":
            self._convolution(args, result)
        elif (kind := KINDS.get(name)) is not None:
            self.work[kind] += result.numel()
        else:
            return result
        if name == "embedding":
            self.work["rows"] += result.shape[:-1].numel()
        self.work[CALLS] += 1
        return result

    def _convolution(self, args: tuple[Any, ...], result: Tensor) -> None:
        image, weight, transposed = args[0], args[1], bool(args[6])
        grid = (image if transposed else result).shape[2:].numel()
        macs = math.prod(weight.shape) * grid
        channels = result.shape[1]
        padded = macs * (math.ceil(channels / LANES) * LANES) / channels
        kind = "transposed" if transposed else "pointwise" if weight.shape[2:].numel() == 1 else "convolution"
        self.work[kind] += padded
        self.work["convolved"] += image.numel() + result.numel()
        self.macs += macs


KINDS: Mapping[str, str] = {
    "embedding": "lookup",
    "gelu": "gelu",
    **dict.fromkeys(("_softmax", "sigmoid", "sin", "cos"), "activation"),
    **dict.fromkeys(("add", "mul", "sub", "rsub", "div", "reciprocal", "minimum", "maximum"), "arithmetic"),
    **dict.fromkeys(("clamp", "floor", "_to_copy", "abs", "relu", "sum", "mm", "addmm"), "arithmetic"),
    **dict.fromkeys(("cat", "clone", "pixel_shuffle", "native_batch_norm"), "moved"),
}
"""Operation of PyTorch -> kind of work; its amount are the elements of the result. Others cost nothing: views."""

BYTES = {"fp32": 4, "fp16": 2}
"""Precision -> bytes of a weight in the file."""
OVERHEAD = {"fp32": 205_000, "fp16": 75_000}
"""Bytes of a LiteRT file apart from its weights, rounded up: 172,000 to 200,000 and 55,000 to 66,000 were found."""


def file_megabytes(counts: Counts, precision: str) -> float:
    """Size of the LiteRT file in MB (10^6 bytes)."""
    return (counts.weights * BYTES[precision] + OVERHEAD[precision]) / 1e6


CLOSE = 0.75
"""A network is worth a trial if it uses this share of the budget: a larger one is nearly always better."""
MOST_WALKS = 200
"""Random networks that are led to the budget before the search gives up finding new ones."""

Values = Mapping[str, int]
"""Setting -> value."""


class SearchSpace:
    """All networks of one family for one scene.

    base: what every network has in common. frame: image size and geometry.
    """

    def __init__(self, base: StudentConfig, frame: SceneGeometry) -> None:
        """Raises ConfigError for a family without sizes to choose from."""
        if not base.choices:
            raise ConfigError(f"student={base.name} has one size, so there is nothing to fit; use student=m")
        self.base, self.frame = base, frame
        self.choices = base.choices
        self._known: dict[str, Counts] = {}

    def config(self, values: Values) -> StudentConfig:
        """The configuration with these values."""
        return dataclasses.replace(self.base, **dict[str, Any](values))

    def count(self, config: StudentConfig) -> Counts:
        """The work of a network for one image; each is counted once."""
        key = repr(config)
        if key not in self._known:
            self._known[key] = count_operations(make_student(config, self.frame))
        return self._known[key]

    def smallest(self) -> Values:
        """The cheapest network."""
        return {name: options[0] for name, options in self.choices.items()}

    def largest(self) -> Values:
        """The costliest network."""
        return {name: options[-1] for name, options in self.choices.items()}

    def nearest_to(self, config: StudentConfig) -> Values:
        """The network of this space that is most like `config`."""
        return {
            name: min(options, key=lambda option: abs(option - getattr(config, name)))
            for name, options in self.choices.items()
        }

    def random(self, draws: np.random.Generator) -> Values:
        """Any network."""
        return {name: options[int(draws.integers(len(options)))] for name, options in self.choices.items()}

    def evenly(self, number: int, draws: np.random.Generator) -> list[Values]:
        """`number` networks in which every value of a setting occurs about equally often (a Latin hypercube)."""
        columns = {
            name: draws.permutation([options[i * len(options) // number] for i in range(number)]).tolist()
            for name, options in self.choices.items()
        }
        return [{name: column[i] for name, column in columns.items()} for i in range(number)]

    def neighbours(self, values: Values, direction: int) -> list[Values]:
        """The networks with one setting a step costlier (direction 1) or cheaper (-1)."""
        found: list[Values] = []
        for name, options in self.choices.items():
            place = options.index(values[name]) + direction
            if 0 <= place < len(options):
                found.append({**values, name: options[place]})
        return found

    def toward(
        self, values: Values, cost: Callable[[StudentConfig], float], budget: float, draws: np.random.Generator
    ) -> Values | None:
        """From a network by random steps of single settings to one that costs `CLOSE` to all of `budget`.

        None if no such network lies on the way; if even the largest network is cheaper, then the largest.
        """
        now = cost(self.config(values))
        seen = {tuple(values.items())}
        while not CLOSE * budget <= now <= budget:
            options = self.neighbours(values, 1 if now < budget else -1)
            if not options:
                return values if now <= budget else None
            values = options[int(draws.integers(len(options)))]
            if tuple(values.items()) in seen:
                return None
            seen.add(tuple(values.items()))
            now = cost(self.config(values))
        return values

    def within(
        self, number: int, cost: Callable[[StudentConfig], float], budget: Budget, draws: np.random.Generator
    ) -> list[Values]:
        """Up to `number` different networks within the budget, the first of them like `base`.

        Raises ConfigError, with the nearest possible, if no network keeps the budget.
        """
        smallest = self.smallest()
        if (least := cost(self.config(smallest))) > budget.amount:
            raise nearest(budget, least, lambda: ", ".join(f"{name}={value}" for name, value in smallest.items()))
        found: list[Values] = []
        for walk in range(MOST_WALKS + number):
            start = self.random(draws) if walk else self.nearest_to(self.base)
            reached = self.toward(start, cost, budget.amount, draws)
            if reached is not None and reached not in found:
                found.append(reached)
            if len(found) == number:
                break
        return found or [smallest]
