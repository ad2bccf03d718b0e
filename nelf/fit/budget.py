"""What a student may cost: a time or a size, such as 16ms or 2MB, and how a network's cost is predicted."""

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass

from nelf.core.errors import ConfigError

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
        return f"{amount:.3g} {self.unit.value}"

    def __str__(self) -> str:
        return f"{self.amount:g}{self.unit.value}"


def nearest(budget: Budget, smallest: float, describe: Callable[[], str]) -> ConfigError:
    """The error for a budget that no network keeps. smallest: cost of the cheapest. describe: its settings."""
    least = Budget(round(smallest * 1.05, 2), budget.unit)
    return ConfigError(
        f"--budget {budget}: no student of this family is so cheap; the cheapest costs about {budget.show(smallest)} "
        f"({describe()}); use --budget {least} or more, or smaller images (scene.downscale)"
    )
