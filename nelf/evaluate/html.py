"""HTML pages and their charts."""

import importlib.resources
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 24  # margins, with room for axis labels
LINE = 1.5  # width of a line in the page's style; lines closer than this everywhere are drawn as one
FINEST_DB = 0.5  # smallest distance of grid lines, so that close values do not look far apart


@dataclass(frozen=True)
class Line:
    """One model, or several whose lines coincide.

    points: an SVG polyline; dots: (x, y, tooltip).
    """

    label: str
    points: str
    dots: list[tuple[float, float, str]]


@dataclass(frozen=True)
class Chart:
    """Lines in a box, with (y, text) of horizontal grid lines and (x, text) of marks below."""

    width: int
    height: int
    left: int
    right: int
    baseline: int
    lines: list[Line]
    grid: list[tuple[float, str]]
    columns: list[tuple[float, str]] = field(default_factory=list)


def psnr_chart(values: dict[str, dict[str, float]], order: list[str]) -> Chart:
    """Chart of {model label: {view: PSNR}}, with views from left to right in the given order.

    Models whose lines coincide share one line, labelled with all of them: a file shows what its student shows.
    """
    shown = {label: [(view, of[view]) for view in order if view in of] for label, of in values.items()}
    axis = _Axis([figure for pairs in shown.values() for _, figure in pairs], finest=FINEST_DB)
    place = {view: LEFT + (WIDTH - LEFT - RIGHT) * (i + 0.5) / len(order) for i, view in enumerate(order)}
    lines = []
    for labels in _on_each_other(values, axis):
        dots = [
            (round(place[view], 1), axis.level(figure), _says(view, {label: values[label][view] for label in labels}))
            for view, figure in shown[labels[0]]
        ]
        lines.append(Line(", ".join(labels), " ".join(f"{x},{y}" for x, y, _ in dots), dots))
    return Chart(WIDTH, HEIGHT, LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, lines, axis.grid())


def _on_each_other(values: dict[str, dict[str, float]], axis: "_Axis") -> list[list[str]]:
    """Labels in order, grouped if their lines coincide with that of the group's first."""
    groups: list[list[str]] = []
    for label, of in values.items():
        for group in groups:
            first = values[group[0]]
            if first.keys() == of.keys() and all(abs(axis.level(first[v]) - axis.level(of[v])) <= LINE for v in of):
                group.append(label)
                break
        else:
            groups.append([label])
    return groups


def _says(view: str, figures: dict[str, float]) -> str:
    least, most = (f"{pick(figures.values()):.2f}" for pick in (min, max))
    return f"{', '.join(figures)}, {view}: {least if least == most else f'{least} to {most}'} dB"


def dot_chart(points: Sequence[tuple[float, float, str]]) -> Chart:
    """Chart of (x, y in dB, tooltip), without lines."""
    across, up = _Axis([x for x, _, _ in points]), _Axis([y for _, y, _ in points], finest=FINEST_DB)
    dots = [(across.place(x), up.level(y), says) for x, y, says in points]
    columns = [(across.place(value), f"{value:g}") for value in across.values()]
    return Chart(WIDTH, HEIGHT, LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, [Line("", "", dots)], up.grid(), columns)


class _Axis:
    """Axis with round numbers that enclose all figures."""

    def __init__(self, figures: Sequence[float], finest: float = 0.0) -> None:
        self.step = max(finest, _tidy_step(max(figures) - min(figures)))
        self.low, self.high = (round_(f(figures) / self.step) * self.step for round_, f in _ENDS)
        if self.high == self.low:
            self.high += self.step

    def values(self) -> list[float]:
        return [self.low + i * self.step for i in range(round((self.high - self.low) / self.step) + 1)]

    def grid(self) -> list[tuple[float, str]]:
        return [(self.level(value), f"{value:g}") for value in self.values()]

    def level(self, figure: float) -> float:
        """Vertical position in the drawing."""
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (self.high - figure) / (self.high - self.low), 1)

    def place(self, figure: float) -> float:
        """Horizontal position in the drawing."""
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (figure - self.low) / (self.high - self.low), 1)


_ENDS = ((math.floor, min), (math.ceil, max))


def _tidy_step(span: float) -> float:
    """Distance of grid lines that gives at most six: 1, 2 or 5 times a power of ten."""
    if span <= 0:
        return 1.0
    scale = 10.0 ** math.floor(math.log10(span / 5))
    return next(step * scale for step in (1.0, 2.0, 5.0, 10.0, 20.0) if span / (step * scale) <= 5)


TITLES = {
    "psnr": "PSNR (dB) ↑",
    "ssim": "SSIM ↑",
    "flip": "FLIP ↓",
    "lpips_alex": "LPIPS (alex) ↓",
    "lpips_vgg": "LPIPS (vgg) ↓",
}


def render(template: str, **content: Any) -> str:
    """The page of `template`. It loads nothing from elsewhere, and all text in it is escaped."""
    folder = importlib.resources.files(__package__)
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text()),
    )
    environment.filters |= {"size": _size, "count": _count, "duration": _duration, "figure": figure}
    page = environment.get_template(template).render(**content)
    return page.encode(errors="replace").decode()  # file names may not be valid Unicode


def figure(value: float | None, metric: str) -> str:
    """A metric's value; n/a if it was not measured."""
    return "n/a" if value is None else format(value, ".2f" if metric == "psnr" else ".4f")


def _size(count: int | float | None) -> str:
    return "" if count is None else f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


def _count(count: int | float | None) -> str:
    if count is None:
        return ""
    scale, unit = next(((s, u) for s, u in ((1e9, " G"), (1e6, " M"), (1e3, " k")) if count >= s), (1, ""))
    return f"{count / scale:.3g}{unit}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
