"""The page over many runs, and the figures that it and benchmarks/suite.py are made of."""

import os
from collections.abc import Sequence
from pathlib import Path

from nelf import evaluate as evaluation
from nelf.errors import ConfigError, NelfError
from nelf.pipeline.figures import model_infos, stage_seconds
from nelf.pipeline.overrides import is_run, read_overrides
from nelf.pipeline.run import EXPORT


def is_measured(folder: Path) -> bool:
    """Whether the run in `folder` has come to its end once."""
    return (folder / evaluation.EVAL_FOLDER / evaluation.METRICS_FILE).is_file()


def run_figures(folder: Path, seen_from: Path) -> evaluation.RunFigures:
    """What the run in `folder` came to. What cannot be read makes its row say why, not the whole table fail.

    seen_from: folder of the page that links to the run's report.
    """
    asked: list[str] = []
    try:
        asked = read_overrides(folder)[1:] if is_run(folder) else []  # the first names the scene's folder
        if not is_measured(folder):
            raise NelfError("not measured yet; the command that made the run goes on with it")
        metrics = evaluation.read_metrics(folder / evaluation.EVAL_FOLDER)
        bundles = {name: path for name in metrics if ((path := folder / EXPORT / name) / "manifest.json").is_file()}
        infos = model_infos(folder, bundles)
        report = folder / evaluation.REPORT_FILE
        return evaluation.RunFigures(
            name=folder.name,
            metrics={model: {key: found[key] for key in evaluation.METRICS} for model, found in metrics.items()},
            models={model: infos.get(model, evaluation.ModelInfo()) for model in metrics},
            views=max(len(found["views"]) for found in metrics.values()),
            measured_on=max((evaluation.measured_on(found) for found in metrics.values()), key=len),
            seconds=stage_seconds(folder),
            report=Path(os.path.relpath(report, seen_from)).as_posix() if report.is_file() else "",
            asked=asked,
        )
    except NelfError as error:
        return evaluation.RunFigures(folder.name, asked=asked, missing=str(error))


def write_summary(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page of these runs to `out`, or to summary.html in the folder above all of them. Returns its path.

    Raises ConfigError for a folder that is no run, and where none of them was measured.
    """
    if strangers := [folder for folder in folders if not folder.is_dir()]:
        raise ConfigError(f"{strangers[0]} is no run; give folders of runs, e.g. runs/NAME")
    out = out or Path(os.path.commonpath([folder.resolve().parent for folder in folders])) / evaluation.SUMMARY_FILE
    runs = [run_figures(folder, out.resolve().parent) for folder in folders]
    if all(run.missing for run in runs):
        raise ConfigError(f"none of the {len(runs)} runs can be shown: {runs[0].name}: {runs[0].missing}")
    evaluation.write_summary_page(out, f"{len(runs)} runs", runs)
    return out
