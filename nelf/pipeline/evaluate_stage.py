"""Measure all models of a run on the test views; write the report, and the page on many runs."""

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from nelf import evaluate as evaluation
from nelf.bundle import Bundle, open_bundle, read_manifest
from nelf.core.errors import ConfigError, NelfError
from nelf.core.progress import ProgressLine, Stop
from nelf.pipeline.closing import advice, closing_lines, figures_of, next_command
from nelf.pipeline.forecast import noted_seconds, noted_warnings
from nelf.pipeline.overrides import is_run, read_overrides
from nelf.pipeline.record import StageRecord
from nelf.pipeline.run import EXPORT, PSEUDO, STUDENT, TEACHER, Run, leave_if_asked
from nelf.student import Student, count_macs, count_parameters, load_student
from nelf.teacher import load_teacher, render_image

FOLDERS = {"teach": TEACHER.parent, "distill": PSEUDO, "train": STUDENT.parent, "eval": Path(evaluation.EVAL_FOLDER)}


def model_infos(folder: Path, bundles: Mapping[str, Path]) -> dict[str, evaluation.ModelInfo]:
    """Info on teacher, student and `bundles` (name to folder) of the run in `folder`."""
    student = load_student(folder / STUDENT)
    models = {
        "teacher": evaluation.ModelInfo(label="teacher", bytes=_size(folder / TEACHER)),
        "student": evaluation.ModelInfo(
            label=f"student {student.config.name}",
            bytes=_size(folder / STUDENT),
            precision="fp32",
            parameters=count_parameters(student),
            macs=count_macs(student),
        ),
    }
    for name, bundle in bundles.items():
        manifest = read_manifest(bundle)
        parity, latency = manifest.parity, manifest.latency
        models[name] = evaluation.ModelInfo(
            label=name,
            bytes=_size(bundle / manifest.model.path),
            precision=manifest.precision,
            parity=f"{parity.psnr_min:.1f} dB to PyTorch" if parity.status == "passed" else f"not run: {parity.reason}",
            parameters=manifest.student.parameters,
            macs=manifest.student.macs,
            milliseconds=latency.milliseconds if latency and latency.status == "measured" else None,
        )
    return models


def stage_seconds(folder: Path) -> dict[str, float]:
    """Wall time of each finished stage of the run in `folder`."""
    seconds = {stage: StageRecord(folder / part).seconds for stage, part in FOLDERS.items()}
    seconds["export"] = sum(StageRecord(path.parent).seconds for path in (folder / EXPORT).glob(".*/stage.json"))
    return {stage: value for stage, value in seconds.items() if value}


def _size(path: Path) -> int | None:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.is_file() else None


def outputs_of(run: Run, bundles: dict[str, Path]) -> list[str]:
    """Names of everything that `measure` writes to the evaluation's folder."""
    models = [*(["teacher"] if run.teacher else []), "student", *bundles]
    video = [evaluation.ORBIT_FILE] if run.config.eval.video_frames else []
    return [evaluation.METRICS_FILE, evaluation.GROUND_TRUTH, *models, *video]


def measure(run: Run, bundles: dict[str, Path], stop: Stop) -> None:
    """Write metrics.json, its pictures and the orbit video."""
    scene, folder = run.scene, run.folder / evaluation.EVAL_FOLDER
    student = load_student(run.folder / STUDENT).to(run.fabric.device)
    models: dict[str, evaluation.Renderer] = {}
    if run.teacher:
        models["teacher"] = _teacher_renderer(run, run.teacher)
    models["student"] = functools.partial(_render_student, student)
    for name, path in bundles.items():
        models[name] = _bundle_renderer(open_bundle(path))
    each = len(evaluation.chosen_views(scene.test, run.config.eval))
    total = len(models) * each
    order = {name: i for i, name in enumerate(models)}
    with ProgressLine("eval", total, "views") as line:

        def progress(name: str, done: int, psnr: float) -> None:
            leave_if_asked(stop, "eval")
            line.update(order[name] * each + done, f"{name}: PSNR {psnr:.1f} dB on test views")

        evaluation.evaluate(models, scene.test, folder, run.config.eval, progress=progress)
    frames = run.config.eval.video_frames
    if frames:
        poses = evaluation.orbit_poses(scene.type, scene.train.c2w, scene.center, scene.up, frames)
        lens = scene.train.intrinsics.mean(0)

        def pictures(line: ProgressLine) -> Iterator[Tensor]:
            for number, pose in enumerate(poses, start=1):
                leave_if_asked(stop, "eval")
                yield evaluation.to_8bit(_render_student(student, pose, lens))
                line.update(number)

        with ProgressLine("eval: orbit video", frames, "frames") as line:
            evaluation.write_video(folder / evaluation.ORBIT_FILE, pictures(line), run.config.eval.video_fps)


