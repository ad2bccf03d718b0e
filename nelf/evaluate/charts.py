"""Numbers of the PSNR-per-view chart, drawn as SVG by the report's template."""

import math
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 24  # margins; the axis labels stand in them


@dataclass(frozen=True)
class Line:
    """One model. points: an SVG polyline; dots: (x, y, what to say when the pointer rests there)."""

    label: str
    points: str
    dots: list[tuple[float, float, str]]


@dataclass(frozen=True)
class Chart:
    """Lines in a box, with (y, text) of the horizontal grid lines."""

    width: int
    height: int
    left: int
    right: int
    baseline: int
    lines: list[Line]
    grid: list[tuple[float, str]]


def psnr_chart(values: dict[str, dict[str, float]], order: list[str]) -> Chart:
    """Chart of {model label: {view: PSNR}}, views from left to right in the given order."""
    shown = {label: [(view, of[view]) for view in order if view in of] for label, of in values.items()}
    figures = [figure for pairs in shown.values() for _, figure in pairs]
    step = _tidy_step(max(figures) - min(figures))
    low, high = math.floor(min(figures) / step) * step, math.ceil(max(figures) / step) * step
    if high == low:
        high = low + step
    place = {view: LEFT + (WIDTH - LEFT - RIGHT) * (i + 0.5) / len(order) for i, view in enumerate(order)}

    def level(figure: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (high - figure) / (high - low), 1)

    lines = []
    for label, pairs in shown.items():
        dots = [(round(place[view], 1), level(figure), f"{label}, {view}: {figure:.2f} dB") for view, figure in pairs]
        lines.append(Line(label, " ".join(f"{x},{y}" for x, y, _ in dots), dots))
    steps = round((high - low) / step)
    grid = [(level(low + i * step), f"{low + i * step:g}") for i in range(steps + 1)]
    return Chart(WIDTH, HEIGHT, LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, lines, grid)


def _tidy_step(span: float) -> float:
    """Distance of grid lines that gives at most six: 0.5, 1, 2, 5, 10, ..."""
    return next((step for step in (0.5, 1.0, 2.0, 5.0, 10.0) if span / step <= 5), 20.0)
