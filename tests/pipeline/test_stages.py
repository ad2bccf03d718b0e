"""What stages pass on. All stages together: tests/test_end_to_end.py."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from nelf.core.progress import Stop
from nelf.pipeline import Run, stages
from nelf.teacher.field import RadianceField, ReducedPrecision
from nelf.teacher.stage import build_field, save_teacher, space_of
from tests.pipeline.commands import finished_run
from tests.scenes import make_blender_scene
from tests.teacher.tiny import instant_ngp

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.open(make_blender_scene(tmp_path / "ball", views=(4, 1, 1)), [f"runs={tmp_path / 'runs'}"])


def untrained_teacher(run: Run) -> Path:
    path, config = run.folder / "teacher" / "teacher.safetensors", instant_ngp()
    path.parent.mkdir(parents=True)
    save_teacher(path, build_field(config, space_of(run.scene), opaque=False), config)
    return path


def test_the_teacher_renders_on_the_device_of_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's device meta acts as a GPU: weights are there only if somebody moved them."""
    untrained_teacher(run)
    loads: list[bytes] = []

    def render(load: Any, scene: object, config: object, folder: Path, *rest: object) -> None:
        loads.append(pickle.dumps(load))  # as it goes to worker processes
        (folder / "transforms.json").write_text("{}")
        (folder / "images").mkdir()
        (folder / "depths").mkdir()

    monkeypatch.setattr(stages, "run_teach", lambda *arguments: None)
    monkeypatch.setattr(stages, "distill_in_workers", render)
    monkeypatch.setattr(Fabric, "device", torch.device("meta"))
    stages.run_distill(run, Stop(), print)
    (load,) = loads
    assert {parameter.device.type for parameter in pickle.loads(load)().parameters()} == {"meta"}


def test_the_teacher_renders_in_the_precision_of_the_run(run: Run) -> None:
    path = untrained_teacher(run)
    assert isinstance(stages.teacher_on("cpu", path), RadianceField)
    assert isinstance(stages.teacher_on("cpu", path, torch.bfloat16), ReducedPrecision)


def test_what_lies_beside_external_renders_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_blender_scene(tmp_path / "ball", views=(4, 1, 1))
    overrides = ["distill.source=folder", f"distill.folder={scene}", f"runs={tmp_path / 'runs'}", "student=s"]
    run, said = Run.open(scene, overrides), []
    monkeypatch.setattr(stages, "train", lambda student, *arguments, **options: student)
    run.__dict__["fabric"] = None
    stages.run_train(run, Stop(), said.append)
    (scene / "notes.txt").write_text("rendered on Tuesday")
    stages.run_train(run, Stop(), said.append)
    assert said[-1] == "train: up to date"
    picture = scene / "train" / "r_0.png"
    picture.write_bytes((scene / "train" / "r_1.png").read_bytes())
    stages.run_train(run, Stop(), said.append)
    assert said[-1] != "train: up to date"


def test_bundles_of_an_earlier_student_are_not_measured(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("student", "export"):
        shutil.copytree(finished_run() / folder, run.folder / folder)
    untrained_teacher(run)
    measured: list[list[str]] = []
    said: list[str] = []

    def note(run: Run, bundles: dict[str, Path], stop: Stop) -> None:
        measured.append(list(bundles))
        shutil.copy(finished_run() / "eval" / "metrics.json", run.folder / "eval")
        (run.folder / "eval" / "orbit.mp4").write_bytes(b"video")
        for name in ("ground_truth", "teacher", "student", *bundles):
            (run.folder / "eval" / name).mkdir(exist_ok=True)

    monkeypatch.setattr(stages, "measure", note)
    monkeypatch.setattr(stages, "write_run_report", lambda run, bundles: measured.append(list(bundles)) or [])
    stages.evaluate_run(run, Stop(), said.append)
    assert measured == 2 * [["android", "android-fp16", "ios", "onnx"]]
    assert [line for line in said if "nelf export" in line] == []
    manifest = run.folder / "export" / "android-fp16" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["provenance"]["checkpoint"] = "of yesterday"
    manifest.write_text(json.dumps(content))
    stages.evaluate_run(run, Stop(), said.append)
    assert measured[2:] == 2 * [["android", "ios", "onnx"]]
    assert (
        f"eval: {manifest.parent} is from another student and is not measured; "
        f"renew it with: nelf export {run.folder} --target android --precision fp16"
    ) in said
