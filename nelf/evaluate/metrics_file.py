"""`eval/metrics.json` as it is read: a run may come from a stranger, and names in it become folders and files."""

from pathlib import Path
from typing import Any

from nelf.core.errors import NelfError, one_line
from nelf.core.files import is_plain_name, read_json
from nelf.core.progress import MOST_SECONDS
from nelf.evaluate.metrics import METRICS

GROUND_TRUTH = "ground_truth"
METRICS_FILE = "metrics.json"
LARGEST_FIGURE = 1e3  # no metric comes near it


def read_metrics(folder: Path) -> dict[str, Any]:
    """What `evaluate` wrote to `folder/metrics.json`: at least one model, each with figures for at least one view.

    Every name in it is that of one thing directly in a folder. Raises NelfError for anything else.
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
    """The content. Raises ValueError where it is not what `evaluate` writes."""
    for name, model in _named(content, "models").items():
        if name == GROUND_TRUTH:
            raise ValueError(f"{name!r} is no model")
        if not isinstance(model, dict):
            raise ValueError(f"model {name!r} is no object")
        for metric in METRICS:
            _check_figure(model.get(metric, ""), f"{metric} of {name!r}", or_none=metric != "psnr")
        if not 0 <= _number(model.get("seconds_per_view"), f"seconds_per_view of {name!r}") < MOST_SECONDS:
            raise ValueError(f"seconds_per_view of {name!r} is no time")
        unavailable = model.get("unavailable")
        if not isinstance(unavailable, dict) or not all(isinstance(reason, str) for reason in unavailable.values()):
            raise ValueError(f"unavailable of {name!r} is no object with reasons")
        _check_metrics(unavailable)
        for view, figures in _named(model.get("views"), f"views of {name!r}").items():
            if not isinstance(figures, dict) or "psnr" not in figures:
                raise ValueError(f"view {view!r} of {name!r} has no psnr")
            _check_metrics(figures)
            for metric, figure in figures.items():
                _check_figure(figure, f"{metric} of view {view!r} of {name!r}", or_none=False)
        measured = len(model["views"])
        if _number(model.setdefault("test_views", measured), f"test_views of {name!r}") < measured:
            raise ValueError(f"test_views of {name!r} is less than there are views")
    result: dict[str, Any] = content
    return result


def measured_on(model: dict[str, Any]) -> str:
    """On how many test views a model was measured, for people: "8", or "4 of 200" where not all were."""
    measured = len(model["views"])
    return f"{measured}" if measured == model["test_views"] else f"{measured} of {model['test_views']:.0f}"


def _named(found: Any, what: str) -> dict[str, Any]:
    if not isinstance(found, dict) or not found:
        raise ValueError(f"there are no {what}")
    if strangers := [name for name in found if not is_plain_name(name)]:
        raise ValueError(f"{strangers[0]!r} among the {what} is or could be outside of the folder")
    return found


def _check_metrics(named: dict[str, Any]) -> None:
    if strangers := sorted(named.keys() - METRICS.keys()):
        raise ValueError(f"{strangers[0]!r} is no metric")


def _check_figure(found: Any, what: str, *, or_none: bool) -> None:
    if not (found is None and or_none) and not abs(_number(found, what)) <= LARGEST_FIGURE:
        raise ValueError(f"{what} is no figure")


def _number(found: Any, what: str) -> int | float:
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise ValueError(f"{what} is no number")
    return found
