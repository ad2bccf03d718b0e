"""Percentiles of times, and ratios with a confidence interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
LEAST_ROUNDS = 8
"""Of fewer rounds a bootstrap's interval is too narrow: of one, it has no width."""


@dataclass(frozen=True)
class Times:
    """Milliseconds of `frames` frames. Percentiles are nearest-rank: each is a time that was measured."""

    frames: int
    median_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    max_ms: float


@dataclass(frozen=True)
class Ratio:
    """Median of one over median of another, with the interval that holds it at 95 %; None of too few rounds."""

    value: float
    low: float | None
    high: float | None


def times(milliseconds: Sequence[float]) -> Times:
    """Of at least one frame."""
    values = np.asarray(milliseconds, dtype=np.float64)
    p50, p90, p99 = (float(np.percentile(values, p, method="inverted_cdf")) for p in (50, 90, 99))
    return Times(len(values), p50, p90, p99, float(values.mean()), float(values.min()), float(values.max()))


def ratio(rounds: Sequence[Sequence[float]], to: Sequence[Sequence[float]]) -> Ratio:
    """Median of `rounds` over median of `to`: frames of the same rounds, which ran right after each other.

    The interval is a bootstrap's over rounds (Efron and Tibshirani 1993, chapter 13, percentile interval): rounds are
    drawn with replacement, the same ones for both sides, so that a slow spell of the machine that slowed both down
    counts for both. There is none of fewer than `LEAST_ROUNDS`.
    """
    numerator, denominator = (np.asarray(side, dtype=np.float64) for side in (rounds, to))
    value = float(np.median(numerator) / np.median(denominator))
    if len(numerator) < LEAST_ROUNDS:
        return Ratio(value, None, None)
    drawn = np.random.default_rng(0).integers(len(numerator), size=(RESAMPLES, len(numerator)))
    medians = [np.median(side[drawn].reshape(RESAMPLES, -1), axis=1) for side in (numerator, denominator)]
    low, high = np.quantile(medians[0] / medians[1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Ratio(value, float(low), float(high))
