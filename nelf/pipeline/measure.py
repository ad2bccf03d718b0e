"""The evaluation stage's work: every model of a run on the test views, the orbit video and the report."""

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from nelf import evaluate as evaluation
from nelf import export as exporting
from nelf.pipeline.closing import advice, closing_lines, figures_of, next_command
from nelf.pipeline.figures import model_infos, stage_seconds
from nelf.pipeline.forecast import noted_seconds, noted_warnings
from nelf.pipeline.run import STUDENT, Run, leave_if_asked
from nelf.progress import ProgressLine, Stop
from nelf.student import Student, load_student
from nelf.teacher import load_teacher, render_image


def outputs_of(run: Run, bundles: dict[str, Path]) -> list[str]:
    """What `measure` leaves in the evaluation's folder."""
    models = [*(["teacher"] if run.teacher else []), "student", *bundles]
    video = [evaluation.ORBIT_FILE] if run.config.eval.video_frames else []
    return [evaluation.METRICS_FILE, evaluation.GROUND_TRUTH, *models, *video]


def measure(run: Run, bundles: dict[str, Path], stop: Stop) -> None:
    """metrics.json, its pictures and the orbit video."""
    scene, folder = run.scene, run.folder / evaluation.EVAL_FOLDER
    student = load_student(run.folder / STUDENT).to(run.fabric.device)
    models: dict[str, evaluation.Renderer] = {}
    if run.teacher:
        models["teacher"] = _teacher_renderer(run, run.teacher)
    models["student"] = functools.partial(_render_student, student)
    for name, path in bundles.items():
        models[name] = _bundle_renderer(exporting.open_bundle(path))
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
        poses = evaluation.orbit_poses(scene.kind, scene.train.c2w, scene.center, scene.up, frames)
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


def _bundle_renderer(bundle: exporting.Bundle) -> evaluation.Renderer:
    return lambda c2w, intrinsics: bundle.render(c2w)


def write_run_report(run: Run, bundles: dict[str, Path]) -> list[str]:
    """report.html of the run; gives the lines with which the run ends."""
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
                ("kind", f"{scene.kind.value}: {scene.kind_reason}"),
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
