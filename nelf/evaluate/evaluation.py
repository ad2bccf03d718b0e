"""Render models on the test views and measure them."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nelf.core.errors import NelfError, SceneError, one_line
from nelf.core.files import atomic_path, is_plain_name, read_json, remove, write_json
from nelf.core.progress import MOST_SECONDS
from nelf.evaluate.config import EvalConfig
from nelf.evaluate.metrics import METRICS, MetricUnavailable, ground_truth, read_picture, to_8bit, write_picture
from nelf.scene.scene import Views

GROUND_TRUTH = "ground_truth"
METRICS_FILE = "metrics.json"
LARGEST_FIGURE = 1e3  # far above every metric


def read_metrics(folder: Path) -> dict[str, Any]:
    """The content of `folder/metrics.json`: at least one model, each with values for at least one view.

    Every name in it stays directly inside a folder. Raises NelfError for anything else.
    """
    file = folder / METRICS_FILE
    try:
        content: dict[str, Any] = _models(read_json(file))
    except FileNotFoundError:
        raise NelfError(f"{file} does not exist; run `nelf eval` on this run first") from None
    except ValueError as error:
        reason = one_line(error)
        raise NelfError(f"{file} is damaged ({reason}); run `nelf eval` again") from error
    return content


def _models(content: Any) -> dict[str, Any]:
    """The content. Raises ValueError unless `evaluate` could have written it."""
    for name, model in _named(content, "models").items():
        if name == GROUND_TRUTH:
            raise ValueError(f"{name!r} is not a model")
        if not isinstance(model, dict):
            raise ValueError(f"model {name!r} is not an object")
        for metric in METRICS:
            _check_figure(model.get(metric, ""), f"{metric} of {name!r}", or_none=metric != "psnr")
        if not 0 <= _number(model.get("seconds_per_view"), f"seconds_per_view of {name!r}") < MOST_SECONDS:
            raise ValueError(f"seconds_per_view of {name!r} is not a time")
        unavailable = model.get("unavailable")
        if not isinstance(unavailable, dict) or not all(isinstance(reason, str) for reason in unavailable.values()):
            raise ValueError(f"unavailable of {name!r} is not an object with reasons")
        _check_metrics(unavailable)
        for view, figures in _named(model.get("views"), f"views of {name!r}").items():
            if not isinstance(figures, dict) or "psnr" not in figures:
                raise ValueError(f"view {view!r} of {name!r} has no psnr")
            _check_metrics(figures)
            for metric, figure in figures.items():
                _check_figure(figure, f"{metric} of view {view!r} of {name!r}", or_none=False)
        measured = len(model["views"])
        if _number(model.setdefault("test_views", measured), f"test_views of {name!r}") < measured:
            raise ValueError(f"test_views of {name!r} is less than the number of views")
    result: dict[str, Any] = content
    return result


def measured_on(model: dict[str, Any]) -> str:
    """Number of measured test views, for people: "8", or "4 of 200" if not all were."""
    measured = len(model["views"])
    return f"{measured}" if measured == model["test_views"] else f"{measured} of {model['test_views']:.0f}"


def _named(found: Any, what: str) -> dict[str, Any]:
    if not isinstance(found, dict) or not found:
        raise ValueError(f"there are no {what}")
    if strangers := [name for name in found if not is_plain_name(name)]:
        raise ValueError(f"{strangers[0]!r} among the {what} could lead outside the folder")
    return found


def _check_metrics(named: dict[str, Any]) -> None:
    if strangers := sorted(named.keys() - METRICS.keys()):
        raise ValueError(f"{strangers[0]!r} is not a metric")


def _check_figure(found: Any, what: str, *, or_none: bool) -> None:
    if not (found is None and or_none) and not abs(_number(found, what)) <= LARGEST_FIGURE:
        raise ValueError(f"{what} is not a valid value")


def _number(found: Any, what: str) -> int | float:
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise ValueError(f"{what} is not a number")
    return found


def fill_missing_metrics(folder: Path, config: EvalConfig) -> dict[str, Any] | None:
    """Measure metrics that were unavailable earlier, on the existing pictures. Returns the new `folder`/metrics.json.

    Returns None if nothing changed. Metrics that `config` excludes stay unavailable.
    """
    metrics, changed = read_metrics(folder), False
    for model, result in metrics.items():
        for metric in sorted(result["unavailable"].keys() - config.skipped().keys()):
            try:
                found = {
                    view: METRICS[metric](*(read_picture(folder / of / f"{view}.png") for of in (model, GROUND_TRUTH)))
                    for view in result["views"]
                }
            except MetricUnavailable as reason:
                changed |= str(reason) != result["unavailable"][metric]
                result["unavailable"][metric] = str(reason)
                continue
            for view, value in found.items():
                result["views"][view][metric] = value
            result[metric] = statistics.fmean(found.values())
            del result["unavailable"][metric]
            changed = True
    return metrics if changed else None


Renderer = Callable[[Tensor, Tensor], Tensor]
"""c2w [3, 4] and intrinsics [4] -> image in [0, 1] of the views' size: RGB or premultiplied RGBA, channels last."""

