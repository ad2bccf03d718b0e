"""Cost against quality of students: one picture of several results of `benchmarks/student.py`.

    python benchmarks/pareto.py runs/study-10/results.json runs/study-30/results.json --out docs/images/pareto.png

Left: PSNR on the real test views against LiteRT milliseconds per frame, with one marker per budget. Right: PSNR on the
validation views while the arms of the largest budget train, and dots for the test views at the end of each budget. An
arm keeps its colour, and several results may share a budget.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MARKERS = "os^Dv"  # one per budget


def markers_of(studies: list[dict[str, Any]]) -> dict[str, str]:
    return dict(zip(dict.fromkeys(map(budget_of, studies)), MARKERS, strict=False))


def budget_of(results: dict[str, Any]) -> str:
    if results["minutes"] is not None:
        return f"{results['minutes']:g} minutes"
    return f"{results['steps']} steps"


def draw_costs(axes: Axes, studies: list[dict[str, Any]], colours: dict[str, Any]) -> None:
    markers = markers_of(studies)
    for study in studies:
        marker = markers[budget_of(study)]
        for arm in study["arms"]:
            place = arm["litert_ms"], arm["test_psnr"]
            axes.scatter(*place, color=colours[arm["arm"]], marker=marker, s=50, zorder=3)
            axes.annotate(arm["arm"], place, xytext=(6, 4), textcoords="offset points", fontsize=9)
    for budget, marker in markers.items():
        axes.scatter([], [], color="gray", marker=marker, label=budget)
    axes.margins(x=0.3)
    axes.set(xscale="log", xlabel="LiteRT, ms per frame (fp32, two threads)", ylabel="PSNR on the test views, dB")
    for which in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        which("{x:g}")
    axes.legend(loc="lower left")


def draw_curves(axes: Axes, studies: list[dict[str, Any]], colours: dict[str, Any]) -> None:
    markers = markers_of(studies)
    for study in studies:
        marker, longest = markers[budget_of(study)], budget_of(study) == budget_of(studies[-1])
        for arm in study["arms"]:
            minutes, values = zip(*[(seconds / 60, psnr) for seconds, psnr in arm["curve"]], strict=True)
            if longest:
                axes.plot(minutes, values, color=colours[arm["arm"]], label=arm["arm"])
            axes.scatter(minutes[-1], arm["test_psnr"], color=colours[arm["arm"]], marker=marker, s=40, zorder=3)
    axes.set(xlabel="minutes of training", ylabel="PSNR, dB")
    axes.legend(loc="best")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="results.json of benchmarks/student.py")
    parser.add_argument("--out", type=Path, required=True, help="picture (png, svg)")
    options = parser.parse_args()
    studies = sorted((json.loads(path.read_text()) for path in options.results), key=lambda s: s["minutes"] or 0)
    if len({budget_of(study) for study in studies}) > len(MARKERS):
        parser.error(f"at most {len(MARKERS)} budgets fit into one picture")
    names = sorted({arm["arm"] for study in studies for arm in study["arms"]})
    colours = {name: matplotlib.color_sequences["tab10"][i % 10] for i, name in enumerate(names)}
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_costs(left, studies, colours)
    draw_curves(right, studies, colours)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
