"""The five stages of a run, each skipped while its output is current: teach, distill, train, export, eval."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nelf import evaluate as evaluation
from nelf import export as exporting
from nelf.data import Scene, SceneConfig, load_scene
from nelf.distill import distill_in_workers, external_scene, pseudo_poses
from nelf.pipeline.record import StageRecord, digest, fingerprint
from nelf.pipeline.run import Run
from nelf.progress import ProgressLine, Stop
from nelf.storage import sha256
from nelf.student import Frame, NeLF, count_macs, count_parameters, load_student, save_student
from nelf.teacher import load_teacher, render_image, teach
from nelf.train import train

TEACHER = Path("teacher/teacher.safetensors")
PSEUDO = Path("pseudo")
STUDENT = Path("student/student.safetensors")
EXPORT = Path("export")
WHITE = (1.0, 1.0, 1.0)

Say = Callable[[str], None]


def run_teach(run: Run, stop: Stop, say: Say) -> None:
    """Train the teacher."""
    if run.config.distill.teacher == "external":
        say("teach: not needed, distill.teacher=external")
        return
    record = StageRecord(run.folder / TEACHER.parent)
    print_ = fingerprint(stage="teach", scene=run.scene_digest, config=dataclasses.asdict(run.config.teacher))
    if record.is_current(print_):
        say("teach: up to date")
        return
    with record.making(print_, [TEACHER.name]):
        teach(run.scene, run.config.teacher, record.folder, run.fabric, stop)


def run_distill(run: Run, stop: Stop, say: Say) -> None:
    """Render the pseudo views."""
    run_teach(run, stop, say)
    config = run.config.distill
    if config.teacher == "external":
        external_scene(config, run.scene)
        say(f"distill: {config.external} is taken as it is")
        return
    record = StageRecord(run.folder / PSEUDO)
    provenance = {"teacher": sha256(run.folder / TEACHER), "scene": run.scene_digest}
    print_ = fingerprint(stage="distill", config=dataclasses.asdict(config), **provenance)
    if record.is_current(print_):
        say("distill: up to date")
        return
    with record.making(print_, ["transforms.json", "images"], reuse=True):
        load = functools.partial(load_teacher, run.folder / TEACHER)
        distill_in_workers(load, run.scene, config, record.folder, provenance, stop)


def pseudo_scene(run: Run) -> Scene:
    """What the student learns from."""
    if run.config.distill.teacher == "external":
        return external_scene(run.config.distill, run.scene)
    return load_scene(SceneConfig(path=str(run.folder / PSEUDO), holdout=0, val_holdout=0))


def new_student(run: Run) -> NeLF:
    """An untrained student for the run's scene."""
    scene = run.scene
    frame = Frame.around(
        scene.train.c2w,
        scene.train.intrinsics,
        scene.size,
        scene.channels,
        scene.near,
        scene.far,
        scene.center,
        scene.radius,
        run.config.student.mapping_for(bounded=run.bounded),
    )
    torch.manual_seed(run.config.train.seed)
    return NeLF(run.config.student, frame)


def run_train(run: Run, stop: Stop, say: Say) -> None:
    """Distil the student."""
    run_distill(run, stop, say)
    record = StageRecord(run.folder / STUDENT.parent)
    external = run.config.distill.teacher == "external"
    source = Path(str(run.config.distill.external)) if external else run.folder / PSEUDO / "transforms.json"
    print_ = fingerprint(
        stage="train",
        scene=run.scene_digest,
        pseudo=sha256(source),
        student=dataclasses.asdict(run.config.student),
        config=dataclasses.asdict(run.config.train),
    )
    if record.is_current(print_):
        say("train: up to date")
        return
    with record.making(print_, [STUDENT.name]):
        student = new_student(run)
        scene, pseudo = run.scene, pseudo_scene(run).train
        student = train(
            student,
            pseudo,
            scene.train,
            scene.val,
            run.config.train,
            record.folder,
            run.fabric,
            stop,
            compiled=run.config.device.compile,
        )
        save_student(run.folder / STUDENT, student)