def _teacher_renderer(run: Run, file: Path) -> evaluation.Renderer:
    teacher = load_teacher(file).to(run.fabric.device)
    height, width = run.scene.size

    def render(c2w: Tensor, intrinsics: Tensor) -> Tensor:
        seen = render_image(teacher, c2w, intrinsics, height, width)
        return torch.cat([seen.rgb, seen.alpha[..., None]], dim=-1) if run.scene.channels == 4 else seen.rgb

    return render


@torch.no_grad()
def _render_student(student: Student, c2w: Tensor, intrinsics: Tensor) -> Tensor:
    device = next(student.parameters()).device
    return student(c2w[None].to(device), intrinsics[None].to(device))[0].permute(1, 2, 0).cpu()


def _bundle_renderer(bundle: Bundle) -> evaluation.Renderer:
    return lambda c2w, intrinsics: bundle.render(c2w)


def write_run_report(run: Run, bundles: dict[str, Path]) -> list[str]:
    """Write report.html of the run; return the closing lines."""
    height, width = run.scene.size
    scene = run.scene
    metrics = evaluation.read_metrics(run.folder / evaluation.EVAL_FOLDER)
    models = model_infos(run.folder, bundles)
    said = advice(figures_of(run, metrics), run.config, run.folder)
    evaluation.write_report(
        run.folder,
        evaluation.RunInfo(
            name=run.folder.name,
            scene=[
                ("format", scene.format),
                ("type", f"{scene.type.value}: {scene.type_reason}"),
                ("views", ", ".join(f"{len(views)} {split}" for split, views in scene.splits.items())),
                ("image size", f"{width} x {height}, {'RGBA' if scene.channels == 4 else 'RGB'}"),
            ],
            models=models,
            stage_seconds=stage_seconds(run.folder),
            config_yaml=(run.folder / "config.yaml").read_text(),
            commands=[run.command],
            report_views=run.config.eval.report_views,
            verdict=noted_warnings(run.folder),
            expected_seconds=noted_seconds(run.folder),
            advice=said,
            next_command=next_command(run.folder),
        ),
    )
    timed = {
        name: dataclasses.replace(model, milliseconds=1e3 * metrics[name]["seconds_per_view"])
        for name, model in models.items()
        if name in metrics and name not in bundles
    }
    return closing_lines(metrics, {**models, **timed}, said, run.folder)


def is_measured(folder: Path) -> bool:
    """Whether the run in `folder` was ever finished."""
    return (folder / evaluation.EVAL_FOLDER / evaluation.METRICS_FILE).is_file()


def run_figures(folder: Path, seen_from: Path) -> evaluation.RunFigures:
    """Results of the run in `folder`. If they cannot be read, the row says why, and the table does not fail.

    seen_from: folder of the page that links to the run's report.
    """
    asked: list[str] = []
    try:
        asked = read_overrides(folder)[1:] if is_run(folder) else []  # the first names the scene's folder
        if not is_measured(folder):
            raise NelfError("not measured yet; the command that made the run continues it")
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
    """Write the page of these runs to `out`, by default summary.html in the folder above all of them. Returns its path.

    Raises ConfigError for a folder that is not a run, and if none of the runs was measured.
    """
    if strangers := [folder for folder in folders if not folder.is_dir()]:
        raise ConfigError(f"{strangers[0]} is not a run; give folders of runs, e.g. runs/NAME")
    out = out or Path(os.path.commonpath([folder.resolve().parent for folder in folders])) / evaluation.SUMMARY_FILE
    runs = [run_figures(folder, out.resolve().parent) for folder in folders]
    if all(run.missing for run in runs):
        raise ConfigError(f"none of the {len(runs)} runs can be shown: {runs[0].name}: {runs[0].missing}")
    evaluation.write_summary_page(out, f"{len(runs)} runs", runs)
    return out
