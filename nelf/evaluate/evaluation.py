"""Render models on the test views and measure them."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nelf.core.errors import NelfError, SceneError
from nelf.core.files import atomic_path, remove, write_json
from nelf.evaluate.config import EvalConfig
from nelf.evaluate.metrics import METRICS, MetricUnavailable
from nelf.evaluate.metrics_file import GROUND_TRUTH, METRICS_FILE, read_metrics
from nelf.evaluate.pictures import ground_truth, read_picture, to_8bit, write_picture
from nelf.scene.scene import Views


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