Progress = Callable[[str, int, float], None]
"""Called with (model, views done, their mean PSNR) after each view."""


def evaluate(
    models: Mapping[str, Renderer],
    views: Views,
    folder: Path,
    config: EvalConfig | None = None,
    *,
    keep_others: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure `models` on `views`; write `folder/metrics.json` and `folder/MODEL/VIEW.png`; return the former.

    The file maps each model to the mean of every metric (null if unavailable), `views` (view to its metrics),
    `test_views` (their number; `chosen_views` may measure fewer), `unavailable` (metric to reason) and
    `seconds_per_view` (median render time). Results and pictures of other models are dropped, unless `keep_others`.
    Raises SceneError without test views, NelfError if a picture is not finite.
    """
    config = config or EvalConfig()
    if len(views) == 0:
        raise SceneError("there are no test views to evaluate on; add some to the scene's test split")
    assert GROUND_TRUTH not in models, f"{GROUND_TRUTH} is the name of the true pictures, not of a model"
    before = _read_if_any(folder)
    test_views, views = len(views), chosen_views(views, config)
    with atomic_path(folder / GROUND_TRUTH) as pictures:
        for i, name in enumerate(views.names):
            write_picture(pictures / f"{name}.png", ground_truth(views, i))
    result = {name: value for name, value in before.items() if keep_others and name not in models}
    for model, renderer in models.items():
        with atomic_path(folder / model) as pictures:
            found = _evaluate_model(model, renderer, views, pictures, config, progress)
            result[model] = found | {"test_views": test_views}
    write_json(folder / METRICS_FILE, result)
    for model in before.keys() - result.keys():
        if (folder / model).is_dir():  # its pictures; a file of that name is something else
            remove(folder / model)
    return result


def chosen_views(views: Views, config: EvalConfig) -> Views:
    """The views to measure: all, or `config.max_views` evenly spread ones."""
    most = config.max_views
    if most is None or most >= len(views):
        return views
    return views.select([i * len(views) // most for i in range(most)])


def measure(
    pairs: Iterable[tuple[str, Tensor, Tensor]], config: EvalConfig | None = None
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Metrics of (view name, picture, truth); pictures are uint8 [height, width, 3].

    Returns view to metrics, and unavailable metrics with the reason. A metric that fails on one view is dropped for
    all: a mean over some of the views would mislead.
    """
    unavailable = (config or EvalConfig()).skipped()
    views: dict[str, dict[str, float]] = {}
    for name, picture, truth in pairs:
        views[name] = {}
        for metric, function in METRICS.items():
            if metric not in unavailable:
                try:
                    views[name][metric] = function(picture, truth)
                except MetricUnavailable as reason:
                    unavailable[metric] = str(reason)
    for values in views.values():
        for metric in unavailable:
            values.pop(metric, None)
    return views, unavailable


def _evaluate_model(
    model: str, renderer: Renderer, views: Views, pictures: Path, config: EvalConfig, progress: Progress | None
) -> dict[str, Any]:
    seconds, psnrs = [], list[float]()

    def pairs() -> Iterable[tuple[str, Tensor, Tensor]]:
        for i, name in enumerate(views.names):
            start = time.perf_counter()
            with torch.no_grad():
                image = renderer(views.c2w[i], views.intrinsics[i]).detach().float().cpu()
            seconds.append(time.perf_counter() - start)
            assert image.shape[:2] == (views.height, views.width), f"{model} renders {tuple(image.shape)}"
            if not bool(torch.isfinite(image).all()):
                raise NelfError(
                    f"{model}: the picture of view {name} holds NaN or infinite values; "
                    "its training has diverged: train again with a lower learning rate"
                )
            picture = to_8bit(image)
            write_picture(pictures / f"{name}.png", picture)
            truth = ground_truth(views, i)
            yield name, picture, truth
            if progress:
                psnrs.append(METRICS["psnr"](picture, truth))
                progress(model, i + 1, statistics.fmean(psnrs))

    values, unavailable = measure(pairs(), config)
    means = {
        metric: None if metric in unavailable else statistics.fmean(view[metric] for view in values.values())
        for metric in METRICS
    }
    return {
        **means,
        "views": values,
        "unavailable": unavailable,
        "seconds_per_view": statistics.median(seconds),
    }


def _read_if_any(folder: Path) -> dict[str, Any]:
    """The earlier evaluation of this folder, or an empty one if it cannot be read."""
    try:
        return read_metrics(folder)
    except NelfError:
        return {}