def run_export(run: Run, stop: Stop, say: Say) -> None:
    """Make the bundles that export.targets names, inside the run."""
    run_train(run, stop, say)
    export_to(run, run.folder / EXPORT, say)


def export_to(run: Run, folder: Path, say: Say) -> list[Path]:
    """Export the run's student; a bundle that is current is left alone. Returns the bundles' folders."""
    config, context = run.config.export, bundle_context(run)
    made = []
    for target, precision, name in exporting.plan(config.targets, config.precision):
        record = StageRecord(folder / f".{name}")
        print_ = fingerprint(
            stage="export",
            context=_plain(context),
            config=dataclasses.asdict(config) | {"targets": [], "precision": precision},
        )
        bundle = folder / name
        made.append(bundle)
        if record.is_current(print_) and record.content.get("bundle") == digest(bundle):
            say(f"export: {name} is up to date")
            continue
        with record.making(print_, []):
            student = load_student(run.folder / STUDENT)
            manifest = exporting.export_bundle(student, target, precision, context, config, bundle)
            record.content["bundle"] = sha256(bundle)
        parity = manifest.parity
        say(f"export: {bundle}: {precision}, {parity.psnr_min:.1f} dB or more to PyTorch on {parity.views} poses")
    return made


def bundle_context(run: Run) -> exporting.BundleContext:
    """What bundles say about the run's scene."""
    scene = run.scene
    golden, names = _golden_poses(run)
    return exporting.BundleContext(
        name=scene.name,
        kind=scene.kind.value,
        up=scene.up,
        focus=scene.center,
        near=scene.near,
        far=scene.far,
        background=WHITE,
        train=scene.train.c2w,
        golden=golden,
        golden_names=names,
        provenance={"checkpoint": sha256(run.folder / STUDENT), "config": dataclasses.asdict(run.config)},
    )


def _golden_poses(run: Run) -> tuple[Tensor, tuple[str, ...]]:
    """Poses that no training saw: test views, evenly spread; where there are too few, new poses of the same region."""
    scene, count = run.scene, run.config.export.golden_views
    chosen = [round(i * (len(scene.test) - 1) / max(count - 1, 1)) for i in range(count)]
    test = scene.test.select(sorted(set(chosen)))
    missing = range(count - len(test))
    config = dataclasses.replace(run.config.distill, seed=run.config.distill.seed + 1)
    more = pseudo_poses(scene.kind, scene.train.c2w, scene.center, scene.up, config, missing)
    return torch.cat([test.c2w, more]), (*test.names, *(f"new_{i}" for i in missing))


def run_eval(run: Run, stop: Stop, say: Say) -> None:
    """Measure teacher, student and every bundle of the run on the test views; write the report."""
    run_train(run, stop, say)
    record = StageRecord(run.folder / evaluation.EVAL_FOLDER)
    bundles = {path.parent.name: path.parent for path in sorted((run.folder / EXPORT).glob("*/manifest.json"))}
    print_ = fingerprint(
        stage="eval",
        scene=run.scene_digest,
        teacher=digest(run.folder / TEACHER),
        student=sha256(run.folder / STUDENT),
        bundles={name: sha256(folder) for name, folder in bundles.items()},
        config=dataclasses.asdict(run.config.eval),
    )
    if record.is_current(print_):
        say("eval: up to date")
    else:
        with record.making(print_, ["metrics.json"]):
            _measure(run, bundles)
    write_run_report(run, bundles)
    metrics = evaluation.read_metrics(record.folder)
    for name, found in metrics.items():
        say(f"eval: {name:14s} {found['psnr']:.2f} dB PSNR on {len(found['views'])} test views")
    say(f"eval: report in {run.folder / evaluation.REPORT_FILE}")


