"""Many runs on one self-contained page: a table per model, means, and comparisons."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nelf.core.files import write_bytes
from nelf.evaluate.html import TITLES, Chart, dot_chart, psnr_chart, render
from nelf.evaluate.metrics import METRICS
from nelf.evaluate.report import ModelInfo

SUMMARY_FILE = "summary.html"
Figures = dict[str, int | float | None]
"""Metric -> value; None if it could not be measured."""


@dataclass(frozen=True)
class RunFigures:
    """Results of one run.

    metrics: model to its values, means over `views` test views. measured_on: their number for people, with the total
    if not all were measured. models: what else is known of each. report: address of the run's own page, relative to the
    summary. asked: overrides. missing: why nothing else is known.
    """

    name: str
    metrics: dict[str, Figures] = field(default_factory=dict)
    models: dict[str, ModelInfo] = field(default_factory=dict)
    views: int = 0
    measured_on: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    report: str = ""
    asked: list[str] = field(default_factory=list)
    missing: str = ""

    @property
    def total_seconds(self) -> float:
        """Seconds of all stages together."""
        return math.fsum(self.seconds.values())


def means(runs: Sequence[RunFigures], model: str) -> Figures:
    """Mean over runs of each metric, of `bytes` and of `macs`; None if a run lacks it: a partial mean would mislead."""
    found: dict[str, list[int | float | None]] = {metric: [] for metric in (*METRICS, "bytes", "macs")}
    for run in runs:
        info, measured = run.models.get(model, ModelInfo()), run.metrics.get(model, {})
        for key, values in found.items():
            values.append(measured.get(key) if key in METRICS else getattr(info, key))
    return {key: mean(values) for key, values in found.items()}


def mean(values: Sequence[int | float | None]) -> float | None:
    """Mean of the values; None if there are no values, or one is None."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def write_summary_page(path: Path, title: str, runs: Sequence[RunFigures]) -> None:
    """Write the page of these runs, at least one of which was measured."""
    measured = [run for run in runs if not run.missing]
    models = list(dict.fromkeys(model for run in measured for model in run.metrics))
    judge = "student" if "student" in models else models[0]
    ranked = sorted(measured, key=lambda run: _psnr(run, judge) or 0.0)
    by_model = {
        model: {run.name: psnr for run in measured if (psnr := _psnr(run, model)) is not None} for model in models
    }
    page = render(
        "summary.html.j2",
        title=title,
        runs=list(runs),
        measured=measured,
        models=models,
        judge=judge,
        metric_names=list(METRICS),
        titles=TITLES,
        means={model: means(measured, model) for model in models},
        total_seconds=sum(run.total_seconds for run in measured),
        by_run=psnr_chart(by_model, [run.name for run in ranked]),
        against_teacher=_dots([(_psnr(run, "teacher"), _psnr(run, "student"), run.name) for run in measured], "dB"),
        against_macs=_against_macs(measured),
    )
    write_bytes(path, page.encode())


def _psnr(run: RunFigures, model: str) -> float | None:
    return run.metrics.get(model, {}).get("psnr")


def _against_macs(runs: Sequence[RunFigures]) -> Chart | None:
    macs = {run.name: run.models["student"].macs for run in runs if "student" in run.models}
    if len(set(macs.values())) < 2:
        return None
    giga = {name: None if count is None else count / 1e9 for name, count in macs.items()}
    return _dots([(giga.get(run.name), _psnr(run, "student"), run.name) for run in runs], "GMAC")


def _dots(points: Sequence[tuple[float | None, float | None, str]], unit: str) -> Chart | None:
    known = [
        (x, y, f"{name}: {y:.2f} dB at {x:.4g} {unit}") for x, y, name in points if x is not None and y is not None
    ]
    return dot_chart(known) if known else None
