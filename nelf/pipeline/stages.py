"""The five stages of a run, each skipped if its output is current: teach, distill, train, export, eval."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import torch

from nelf import evaluate as evaluation
from nelf.core.devices import reduced_type
from nelf.core.files import sha256, write_json
from nelf.core.processes import is_first_process
from nelf.core.progress import Stop, as_step, in_step, steps
from nelf.distill import ProcessGroup, distill_in_workers, external_scene, seen_range
from nelf.export import plan as planned_bundles
from nelf.pipeline.evaluate_stage import measure, outputs_of, write_run_report
from nelf.pipeline.export_stage import current_bundles, export_to
from nelf.pipeline.forecast import foresee
from nelf.pipeline.record import StageRecord, fingerprint
from nelf.pipeline.run import EXPORT, PSEUDO, STUDENT, TEACHER, Echo, Run, files_digest
from nelf.scene import Scene, SceneConfig, Views, load_scene
from nelf.student import Mapping, SceneGeometry, Student, make_student, save_student
from nelf.teacher import Teacher, load_teacher
from nelf.teacher.stage import teach
from nelf.train import train


@as_step("teach")
def run_teach(run: Run, stop: Stop, echo: Echo) -> None:
    """Train the teacher."""
    if run.config.distill.source == "folder":
        echo(in_step("teach: not needed, distill.source=folder"))
        return
    record = StageRecord(run.folder / TEACHER.parent)
    fingerprint, outputs = functools.partial(teach_fingerprint, run), [TEACHER.name]
    if run.is_current(record, fingerprint, outputs):
        echo(in_step("teach: up to date"))
        return
    with run.running(record, fingerprint, outputs):
        teach(run.scene, run.config.teacher, record.folder, run.fabric, stop)


def teach_fingerprint(run: Run) -> str:
    """Fingerprint of all that the teacher depends on."""
    return fingerprint(stage="teach", scene=run.scene_digest, config=dataclasses.asdict(run.config.teacher))


@as_step("distill")
def run_distill(run: Run, stop: Stop, echo: Echo) -> None:
    """Render the pseudo views."""
    run_teach(run, stop, echo)
    config = run.config.distill
    if config.source == "folder":
        external_scene(config, run.scene)
        echo(in_step(f"distill: using {config.folder} as it is"))
        return
    record = StageRecord(run.folder / PSEUDO)
    provenance = provenance_of(run)
    fingerprint, outputs = functools.partial(distill_fingerprint, run, provenance), pseudo_outputs(run)
    if run.is_current(record, fingerprint, outputs):
        echo(in_step("distill: up to date"))
        return
    device = run.fabric.device
    if config.workers > 1 and device.type != "cpu":
        echo(f"distill: distill.workers={config.workers} is for the CPU; one process renders on {device}")
        config = dataclasses.replace(config, workers=1)
    with run.running(record, fingerprint, outputs, reuse=True):
        load = functools.partial(teacher_on, str(device), run.folder / TEACHER, reduced_type(run.fabric))
        ranks = ProcessGroup(run.rank, run.ranks, run.any_rank)
        distill_in_workers(load, run.scene, config, record.folder, provenance, stop, ranks)


def provenance_of(run: Run) -> dict[str, str]:
    """Identifies the teacher of this run's pseudo views."""
    return {"teacher": sha256(run.folder / TEACHER), "scene": run.scene_digest}


def distill_fingerprint(run: Run, provenance: dict[str, str]) -> str:
    """Fingerprint of all that the pseudo views depend on."""
    return fingerprint(stage="distill", config=dataclasses.asdict(run.config.distill), **provenance)


def pseudo_outputs(run: Run) -> list[str]:
    """Names of what the stage `distill` leaves in its folder."""
    return ["transforms.json", "images", *(["depths"] if run.config.distill.depth else [])]


def teacher_on(device: str, path: Path, dtype: torch.dtype | None = None) -> Teacher:
    """The teacher saved at `path`, on `device`. Worker processes need this, since Fabric cannot be sent to them.

    dtype: of its matrix products; None is float32. Ignored where the rounding would show.
    """
    teacher = load_teacher(path).to(device)
    return teacher if dtype is None else teacher.with_precision(dtype)


