"""A rule that an operation can break, and the form in which a breach is told."""

from collections.abc import Callable
from dataclasses import dataclass

from nelf.export.fit.graph import Graph, Operation


@dataclass(frozen=True)
class Rule:
    """One thing that keeps an operation off an accelerator, or wastes its time.

    leaves: whether the operation then runs elsewhere; otherwise it only costs. because: the reason, for people.
    source: where that is written. broken: (graph, index of the operation) -> what is wrong with it, None if nothing.
    """

    name: str
    leaves: bool
    because: str
    source: str
    broken: Callable[[Graph, int], str | None]


@dataclass(frozen=True)
class Finding:
    """One operation that breaks one rule."""

    rule: Rule
    operation: Operation
    detail: str

    def __str__(self) -> str:
        return f"{self.rule.name}: {self.operation.kind} {self.operation.name}: {self.detail}; {self.rule.because}"


def shape_text(shape: tuple[int | None, ...]) -> str:
    """1x288x?x16."""
    return "x".join("?" if n is None else str(n) for n in shape) or "scalar"
