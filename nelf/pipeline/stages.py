"""The five stages of a run, each skipped while its output is current: teach, distill, train, export, eval."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import torch

from nelf import evaluate as evaluation
from nelf.data import Scene, SceneConfig, load_scene
from nelf.devices import reduced_type
from nelf.distill import Ranks, distill_in_workers, external_scene
from nelf.pipeline.bundles import current_bundles, export_to
from nelf.pipeline.measure import measure, outputs_of, write_run_report
from nelf.pipeline.record import StageRecord, fingerprint
from nelf.pipeline.run import EXPORT, PSEUDO, STUDENT, TEACHER, Run, Say, files_digest
from nelf.processes import is_first_process
from nelf.progress import Stop
from nelf.storage import sha256, write_json
from nelf.student import Frame, NeLF, save_student
from nelf.teacher import Teacher, load_teacher, teach
from nelf.train import train


def run_teach(run: Run, stop: Stop, say: Say) -> None:
    """Train the teacher."""
    if run.config.distill.teacher == "external":
        say("teach: not needed, distill.teacher=external")
        return
    record = StageRecord(run.folder / TEACHER.parent)

    def print_() -> str:
        return fingerprint(stage="teach", scene=run.scene_digest, config=dataclasses.asdict(run.config.teacher))

    outputs = [TEACHER.name]
    if run.is_current(record, print_, outputs):
        say("teach: up to date")
        return
    with run.making(record, print_, outputs):
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

    def print_() -> str:
        return fingerprint(stage="distill", config=dataclasses.asdict(config), **provenance)

    outputs = ["transforms.json", "images", *(["depths"] if config.depth else [])]
    if run.is_current(record, print_, outputs):
        say("distill: up to date")
        return
    device = run.fabric.device
    if config.workers > 1 and device.type != "cpu":
        say(f"distill: distill.workers={config.workers} is for the CPU; one process renders on {device}")
        config = dataclasses.replace(config, workers=1)
    with run.making(record, print_, outputs, reuse=True):
        load = functools.partial(teacher_on, str(device), run.folder / TEACHER, reduced_type(run.fabric))
        ranks = Ranks(run.rank, run.ranks, run.meet)
        distill_in_workers(load, run.scene, config, record.folder, provenance, stop, ranks)


def teacher_on(device: str, path: Path, dtype: torch.dtype | None = None) -> Teacher:
    """The teacher saved at `path`, where it is to render. Fabric itself cannot be handed to worker processes.

    dtype: of its matrix products, where that is not float32 and would not show.
    """
    teacher = load_teacher(path).to(device)
    return teacher if dtype is None else teacher.reduced(dtype)


def rendered_scene(run: Run) -> Scene:
    """The pseudo views that `run_distill` rendered."""
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
        within_ball=run.config.student.within_ball,
    )
    torch.manual_seed(run.config.train.seed)
    return NeLF(run.config.student, frame)


def run_train(run: Run, stop: Stop, say: Say) -> None:
    """Distil the student."""
    run_distill(run, stop, say)
    record = StageRecord(run.folder / STUDENT.parent)
    external = external_scene(run.config.distill, run.scene) if run.config.distill.teacher == "external" else None

    def print_() -> str:
        return fingerprint(
            stage="train",
            scene=run.scene_digest,
            pseudo=files_digest(external) if external else sha256(run.folder / PSEUDO / "transforms.json"),
            student=dataclasses.asdict(run.config.student),
            config=dataclasses.asdict(run.config.train),
        )

    outputs = [STUDENT.name]
    if run.is_current(record, print_, outputs):
        say("train: up to date")
        return
    with run.making(record, print_, outputs):
        student = new_student(run)
        scene, pseudo = run.scene, external or rendered_scene(run)
        student = train(
            student,
            pseudo.train,
            scene.train,
            scene.val,
            run.config.train,
            record.folder,
            run.fabric,
            stop,
            compiled=run.config.device.compile,
        )
        if is_first_process():
            save_student(run.folder / STUDENT, student)


def run_export(run: Run, stop: Stop, say: Say) -> None:
    """Make the bundles that export.targets names, inside the run."""
    run_train(run, stop, say)
    if not is_first_process():
        return  # training was the last thing that several processes do together
    export_to(run, run.folder / EXPORT, stop, say)


def run_eval(run: Run, stop: Stop, say: Say) -> None:
    """Measure teacher, student and the student's bundles in the run on the test views; write the report."""
    run_train(run, stop, say)
    if is_first_process():
        evaluate_run(run, stop, say)


def evaluate_run(run: Run, stop: Stop, say: Say) -> None:
    """`run_eval` of a run whose other stages are done."""
    record = StageRecord(run.folder / evaluation.EVAL_FOLDER)
    bundles = current_bundles(run, say)
    print_ = fingerprint(
        stage="eval",
        scene=run.scene_digest,
        teacher=sha256(run.teacher) if run.teacher else None,
        student=sha256(run.folder / STUDENT),
        bundles={name: sha256(folder) for name, folder in bundles.items()},
        config=dataclasses.asdict(run.config.eval),
    )
    outputs = outputs_of(run, bundles)
    if not record.is_current(print_, outputs):
        with record.making(print_, outputs):
            measure(run, bundles, stop)
    elif (later := evaluation.measure_later(record.folder, run.config.eval)) is not None:
        with record.making(print_, outputs):
            write_json(record.folder / evaluation.METRICS_FILE, later)
        say("eval: tried again what could not be measured before, on the pictures that are there")
    else:
        say("eval: up to date")
    write_run_report(run, bundles)
    metrics = evaluation.read_metrics(record.folder)
    for name, found in metrics.items():
        say(f"eval: {name:14s} {found['psnr']:.2f} dB PSNR on {len(found['views'])} test views")
    say(f"eval: report in {run.folder / evaluation.REPORT_FILE}")


def run_all(run: Run, stop: Stop, say: Say) -> None:
    """Every stage."""
    run_export(run, stop, say)
    if is_first_process():
        evaluate_run(run, stop, say)


STAGES: dict[str, Callable[[Run, Stop, Say], None]] = {
    "teach": run_teach,
    "distill": run_distill,
    "train": run_train,
    "export": run_export,
    "eval": run_eval,
    "run": run_all,
}
"""Command -> what it does; each does first what it needs."""

NEEDS: dict[str, tuple[str, ...]] = {
    name: ("train", "test") if name in ("eval", "run") else ("train",) for name in STAGES
}
"""Command -> the splits without which it is refused before any work is done."""