def rendered_scene(run: Run) -> Scene:
    """The pseudo views rendered by `run_distill`."""
    return load_scene(SceneConfig(path=str(run.folder / PSEUDO), holdout=0, val_holdout=0))


def pseudo_scene(run: Run) -> Scene:
    """The pseudo views that the student learns from: the run's own, or those of distill.folder."""
    return (
        external_scene(run.config.distill, run.scene) if run.config.distill.source == "folder" else rendered_scene(run)
    )


def new_student(run: Run, pseudo: Views | None = None) -> Student:
    """An untrained student for the run's scene. pseudo: what it will learn from; an open scene's depths are theirs."""
    scene, mapping = run.scene, run.config.student.mapping_for(bounded=run.bounded)
    near, far = scene.near, scene.far
    if pseudo is not None and mapping is Mapping.DISPARITY:
        near, far = seen_range(pseudo, near, far)
    frame = SceneGeometry.around(
        scene.train.c2w,
        scene.train.intrinsics,
        scene.size,
        scene.channels,
        near,
        far,
        scene.center,
        scene.radius,
        mapping,
        within_ball=run.config.student.within_ball,
    )
    torch.manual_seed(run.config.train.seed)
    return make_student(run.config.student, frame)


@as_step("train")
def run_train(run: Run, stop: Stop, echo: Echo, start: Student | None = None) -> None:
    """Distill the student. start: with the weights to begin from; None begins from random ones."""
    run_distill(run, stop, echo)
    record = StageRecord(run.folder / STUDENT.parent)
    external = external_scene(run.config.distill, run.scene) if run.config.distill.source == "folder" else None
    fingerprint, outputs = functools.partial(train_fingerprint, run, external), [STUDENT.name]
    if run.is_current(record, fingerprint, outputs):
        echo(in_step("train: up to date"))
        return
    with run.running(record, fingerprint, outputs):
        scene, pseudo = run.scene, external or rendered_scene(run)
        student = start or new_student(run, pseudo.train)
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


def train_fingerprint(run: Run, external: Scene | None) -> str:
    """Fingerprint of all that the student depends on. external: the views that were rendered elsewhere."""
    return fingerprint(
        stage="train",
        scene=run.scene_digest,
        pseudo=files_digest(external) if external else sha256(run.folder / PSEUDO / "transforms.json"),
        student=dataclasses.asdict(run.config.student),
        config=dataclasses.asdict(run.config.train),
    )


@as_step("export")
def run_export(run: Run, stop: Stop, echo: Echo) -> None:
    """Make the bundles that export.targets names, inside the run."""
    run_train(run, stop, echo)
    if not is_first_process():
        return  # only training and the stages before use several processes
    export_to(run, run.folder / EXPORT, stop, echo)


@as_step("eval")
def run_eval(run: Run, stop: Stop, echo: Echo) -> None:
    """Measure teacher, student and the run's bundles on the test views; write the report."""
    run_train(run, stop, echo)
    if is_first_process():
        evaluate_run(run, stop, echo)


def eval_fingerprint(run: Run, bundles: dict[str, Path]) -> str:
    """Fingerprint of all that the measurement depends on."""
    return fingerprint(
        stage="eval",
        scene=run.scene_digest,
        teacher=sha256(run.teacher) if run.teacher else None,
        student=sha256(run.folder / STUDENT),
        bundles={name: sha256(folder) for name, folder in bundles.items()},
        config=dataclasses.asdict(run.config.eval),
    )


