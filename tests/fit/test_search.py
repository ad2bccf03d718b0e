"""Successive halving with a made-up training: who goes on, what the budget forbids, and going on after a stop."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from nelf.core.errors import ConfigError, Interrupted
from nelf.core.files import read_json, write_json
from nelf.fit import Budget, Candidate, Search, front, plan_rungs
from nelf.fit.search import STATE, Rung, rows
from nelf.fit.space import Values
from tests.fit.devices import exact_model, space

BUDGET = Budget.parse("2ms")
RUNGS = [Rung(9, 1.0), Rung(3, 3.0), Rung(1, 9.0)]
ABOUT = {"scene": "abc"}


def quality(one: Candidate) -> float:
    """What the network is worth, whatever the training."""
    return float(one.values["middle_width"] + one.values["decoder_blocks"])


class Trainer:
    """Gives each network its quality and what more training adds; asked: (number of the network, round)."""

    def __init__(self, stops_after: int | None = None) -> None:
        self.asked: list[tuple[int, int]] = []
        self.stops_after = stops_after

    def score(self, one: Candidate, level: int, rung: Rung) -> float:
        if len(self.asked) == self.stops_after:
            raise Interrupted("stopped")
        self.asked.append((one.number, level))
        return quality(one) + level


def begun(folder: Path, about: object = ABOUT) -> Search:
    of = space()
    search = Search(folder, {"about": about}, BUDGET, RUNGS)
    if search.candidates:
        return search
    model, draws = exact_model(of), np.random.default_rng(0)
    networks = of.within(9, lambda config: model.predict(of.count(config)), BUDGET, draws)
    assert len(networks) == 9

    def describe(values: Values) -> Candidate:
        ms = model.predict(of.count(of.config(values)))
        return Candidate(0, dict(values), ms, 1.0, ms)

    search.begin(networks, describe)
    return search


def unmeasured(one: Candidate) -> float | None:
    return None


@pytest.mark.parametrize("minutes", [0.05, 1.0, 4.0, 5.0, 20.0, 21.0, 60.0, 600.0])
def test_rounds_take_the_minutes_in_equal_parts(minutes: float) -> None:
    rungs = plan_rungs(minutes)
    times = [rung.networks * rung.minutes for rung in rungs]
    assert sum(times) == pytest.approx(minutes)
    assert max(times) == pytest.approx(min(times))
    for before, after in itertools.pairwise(rungs):
        assert after.networks == before.networks // 3
    assert len(plan_rungs(60.0)) == 3
    assert plan_rungs(60.0)[0].networks == 26


def test_the_best_third_goes_on(tmp_path: Path) -> None:
    search, trainer, lines = begun(tmp_path), Trainer(), list[str]()
    best = search.run(trainer.score, unmeasured, lines.append)
    ranked = sorted(search.candidates, key=lambda one: (-quality(one), one.number))
    assert best.number == ranked[0].number == search.best
    assert [number for number, level in trainer.asked if level == 1] == [one.number for one in ranked[:3]]
    assert [number for number, level in trainer.asked if level == 2] == [best.number]
    assert best.psnr == [quality(best), quality(best) + 1, quality(best) + 2]
    assert len(lines) == 13
    assert "round 1 of 3, network 1 of 9" in lines[0]
    assert "26:00 left" in lines[0]
    assert "0:00 left" in lines[-1]


@pytest.mark.parametrize("stops_after", [0, 4, 10, 12])
def test_a_search_that_was_stopped_goes_on(tmp_path: Path, stops_after: int) -> None:
    whole = begun(tmp_path / "whole")
    expected = whole.run(Trainer().score, unmeasured, lambda line: None)
    first, second = Trainer(stops_after), Trainer()
    with pytest.raises(Interrupted):
        begun(tmp_path / "cut").run(first.score, unmeasured, lambda line: None)
    again = begun(tmp_path / "cut")
    assert again.run(second.score, unmeasured, lambda line: None) == expected
    assert len(first.asked + second.asked) == len(set(first.asked + second.asked)) == 13
    assert again.as_json() == whole.as_json()


def test_a_network_that_is_too_slow_on_the_device_is_left_out(tmp_path: Path) -> None:
    search, lines = begun(tmp_path), list[str]()
    ranked = sorted(search.candidates, key=lambda one: (-quality(one), one.number))
    slow = {ranked[0].number, ranked[2].number}
    asked: list[int] = []

    def measure(one: Candidate) -> float:
        asked.append(one.number)
        return BUDGET.amount * (1.1 if one.number in slow else 0.9)

    best = search.run(Trainer().score, measure, lines.append)
    assert best.number == ranked[1].number
    times = [3 if one.number in slow else 1 for one in ranked[:5]]
    expected = [one.number for one, count in zip(ranked, times, strict=False) for _ in range(count)]
    assert asked == expected, "no more than needed"
    assert sum("is left out: measured, it costs 2.2 ms" in line for line in lines) == 2
    assert best.cost == pytest.approx(1.8)


def test_one_disturbed_measurement_leaves_nothing_out(tmp_path: Path) -> None:
    search = begun(tmp_path)
    ranked = sorted(search.candidates, key=lambda one: (-quality(one), one.number))
    costs = {ranked[0].number: iter([3.0, 1.5, 1.6])}
    best = search.run(Trainer().score, lambda one: next(costs.get(one.number, iter([1.8]))), lambda line: None)
    assert best.number == ranked[0].number
    assert best.cost == 1.6


def test_if_all_are_too_slow_the_nearest_is_named(tmp_path: Path) -> None:
    search = begun(tmp_path)
    with pytest.raises(ConfigError, match=r"the nearest costs 2\.11 ms; use --budget 2\.22ms or more"):
        search.run(Trainer().score, lambda one: 2.1 + 0.01 * one.number, lambda line: None)


def test_another_search_begins_anew(tmp_path: Path) -> None:
    begun(tmp_path).run(Trainer().score, unmeasured, lambda line: None)
    (tmp_path / "network-01").mkdir()
    other = begun(tmp_path, "another scene")
    assert not any(one.psnr for one in other.candidates)
    assert not (tmp_path / "network-01").exists()


@pytest.mark.parametrize("content", [{}, [], {"format": "nelf-fit-1"}])
def test_a_damaged_state_begins_anew(tmp_path: Path, content: object) -> None:
    write_json(tmp_path / STATE, content)
    assert len(begun(tmp_path).candidates) == 9


def test_the_front_is_what_no_other_beats() -> None:
    tried = [(1, 3.0, 30.0), (2, 1.0, 20.0), (3, 2.0, 20.0), (4, 2.0, 25.0), (5, 4.0, 29.0)]
    found = [Candidate(number, {}, cost, 1.0, psnr=[psnr]) for number, cost, psnr in tried]
    assert [one.number for one in front([*found, Candidate(6, {}, 0.1, 1.0)])] == [2, 4, 1]


def test_the_file_has_every_network_and_the_front(tmp_path: Path) -> None:
    search = begun(tmp_path)
    search.run(Trainer().score, unmeasured, lambda line: None)
    content = read_json(tmp_path / STATE)
    assert content["budget"] == "2ms"
    assert len(content["candidates"]) == 9
    assert content["best"] in content["front"]
    assert {"number", "values", "psnr", "milliseconds", "predicted", "megabytes", "measured"} == set(
        content["candidates"][0]
    )
    texts, figures = zip(*rows(search), strict=True)
    assert len(texts) == 9
    assert "best" in texts[0][1]
    assert all(len(one) == 5 for one in figures)
