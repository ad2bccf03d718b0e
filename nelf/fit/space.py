"""The networks that a search may choose from: a family's settings, each with a few values from cheap to costly."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nelf.core.errors import ConfigError
from nelf.fit.budget import Budget, nearest
from nelf.fit.operations import Counts, count_operations
from nelf.student import SceneGeometry, StudentConfig, make_student

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
