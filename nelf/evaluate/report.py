"""The report of one run."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from nelf.core.files import write_bytes
from nelf.evaluate.evaluation import GROUND_TRUTH, measured_on, read_metrics
from nelf.evaluate.html import TITLES, psnr_chart, render
from nelf.evaluate.metrics import METRICS, encode, flip_map, read_picture
from nelf.evaluate.orbit_video import first_frame


def choose_views(by_psnr: list[str], count: int) -> dict[str, str]:
    """Up to `count` views, each with the reason for choosing it. by_psnr: all views, from worst to best.

    Worst, median and best come first; then always the rank farthest from those chosen. So the first ones tell most.
    """
    last = len(by_psnr) - 1
    why = {0: "worst", last // 2: "median", last: "best"} if last > 1 else {0: "worst", last: "best"}
    chosen = dict(list(why.items())[:count])
    while len(chosen) < min(count, len(by_psnr)):
        rank = max(range(last + 1), key=lambda rank: min(abs(rank - other) for other in chosen))
        chosen[rank] = f"{rank + 1} of {last + 1} from the worst"
    return {by_psnr[rank]: reason for rank, reason in chosen.items()}


EVAL_FOLDER = "eval"
ORBIT_FILE = "orbit.mp4"  # in EVAL_FOLDER; shown if it exists
REPORT_FILE = "report.html"
PICTURE_BUDGET = 4_000_000  # bytes of pictures in the page; base64 adds a third
VIDEO_BUDGET = 1_000_000  # bytes of video in the page; larger ones are linked
LARGEST_PICTURE = 400  # pixels on the longer side
LOSSLESS_UP_TO = 256  # pixels on the longer side; larger pictures become JPEG


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model apart from its images; None or empty if it does not apply."""

    label: str = ""
    bytes: int | None = None
    precision: str = ""
    parity: str = ""
    """Difference between the exported file and the PyTorch model, e.g. "62.1 dB on 8 poses", or "not run: why"."""
    parameters: int | None = None
    macs: int | None = None
    """Multiply-adds for one image."""
    milliseconds: float | None = None
    """For one image, if measured in the model's own runtime."""


@dataclass(frozen=True)
class RunInfo:
    """What the report shows of a run apart from `eval/`.

    scene: rows of (label, value). models: by their names in metrics.json. stage_seconds: stage to wall time.
    commands: reproduce this run. verdict: the forecast made before the run, worst first.
    expected_seconds: stage to expected time. advice: what would help most, each with its command.
    next_command: shows the result.
    """

    name: str
    scene: list[tuple[str, str]] = field(default_factory=list)
    models: dict[str, ModelInfo] = field(default_factory=dict)
    stage_seconds: dict[str, float] = field(default_factory=dict)
    config_yaml: str = ""
    commands: list[str] = field(default_factory=list)
    report_views: int = 6
    verdict: list[str] = field(default_factory=list)
    expected_seconds: dict[str, float] = field(default_factory=dict)
    advice: list[tuple[str, str]] = field(default_factory=list)
    next_command: str = ""


@dataclass(frozen=True)
class _Cell:
    """One model's picture of a view, as data URIs."""

    label: str
    picture: str
    error: str
    psnr: float | None


def write_report(run_folder: Path, info: RunInfo) -> Path:
    """Write `run_folder/report.html` from `run_folder/eval/` and `info`; return its path."""
    path = run_folder / REPORT_FILE
    write_bytes(path, render_report(run_folder, info).encode())
    return path


def render_report(run_folder: Path, info: RunInfo) -> str:
    """The report as HTML. It loads nothing from elsewhere, and all text in it is escaped."""
    folder = run_folder / EVAL_FOLDER
    metrics = read_metrics(folder)
    first = [name for name in ("teacher", "student") if name in metrics]
    names = [*first, *(name for name in metrics if name not in first)]
    models = {name: info.models.get(name, ModelInfo()) for name in names}
    labels = {name: model.label or name for name, model in models.items()}
    judge = "student" if "student" in metrics else names[0]
    psnrs = {labels[name]: {v: m["psnr"] for v, m in metrics[name]["views"].items()} for name in names}
    by_psnr = sorted(psnrs[labels[judge]], key=lambda view: psnrs[labels[judge]][view])
    return render(
        "report.html.j2",
        info=info,
        models=models,
        labels=labels,
        metrics=metrics,
        metric_names=list(METRICS),
        titles=TITLES,
        reasons=_reasons(metrics, labels),
        judge=labels[judge],
        views=list(_views(folder, names, labels, psnrs, choose_views(by_psnr, info.report_views))),
        measured_on=measured_on(metrics[names[0]]),
        chart=psnr_chart(psnrs, by_psnr),
        video=_video(folder / ORBIT_FILE),
    )


def _views(
    folder: Path, names: list[str], labels: dict[str, str], psnrs: dict[str, dict[str, float]], chosen: dict[str, str]
) -> Iterator[tuple[str, str, list[_Cell]]]:
    """(view, reason, cells), at least one and as many as the budget holds."""
    spent = 0
    for view, why in chosen.items():
        if spent > PICTURE_BUDGET * (1 - 1 / len(chosen)):
            return
        truth = read_picture(folder / GROUND_TRUTH / f"{view}.png")
        cells = [_Cell("ground truth", _data_uri(truth), "", None)]
        for name in names:
            if view in psnrs[labels[name]]:
                picture = read_picture(folder / name / f"{view}.png", like=truth)
                error = _data_uri(flip_map(picture, truth))
                cells.append(_Cell(labels[name], _data_uri(picture), error, psnrs[labels[name]][view]))
        spent += sum(len(cell.picture) + len(cell.error) for cell in cells) * 3 // 4
        yield view, why, cells


def _data_uri(picture: UInt8[Tensor, "height width 3"]) -> str:
    longest = max(picture.shape[:2])
    if longest > LARGEST_PICTURE:
        scale = LARGEST_PICTURE / longest
        planes = picture.permute(2, 0, 1)[None].float()
        planes = torch.nn.functional.interpolate(planes, scale_factor=scale, mode="bilinear", antialias=True)
        picture = planes[0].permute(1, 2, 0).round().to(torch.uint8).contiguous()
    format = "png" if longest <= LOSSLESS_UP_TO else "jpeg"
    return f"data:image/{format};base64,{base64.b64encode(encode(picture, format)).decode()}"


@dataclass(frozen=True)
class _Video:
    """address: of the video. poster: its first frame as data URI, for a player that is not playing."""

    address: str
    poster: str
    embedded: bool


def _video(path: Path) -> _Video | None:
    """The orbit video; None without one."""
    if not path.is_file():
        return None
    poster = _data_uri(first_frame(path))
    if path.stat().st_size > VIDEO_BUDGET:
        return _Video(f"{EVAL_FOLDER}/{path.name}", poster, embedded=False)
    return _Video(f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}", poster, embedded=True)


def _reasons(metrics: dict[str, Any], labels: dict[str, str]) -> list[tuple[str, str, str]]:
    """(metrics, reason, models) for what could not be measured; each reason once."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, result in metrics.items():
        for metric, reason in result["unavailable"].items():
            found.setdefault((reason, labels[name]), []).append(TITLES[metric][:-2])
    models: dict[tuple[str, str], list[str]] = {}
    for (reason, label), names in found.items():
        models.setdefault((", ".join(names), reason), []).append(label)
    return [
        (names, reason, "all models" if len(who) == len(metrics) else ", ".join(who))
        for (names, reason), who in models.items()
    ]