def _measure(run: Run, bundles: dict[str, Path]) -> None:
    scene, folder = run.scene, run.folder / evaluation.EVAL_FOLDER
    student = load_student(run.folder / STUDENT).to(run.fabric.device)
    models: dict[str, evaluation.Renderer] = {}
    if (run.folder / TEACHER).is_file():
        models["teacher"] = _teacher_renderer(run)
    models["student"] = functools.partial(_render_student, student)
    for name, path in bundles.items():
        models[name] = _bundle_renderer(exporting.open_bundle(path))
    total = float(len(models) * len(scene.test))
    with ProgressLine("eval", total, "views") as line:
        order = {name: i for i, name in enumerate(models)}
        evaluation.evaluate(
            models,
            scene.test,
            folder,
            run.config.eval,
            progress=lambda name, done, count: line.update(float(order[name] * count + done), model=name),
        )
    frames = run.config.eval.video_frames
    if frames:
        poses = evaluation.orbit_poses(scene.kind, scene.train.c2w, scene.center, scene.up, frames)
        lens = scene.train.intrinsics.mean(0)
        pictures = (evaluation.to_8bit(_render_student(student, pose, lens)) for pose in poses)
        evaluation.write_video(folder / evaluation.ORBIT_FILE, pictures, run.config.eval.video_fps)


def _teacher_renderer(run: Run) -> evaluation.Renderer:
    teacher = load_teacher(run.folder / TEACHER).to(run.fabric.device)
    height, width = run.scene.size

    def render(c2w: Tensor, intrinsics: Tensor) -> Tensor:
        seen = render_image(teacher, c2w, intrinsics, height, width)
        return torch.cat([seen.rgb, seen.alpha[..., None]], dim=-1) if run.scene.channels == 4 else seen.rgb

    return render


@torch.no_grad()
def _render_student(student: NeLF, c2w: Tensor, intrinsics: Tensor) -> Tensor:
    device = student.columns.device
    return student(c2w[None].to(device), intrinsics[None].to(device))[0].permute(1, 2, 0).cpu()


def _bundle_renderer(bundle: exporting.Bundle) -> evaluation.Renderer:
    return lambda c2w, intrinsics: bundle.render(c2w)


def write_run_report(run: Run, bundles: dict[str, Path]) -> None:
    """report.html of the run."""
    student = load_student(run.folder / STUDENT)
    models = {
        "teacher": evaluation.ModelInfo(label="teacher", bytes=_size(run.folder / TEACHER)),
        "student": evaluation.ModelInfo(
            label=f"student {run.config.student.name}",
            bytes=_size(run.folder / STUDENT),
            precision="fp32",
            parameters=count_parameters(student),
            macs=count_macs(student),
        ),
    }
    for name, folder in bundles.items():
        manifest = exporting.read_manifest(folder)
        parity = manifest.parity
        models[name] = evaluation.ModelInfo(
            label=name,
            bytes=_size(folder / manifest.model.path),
            precision=manifest.precision,
            parity=f"{parity.psnr_min:.1f} dB to PyTorch" if parity.status == "passed" else f"not run: {parity.reason}",
            parameters=manifest.student.parameters,
            macs=manifest.student.macs,
        )
    folders = {"teach": TEACHER.parent, "distill": PSEUDO, "train": STUDENT.parent, "eval": Path("eval")}
    seconds = {stage: StageRecord(run.folder / folder).seconds for stage, folder in folders.items()}
    height, width = run.scene.size
    scene = run.scene
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
            stage_seconds={stage: value for stage, value in seconds.items() if value},
            config_yaml=(run.folder / "config.yaml").read_text(),
            commands=[" ".join(["nelf run", scene.root.name, *run.overrides[1:]])],
            report_views=run.config.eval.report_views,
        ),
    )


def run_all(run: Run, stop: Stop, say: Say) -> None:
    """Every stage."""
    run_export(run, stop, say)
    run_eval(run, stop, say)


STAGES: dict[str, Callable[[Run, Stop, Say], None]] = {
    "teach": run_teach,
    "distill": run_distill,
    "train": run_train,
    "export": run_export,
    "eval": run_eval,
    "run": run_all,
}
"""Command -> what it does; each does first what it needs."""


def _size(path: Path) -> int | None:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.is_file() else None


def _plain(context: exporting.BundleContext) -> dict[str, Any]:
    values = {item.name: getattr(context, item.name) for item in dataclasses.fields(context)}
    return {key: value.tolist() if isinstance(value, Tensor) else value for key, value in values.items()}
