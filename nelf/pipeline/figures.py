"""What is known of a run's models and stages from its folder alone."""

from collections.abc import Mapping
from pathlib import Path

from nelf import evaluate as evaluation
from nelf import export as exporting
from nelf.pipeline.record import StageRecord
from nelf.pipeline.run import EXPORT, PSEUDO, STUDENT, TEACHER
from nelf.student import count_macs, count_parameters, load_student

FOLDERS = {"teach": TEACHER.parent, "distill": PSEUDO, "train": STUDENT.parent, "eval": Path(evaluation.EVAL_FOLDER)}


def model_infos(folder: Path, bundles: Mapping[str, Path]) -> dict[str, evaluation.ModelInfo]:
    """Teacher, student and `bundles` (name to folder) of the run in `folder`."""
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
        manifest = exporting.read_manifest(bundle)
        parity = manifest.parity
        models[name] = evaluation.ModelInfo(
            label=name,
            bytes=_size(bundle / manifest.model.path),
            precision=manifest.precision,
            parity=f"{parity.psnr_min:.1f} dB to PyTorch" if parity.status == "passed" else f"not run: {parity.reason}",
            parameters=manifest.student.parameters,
            macs=manifest.student.macs,
            milliseconds=manifest.latency.milliseconds if manifest.latency else None,
        )
    return models


def stage_seconds(folder: Path) -> dict[str, float]:
    """Wall time of each stage that was done in the run in `folder`."""
    seconds = {stage: StageRecord(folder / part).seconds for stage, part in FOLDERS.items()}
    seconds["export"] = sum(StageRecord(path.parent).seconds for path in (folder / EXPORT).glob(".*/stage.json"))
    return {stage: value for stage, value in seconds.items() if value}


def _size(path: Path) -> int | None:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.is_file() else None
