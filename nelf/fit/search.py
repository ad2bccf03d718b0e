"""Successive halving (Jamieson and Talwalkar 2016; Hyperband, Li et al. 2018): many short trainings, few long ones.

Every round trains some networks for the same minutes. The best third goes on to the next round, from the weights that
it has, for three times as long; so each round takes the same time. The predicted cost of every network is within the
budget, and from the second round on the measured cost too, if the device can be asked.
"""

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nelf.core.errors import ConfigError
from nelf.core.files import read_json, remove, write_json
from nelf.core.progress import duration, step, steps
from nelf.fit.space import Budget, Values

KEPT = 3  # one of so many networks goes on to the next round
ROUNDS = 3
SHORTEST = 0.75  # minutes: shorter trainings say little
MOST_NETWORKS = 81
TRIES = 3  # measurements of a network whose first one is beyond the budget
FORMAT = "nelf-fit-1"
STATE = "search.json"


@dataclass(frozen=True)
class Rung:
    """One round: so many networks are trained for so many minutes each."""

    networks: int
    minutes: float


def plan_rungs(minutes: float) -> list[Rung]:
    """The rounds of a search that trains for `minutes` in all."""
    for rounds in range(ROUNDS, 1, -1):
        first = min(MOST_NETWORKS, int(minutes / rounds / SHORTEST))
        if first >= KEPT ** (rounds - 1):
            counts = [first // KEPT**number for number in range(rounds)]
            return [Rung(count, minutes / rounds / count) for count in counts]
    count = max(1, int(minutes / SHORTEST))
    return [Rung(count, minutes / count)]


@dataclass
class Candidate:
    """A network that was tried.

    predicted: its cost in the budget's unit. megabytes: of its file, predicted. milliseconds: predicted, or None
    without a table. psnr: after each round, on views that it was not trained on. measured: its cost on the device; None
    if not asked.
    """

    number: int
    values: dict[str, int]
    predicted: float
    megabytes: float
    milliseconds: float | None = None
    psnr: list[float] = field(default_factory=list)
    measured: float | None = None

    @property
    def cost(self) -> float:
        """In the budget's unit: measured, else predicted."""
        return self.predicted if self.measured is None else self.measured

    @property
    def rank(self) -> tuple[int, float]:
        """Higher is better: rounds, then PSNR in the last one."""
        return len(self.psnr), self.psnr[-1] if self.psnr else 0.0


def front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other beats in both cost and PSNR, cheapest first. PSNR is that of each one's last round."""
    found: list[Candidate] = []
    for one in sorted((c for c in candidates if c.psnr), key=lambda c: (c.cost, -c.psnr[-1])):
        if not found or one.psnr[-1] > found[-1].psnr[-1]:
            found.append(one)
    return found


Score = Callable[[Candidate, int, Rung], float]
"""Trains a candidate in the round with this number, from 0, and returns its PSNR. Goes on where it was interrupted."""
Measure = Callable[[Candidate], float | None]
"""The cost of a candidate on the device, in the budget's unit; None if it cannot be measured."""


class Search:
    """The state of one search, kept in its folder after every training."""

    def __init__(self, folder: Path, about: dict[str, Any], budget: Budget, rungs: Sequence[Rung]) -> None:
        """about: everything that the search depends on, as JSON. A search about something else does not count."""
        self.folder, self.about, self.budget, self.rungs = folder, about, budget, list(rungs)
        self.candidates: list[Candidate] = []
        self.best: int | None = None
        try:
            found = read_json(folder / STATE)
            same = found["format"] == FORMAT and found["about"] == about
            kept = [Candidate(**one) for one in found["candidates"]] if same else []
        except (OSError, ValueError, KeyError, TypeError):  # none yet, or damaged: the search starts
            kept = []
        if kept:
            self.candidates, self.best = kept, found["best"]

    def begin(self, networks: Sequence[Values], describe: Callable[[Values], Candidate]) -> None:
        """Take these networks, in place of any other search. describe: makes the candidate, without its number."""
        remove(self.folder)
        self.candidates = [
            dataclasses.replace(describe(values), number=number) for number, values in enumerate(networks, 1)
        ]
        self.write()

    def write(self) -> None:
        """Keep the state."""
        write_json(self.folder / STATE, self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Everything as plain values: all networks, the numbers of those on the front, and the best."""
        return {
            "format": FORMAT,
            "about": self.about,
            "budget": str(self.budget),
            "rounds": [dataclasses.asdict(rung) for rung in self.rungs],
            "candidates": [dataclasses.asdict(one) for one in self.candidates],
            "front": [one.number for one in front(self.candidates)],
            "best": self.best,
        }

    def run(self, score: Score, measure: Measure, echo: Callable[[str], None]) -> Candidate:
        """Train all rounds; returns the best network. Raises ConfigError if none keeps the budget on the device."""
        alive = list(self.candidates)
        names = [f"{level}" + f"-{place}" for level, rung in enumerate(self.rungs) for place in range(rung.networks)]
        with steps(names):
            for level, rung in enumerate(self.rungs):
                chosen = alive[: rung.networks] if level == 0 else self._fitting(alive, rung.networks, measure, echo)
                for place, one in enumerate(chosen):
                    if len(one.psnr) > level:
                        continue
                    with step(f"{level}-{place}"):
                        one.psnr.append(score(one, level, rung))
                    self.write()
                    echo(self._line(one, level, place, len(chosen)))
                alive = sorted(chosen, key=lambda one: one.psnr[level], reverse=True)
        others = sorted((c for c in self.candidates if c not in alive), key=lambda one: one.rank, reverse=True)
        (best,) = self._fitting([*alive, *others], 1, measure, echo)
        self.best = best.number
        self.write()
        return best

    def _fitting(
        self, alive: Sequence[Candidate], count: int, measure: Measure, echo: Callable[[str], None]
    ) -> list[Candidate]:
        """The first `count` that keep the budget on the device. Fewer, but at least one, if there are no more."""
        found: list[Candidate] = []
        for one in alive:
            if one.measured is None and (cost := self._measured(one, measure)) is not None:
                one.measured = cost
                self.write()
            if one.cost <= self.budget.amount:
                found.append(one)
            else:
                echo(f"fit: network {one.number} is left out: measured, it costs {self.budget.show(one.cost)}")
            if len(found) == count:
                break
        if not found:
            least = min(one.cost for one in alive)
            raise ConfigError(
                f"--budget {self.budget}: no network of the search keeps it on the device; the nearest costs "
                f"{self.budget.show(least)}; use --budget {self.budget.least(least)} or more"
            )
        return found

    def _measured(self, one: Candidate, measure: Measure) -> float | None:
        """A cost beyond the budget is the median of `TRIES`: other work on the device makes single ones too large."""
        found = measure(one)
        if found is None or found <= self.budget.amount:
            return found
        return statistics.median([found, *(again for _ in range(TRIES - 1) if (again := measure(one)) is not None)])

    def _line(self, one: Candidate, level: int, place: int, of: int) -> str:
        left = (of - place - 1) * self.rungs[level].minutes
        left += sum(rung.networks * rung.minutes for rung in self.rungs[level + 1 :])
        return (
            f"fit: round {level + 1} of {len(self.rungs)}, network {place + 1} of {of}: {one.psnr[-1]:.2f} dB, "
            f"{self.budget.show(one.cost)}; {duration(60 * left)} left"
        )


def rows(search: Search) -> Iterator[tuple[list[str], list[str]]]:
    """Cells of every network, best first: what it is and where it stands, and its figures."""
    shown = {one.number for one in front(search.candidates)}
    for one in sorted(search.candidates, key=lambda c: c.rank, reverse=True):
        marks = ["best"] * (one.number == search.best) + ["front"] * (one.number in shown)
        settings = " ".join(f"{name}={value}" for name, value in one.values.items())
        figures = [
            f"{one.psnr[-1]:.2f}" if one.psnr else "-",
            str(len(one.psnr)),
            "-" if one.milliseconds is None else f"{one.milliseconds:.2f}",
            "-" if one.measured is None else f"{one.measured:.2f}",
            f"{one.megabytes:.2f}",
        ]
        yield [str(one.number), ", ".join(marks), settings], figures
