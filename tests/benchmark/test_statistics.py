"""Percentiles and intervals, on numbers with known results."""

import numpy as np
import pytest

from nelf.benchmark.results import LEAST_ROUNDS, Ratio, times
from nelf.benchmark.results import ratio as ratio_of


def test_percentiles_are_times_that_were_measured() -> None:
    found = times([float(n) for n in range(1, 101)])
    assert (found.median_ms, found.p90_ms, found.p99_ms) == (50, 90, 99)
    assert (found.frames, found.min_ms, found.max_ms, found.mean_ms) == (100, 1, 100, 50.5)
    assert times([7.0]).p99_ms == 7.0


def ratio(rounds: list[list[float]], to: list[list[float]]) -> tuple[float, float, float]:
    """value, low, high."""
    found = ratio_of(rounds, to)
    assert found.low is not None
    assert found.high is not None
    return found.value, found.low, found.high


def noisy(seed: int, scale: float, rounds: int = 20) -> list[list[float]]:
    numbers = np.random.default_rng(seed)
    return (scale * (1 + 0.1 * numbers.random((rounds, 5)))).tolist()


def test_a_ratio_is_within_its_interval_and_the_truth_too() -> None:
    value, low, high = ratio(noisy(1, 20.0), noisy(2, 10.0))
    assert low < value < high
    assert low < 2 < high
    assert high - low < 0.1


def test_few_rounds_have_no_interval() -> None:
    """With one round every draw is the same, and the interval would have no width."""
    rounds = noisy(1, 20.0, LEAST_ROUNDS)
    assert ratio_of(rounds[:-1], rounds[:-1]) == Ratio(1.0, None, None)
    assert ratio_of(rounds, rounds).low == 1


def test_the_interval_means_what_it_says() -> None:
    """About 95 of 100 intervals contain the truth; 88 or fewer would be 3 standard errors away."""
    held = [(r := ratio(noisy(2 * i, 1.0), noisy(2 * i + 1, 1.0)))[1] <= 1 <= r[2] for i in range(100)]
    assert sum(held) > 88


def test_a_slow_spell_that_falls_on_both_does_not_widen_it() -> None:
    """Rounds are drawn in pairs: running at half speed half of the time adds no doubt about the ratio."""
    spell = [2.0 if i < 10 else 1.0 for i in range(20)]
    first = [[s * t for t in frames] for s, frames in zip(spell, noisy(1, 10.0), strict=True)]
    second = [[s * t for t in frames] for s, frames in zip(spell, noisy(2, 10.0), strict=True)]
    value, low, high = ratio(second, first)
    assert value == pytest.approx(1, abs=0.05)
    assert high - low < 0.2


def test_to_itself_it_is_one() -> None:
    assert ratio(noisy(1, 3.0), noisy(1, 3.0)) == (1, 1, 1)
