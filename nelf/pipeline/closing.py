"""The end of a run: a table of its models, what would improve them, and what to do next."""

import shlex
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nelf import evaluate as evaluation
from nelf.core.files import read_json
from nelf.pipeline.config import Config
from nelf.pipeline.run import STUDENT, TEACHER, Run
from nelf.teacher import TRAINING_FILE

NEAR = 1.0  # dB: a student less than this below its teacher is as good
UNSEEN = 3.0  # dB: a larger gap to the teacher on test views than on pseudo views means too few pseudo views
OVERFITTED = 4.0  # dB: the same for a teacher and its photos
LOSS = 0.3  # dB: loss of an exported file that is worth a remark
LARGER = {"s": "m", "m": "l"}
COMPARED = 20  # most views on which student and teacher are compared


@dataclass(frozen=True)
class Figures:
    """Inputs of the advice; PSNR in dB, None if unknown.

    teacher, student: on the test views. student_to_teacher: between their pictures of the test views.
    student_in_training: on the last pseudo views. teacher_in_training: on the last rays. bundles: on the test views.
    """

    teacher: float | None
    student: float
    student_to_teacher: float | None
    student_in_training: float | None
    teacher_in_training: float | None
    bundles: Mapping[str, float]


def figures_of(run: Run, metrics: Mapping[str, Any]) -> Figures:
    """Figures of a run that was measured."""
    own = ("teacher", "student")
    return Figures(
        teacher=metrics["teacher"]["psnr"] if "teacher" in metrics else None,
        student=metrics["student"]["psnr"],
        student_to_teacher=_student_to_teacher(run.folder, metrics) if "teacher" in metrics else None,
        student_in_training=_student_in_training(run.folder / STUDENT.parent / "history.json"),
        teacher_in_training=_figure(run.folder / TEACHER.parent / TRAINING_FILE, "psnr"),
        bundles={name: found["psnr"] for name, found in metrics.items() if name not in own},
    )


def advice(found: Figures, config: Config, folder: Path) -> list[tuple[str, str]]:
    """What would help, most important first: (text, command)."""
    command = ["nelf", "run", str(folder)]
    said: list[tuple[float, str, list[str]]] = []
    if found.teacher is not None:
        gap = found.teacher - found.student
        if gap > NEAR and _too_few(found):
            more = 2 * config.distill.views
            text = (
                f"the student is within {found.student_in_training:.1f} dB of its teacher on pseudo views, but only "
                f"{found.student_to_teacher:.1f} dB on test views: render more pseudo views"
            )
            limit = (
                []
                if config.distill.max_minutes is None
                else [f"distill.max_minutes={2 * config.distill.max_minutes:g}"]
            )
            said.append((gap, text, [*command, f"distill.views={more}", *limit]))
        elif gap > NEAR:
            text = f"the student is {gap:.1f} dB below its teacher: train it longer"
            said.append((gap, text, [*command, *_longer("train", config.train.max_minutes, config.train.max_steps)]))
            if larger := config.student.larger:
                said.append((gap - 0.01, "or use a larger student, which is slower", [*command, f"student={larger}"]))
        else:
            text = f"the student is as good as its teacher ({found.teacher:.1f} dB): train the teacher longer"
            longer = _longer("teacher", config.teacher.max_minutes, config.teacher.max_steps)
            said.append((NEAR, text, [*command, *longer]))
        if found.teacher_in_training is not None and found.teacher_in_training - found.teacher > OVERFITTED:
            text = (
                f"the teacher has {found.teacher_in_training:.1f} dB on the photos it learns from, "
                f"{found.teacher:.1f} dB on others: take more photos, or look for wrong poses"
            )
            gain = (found.teacher_in_training - found.teacher) / 2
            said.append((gain, text, ["nelf", "data", "check", config.scene.path]))
    for name, psnr in found.bundles.items():
        if found.student - psnr > LOSS:
            target = name.partition("-")[0]
            text = f"{name} loses {found.student - psnr:.1f} dB compared with the student: use a higher precision"
            said.append(
                (found.student - psnr, text, ["nelf", "export", str(folder), "--target", target, "--precision", "fp32"])
            )
    said.sort(key=lambda one: -one[0])
    return [(text, shlex.join(words)) for _, text, words in said]


def next_command(folder: Path) -> str:
    """The command that shows the result."""
    return shlex.join(["nelf", "view", str(folder)])


def closing_lines(
    metrics: Mapping[str, Any],
    models: Mapping[str, evaluation.ModelInfo],
    said: list[tuple[str, str]],
    folder: Path,
) -> list[str]:
    """Lines for the terminal: table of models, advice and next command."""
    views = max(len(found["views"]) for found in metrics.values())
    width = max(len("model"), *map(len, metrics))
    lines = [f"PSNR on {views} test views; ms per view on this machine, if measured:"]
    lines.append(f"  {'model':{width}}  PSNR dB      MB      ms")
    for name, found in metrics.items():
        info = models.get(name, evaluation.ModelInfo())
        size = "-" if info.bytes is None else f"{info.bytes / 1e6:.2f}"
        time = "-" if info.milliseconds is None else f"{info.milliseconds:.1f}"
        lines.append(f"  {name:{width}}  {found['psnr']:7.2f}  {size:>6}  {time:>6}")
    if said:
        lines.append("what would help most:")
        for text, command in said:
            lines += [f"  {text}", f"      {command}"]
    return [*lines, f"report: {folder / evaluation.REPORT_FILE}", f"next: {next_command(folder)}"]


def _too_few(found: Figures) -> bool:
    """Whether the student knows the views it learnt from, but not the space between them."""
    seen, elsewhere = found.student_in_training, found.student_to_teacher
    return seen is not None and elsewhere is not None and seen - elsewhere > UNSEEN


def _longer(group: str, minutes: float | None, steps: int | None) -> list[str]:
    """Overrides that double a budget."""
    by_steps = [] if steps is None else [f"{group}.max_steps={2 * steps}"]
    return by_steps + ([] if minutes is None else [f"{group}.max_minutes={2 * minutes:g}"])


def _student_to_teacher(folder: Path, metrics: Mapping[str, Any]) -> float:
    eval_folder, views = folder / evaluation.EVAL_FOLDER, list(metrics["student"]["views"])
    chosen = views[:: -(-len(views) // COMPARED)]

    def picture(model: str, view: str) -> Any:
        return evaluation.read_picture(eval_folder / model / f"{view}.png")

    return statistics.fmean(evaluation.psnr(picture("student", view), picture("teacher", view)) for view in chosen)


def _student_in_training(path: Path) -> float | None:
    """The student's PSNR at the end of stage 1; None if it was not recorded."""
    try:
        entries = [entry["train_psnr"] for entry in read_json(path) if entry["stage"] == 1]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(entries[-1]) if entries and isinstance(entries[-1], (int, float)) else None


def _figure(path: Path, key: str) -> float | None:
    try:
        found = read_json(path)[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(found) if isinstance(found, (int, float)) else None
