"""Pages: self-contained HTML from the templates beside this file, in one style."""

import importlib.resources
from typing import Any

import jinja2

TITLES = {
    "psnr": "PSNR (dB) ↑",
    "ssim": "SSIM ↑",
    "flip": "FLIP ↓",
    "lpips_alex": "LPIPS (alex) ↓",
    "lpips_vgg": "LPIPS (vgg) ↓",
}


def render(template: str, **content: Any) -> str:
    """The page of `template`. It loads nothing from elsewhere, and every text in it is escaped."""
    folder = importlib.resources.files(__package__)
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text()),
    )
    environment.filters |= {"size": _size, "count": _count, "duration": _duration, "figure": figure}
    page = environment.get_template(template).render(**content)
    return page.encode(errors="replace").decode()  # names of files may be no Unicode


def figure(value: float | None, metric: str) -> str:
    """A metric's value; n/a where it was not measured."""
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