@as_step("eval")
def evaluate_run(run: Run, stop: Stop, echo: Echo) -> None:
    """`run_eval` for a run whose other stages are done."""
    record = StageRecord(run.folder / evaluation.EVAL_FOLDER)
    bundles = current_bundles(run, echo)
    fingerprint = eval_fingerprint(run, bundles)
    outputs = outputs_of(run, bundles)
    if not record.is_current(fingerprint, outputs):
        with record.running(fingerprint, outputs):
            measure(run, bundles, stop)
    elif (later := evaluation.fill_missing_metrics(record.folder, run.config.eval)) is not None:
        with record.running(fingerprint, outputs):
            write_json(record.folder / evaluation.METRICS_FILE, later)
        echo(in_step("eval: measured the missing metrics on the existing pictures"))
    else:
        echo(in_step("eval: up to date"))
    for line in write_run_report(run, bundles):
        echo(line)
    found = evaluation.read_metrics(record.folder).values()
    excluded = run.config.eval.skipped()
    reasons = {reason: name for model in found for name, reason in model["unavailable"].items() if name not in excluded}
    for reason, name in reasons.items():
        echo(f"eval: no {name.partition('_')[0].upper()}: {reason}")
    if any(len(model["views"]) < model["test_views"] for model in found):
        echo("eval: eval.max_views left out some test views, so these figures are rough")


def run_all(run: Run, stop: Stop, echo: Echo) -> None:
    """Run every stage."""
    run_export(run, stop, echo)
    if is_first_process():
        evaluate_run(run, stop, echo)


STEPS: dict[str, tuple[str, ...]] = {
    "teach": ("teach",),
    "distill": ("teach", "distill"),
    "train": ("teach", "distill", "train"),
    "export": ("teach", "distill", "train", "export"),
    "eval": ("teach", "distill", "train", "eval"),
    "run": ("teach", "distill", "train", "export", "eval"),
}
"""Command -> its steps, as numbered for the user."""


def pending(run: Run, command: str) -> tuple[str, ...]:
    """The steps of `command` that have work to do, found without reading earlier outputs."""
    if run.config.distill.source == "folder":
        external = external_scene(run.config.distill, run.scene)
        looks = {"train": lambda: _seems_trained(run, external)}
    else:
        looks = {
            "teach": lambda: StageRecord(run.folder / TEACHER.parent).seems_current(
                teach_fingerprint(run), [TEACHER.name]
            ),
            "distill": lambda: StageRecord(run.folder / PSEUDO).seems_current(
                distill_fingerprint(run, provenance_of(run)), pseudo_outputs(run)
            ),
            "train": lambda: _seems_trained(run, None),
        }
    looks |= {"export": lambda: _seems_exported(run), "eval": lambda: _seems_measured(run)}
    names = tuple(name for name in STEPS[command] if name in looks)
    for number, name in enumerate(names):
        if not looks[name]():
            return names[number:]
    return ()


def _seems_trained(run: Run, external: Scene | None) -> bool:
    return StageRecord(run.folder / STUDENT.parent).seems_current(train_fingerprint(run, external), [STUDENT.name])


def _seems_exported(run: Run) -> bool:
    config = run.config.export
    wanted = {name for _, _, name in planned_bundles(config.targets, config.precision, config.image_output)}
    return wanted <= current_bundles(run, lambda text: None).keys()


def _seems_measured(run: Run) -> bool:
    bundles = current_bundles(run, lambda text: None)
    record = StageRecord(run.folder / evaluation.EVAL_FOLDER)
    return record.seems_current(eval_fingerprint(run, bundles), outputs_of(run, bundles))


def perform(command: str, run: Run, stop: Stop, echo: Echo) -> None:
    """Run `command`; each stage first runs those it needs. Before the first one with work to do, forecast the cost."""
    with steps(STEPS[command]):
        if is_first_process() and (stages := pending(run, command)):
            foresee(run, new_student(run), stages, echo)
        WORK[command](run, stop, echo)


WORK: dict[str, Callable[[Run, Stop, Echo], None]] = {
    "teach": run_teach,
    "distill": run_distill,
    "train": run_train,
    "export": run_export,
    "eval": run_eval,
    "run": run_all,
}

STAGES: dict[str, Callable[[Run, Stop, Echo], None]] = {name: functools.partial(perform, name) for name in WORK}
"""Command -> its function."""

NEEDS: dict[str, tuple[str, ...]] = {
    name: ("train", "test") if name in ("eval", "run") else ("train",) for name in STAGES
}
"""Command -> the splits it needs; without them it is refused before any work."""
