"""The verdict on one model file: which of its work an accelerator would take, and what is in the way."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from nelf.export.fit.findings import Finding, shape_text
from nelf.export.fit.graph import MOVES, Graph, Operation, operation_macs
from nelf.export.fit.rules import ACCELERATORS, RULES

SMALL_PRELUDE = 0.25
"""Share of the first multiplying operation's input that a tensor before it may have and still count as small."""

EXCUSED = frozenset({"full precision", "sine or cosine"})
"""Rules that small operations before the network, and moves after it, may break."""


@dataclass(frozen=True)
class Fit:
    """What the rules say of a file.

    macs: of one image. accelerated_macs: those of operations that no rule sends elsewhere.
    stretches: uninterrupted runs of such operations between the first and the last that multiply; 1 is best.
    violations: what should not be. by_design: operations that the rules send elsewhere and that may be there: small
    ones that multiply nothing and come before everything that does (the phases of the ray encoding, in float32), and
    moves that only hand the image out.
    """

    accelerator: str
    operations: int
    macs: int
    accelerated_macs: int
    stretches: int
    violations: tuple[Finding, ...]
    by_design: tuple[Finding, ...]

    @property
    def share(self) -> float:
        """Of the multiply-accumulates, how many are accelerated; 1 where there are none."""
        return self.accelerated_macs / self.macs if self.macs else 1.0

    def lines(self) -> Iterator[str]:
        """For people, a line each."""
        count = f"{len(self.violations)} violations" if self.violations else "no violations"
        stretches = "one stretch" if self.stretches == 1 else f"{self.stretches} stretches"
        yield (
            f"fit for {self.accelerator}: {self.share:.1%} of {self.macs / 1e9:.3f} GMAC in {stretches}, {count} "
            f"among {self.operations} operations (by published rules; only a device can tell)"
        )
        for finding in self.violations:
            yield f"violation: {finding} ({finding.rule.source})"
        for name, group in itertools.groupby(sorted(self.by_design, key=lambda f: f.rule.name), lambda f: f.rule.name):
            found = list(group)
            widest = max((t for f in found for t in f.operation.outputs), key=lambda t: t.elements)
            yield (
                f"by design: {len(found)} small operations off it before the network or after it ({name}), "
                f"the largest gives {shape_text(widest.shape)}"
            )


def judge(graph: Graph) -> Fit:
    """Hold the rules of its format against every operation of a file."""
    found = [list(_findings(graph, index)) for index in range(len(graph.operations))]
    macs = [operation_macs(graph.format, op) for op in graph.operations]
    leaves = [any(finding.rule.leaves for finding in each) for each in found]
    working = [index for index, count in enumerate(macs) if count] or [0]
    first, last = working[0], working[-1]
    limit = SMALL_PRELUDE * _image_elements(graph.operations[first]) if graph.operations else 0
    violations: list[Finding] = []
    by_design: list[Finding] = []
    for index, each in enumerate(found):
        op = graph.operations[index]
        excused = (index < first and op.largest <= limit) or (index > last and op.kind in MOVES)
        for finding in each:
            if excused and not finding.rule.leaves:
                continue  # a small one: nothing to gain
            may_be = excused and not macs[index] and finding.rule.name in EXCUSED
            (by_design if may_be else violations).append(finding)
    between = [leaves[index] for index in range(first, last + 1)]
    return Fit(
        accelerator=ACCELERATORS[graph.format],
        operations=len(graph.operations),
        macs=sum(macs),
        accelerated_macs=sum(count for count, away in zip(macs, leaves, strict=True) if not away),
        stretches=sum(1 for away, _ in itertools.groupby(between) if not away),
        violations=tuple(violations),
        by_design=tuple(by_design),
    )


def _findings(graph: Graph, index: int) -> Iterator[Finding]:
    for rule in RULES[graph.format]:
        detail = rule.broken(graph, index)
        if detail is not None:
            yield Finding(rule, graph.operations[index], detail)


def _image_elements(op: Operation) -> int:
    return max((one.elements for one in op.inputs if not one.constant), default=0)
