"""All stages on tiny scenes, through the command line: from photos to verified bundles and a report."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

from nelf.evaluate import METRICS
from tests.pipeline.commands import copy_of_finished_run, finished_run, listing, nelf, refused, works
from tests.scenes import make_llff_scene

pytestmark = pytest.mark.slow

BUNDLES = ("ios", "android", "android-fp16", "onnx")
REWRITTEN = {"config.yaml", "run.json", "report.html"}  # small, and the same again when nothing changed


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return copy_of_finished_run(tmp_path)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_everything_is_there() -> None:
    run = finished_run()
    expected = [
        "config.yaml", "report.html", "teacher/teacher.safetensors", "pseudo/transforms.json",
        "student/student.safetensors", "eval/metrics.json", "eval/student/r_0.png", "eval/ios/r_1.png",
    ]  # fmt: skip
    expected += [f"export/{bundle}/{name}" for bundle in BUNDLES for name in ("manifest.json", "golden/poses.json")]
    assert [name for name in expected if not (run / name).is_file()] == []
    assert len(list((run / "pseudo" / "images").iterdir())) == 12
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert set(metrics) == {"teacher", "student", *BUNDLES}
    assert set(metrics["student"]) >= {"psnr", "ssim", "flip", "views"}
    assert sorted(metrics["student"]["views"]) == ["r_0", "r_1"]
    for bundle in BUNDLES:  # what was exported is what was trained
        assert metrics[bundle]["psnr"] == pytest.approx(metrics["student"]["psnr"], abs=0.1)
        manifest = json.loads((run / "export" / bundle / "manifest.json").read_text())
        assert manifest["parity"]["status"] == "passed"
        assert manifest["parity"]["views"] >= 8
        assert manifest["image"]["channels"] == 4
    report = (run / "report.html").read_text()
    assert all(name in report for name in ("teacher", "student", *BUNDLES))
    leftovers = [name for name in listing(run) if ".partial" in name or ".old-" in name]
    assert leftovers == []


def test_a_second_run_does_nothing(run: Path) -> None:
    works("run", run)  # writes report.html of this folder's name
    before, bytes_before = listing(run), contents(run)
    outcome = works("run", run)
    for stage in ("teach", "distill", "train", "eval"):
        assert f"{stage}: up to date\n" in outcome.err
    for bundle in BUNDLES:
        assert f"export: {bundle} is up to date\n" in outcome.err
    after = listing(run)
    assert before.keys() == after.keys()
    assert {name for name in after if after[name] != before[name]} <= REWRITTEN
    assert contents(run) == bytes_before


def test_a_run_is_found_wherever_it_lies(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moved run is used where it is; nothing is written to its former place.

    Its scene was given by a relative path, and the command now runs elsewhere.
    """
    original = listing(finished_run())
    monkeypatch.chdir(tmp_path)
    (run / "eval" / "metrics.json").unlink()
    works("eval", run.name)
    assert (run / "eval" / "metrics.json").is_file()
    assert listing(finished_run()) == original
    assert [p.name for p in tmp_path.iterdir()] == ["ball"]


def test_changed_training_redoes_what_follows(run: Path) -> None:
    before = listing(run)
    outcome = works("run", run, "train.max_steps=21")
    for stage in ("teach", "distill"):
        assert f"{stage}: up to date\n" in outcome.err
    assert "up to date" not in outcome.err.split("distill: up to date", 1)[1]
    after = listing(run)
    same = {name for name in after if after[name] == before.get(name)}
    assert {name for name in same if not name.startswith(("teacher/", "pseudo/"))} == set()
    assert {name for name in before if name.startswith(("teacher/", "pseudo/"))} <= same
    assert "train.max_steps=21" in (run / "report.html").read_text()
    # The run remembers what was asked for.
    assert "up to date" in works("train", run).err.splitlines()[-1]


def test_other_settings_redo_only_their_stage(run: Path) -> None:
    before = listing(run)
    outcome = works("run", run, "eval.report_views=1", "export.targets=[onnx]", "device.threads=1")
    assert "export: onnx is up to date\n" in outcome.err
    assert "eval: up to date" not in outcome.err
    after = listing(run)
    changed = {name for name in after if after[name] != before.get(name)}
    # machine.json: what the stages with work were expected to take.
    assert {name for name in changed if not name.startswith("eval/")} <= REWRITTEN | {"machine.json"}


@pytest.mark.parametrize("damage", ["changed", "removed"])
def test_damaged_outputs_are_made_again(run: Path, damage: str) -> None:
    outputs = [
        "teacher/teacher.safetensors", "pseudo/images/000003.png", "pseudo/depths/000004.png",
        "student/student.safetensors", "export/onnx/model.onnx",
        "eval/metrics.json",
    ]  # fmt: skip
    pseudo = contents(run / "pseudo" / "images") | contents(run / "pseudo" / "depths")
    for name in outputs:
        content = bytearray((run / name).read_bytes())
        content[len(content) // 2] ^= 1
        (run / name).unlink()
        if damage == "changed":
            (run / name).write_bytes(content)
    outcome = works("run", run)
    for stage in ("teach", "distill", "train", "eval"):
        assert f"{stage}: up to date" not in outcome.err
    assert "export: onnx is up to date" not in outcome.err
    assert all((run / name).is_file() for name in outputs)
    assert contents(run / "pseudo" / "images") | contents(run / "pseudo" / "depths") == pseudo
    works("verify", run / "export" / "onnx")
    again = works("run", run).err
    assert sum("up to date" in line for line in again.splitlines()) == 4 + len(BUNDLES)


def test_what_the_report_shows_is_made_again(run: Path) -> None:
    before, shown = contents(run / "eval"), ("student/r_0.png", "ground_truth/r_1.png", "orbit.mp4")
    for name in shown:
        (run / "eval" / name).unlink()
        assert "eval: up to date" not in works("eval", run).err
    after = contents(run / "eval")
    assert after.keys() == before.keys()
    assert [after[name] for name in shown] == [before[name] for name in shown]


def test_a_metric_is_measured_once_it_can_be(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test pictures are too small for LPIPS, which plays the part of missing weights."""
    metrics = run / "eval" / "metrics.json"
    works("eval", run, "eval.lpips=true")
    assert json.loads(metrics.read_text())["ios"]["lpips_alex"] is None
    before = contents(run / "eval")
    assert "eval: up to date" in works("eval", run).err
    assert contents(run / "eval") == before
    monkeypatch.setitem(METRICS, "lpips_alex", lambda picture, truth: 0.25)
    assert "eval: up to date" not in works("eval", run).err
    assert json.loads(metrics.read_text())["ios"]["lpips_alex"] == 0.25
    changed = {name for name, content in contents(run / "eval").items() if content != before[name]}
    assert changed == {"metrics.json", "stage.json"}


def test_an_external_teacher_is_not_shown_as_our_own(run: Path, tmp_path: Path) -> None:
    renders = tmp_path / "renders"
    shutil.copytree(run / "pseudo", renders)
    works("eval", run, "distill.source=folder", f"distill.folder={renders}")
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert metrics.keys() == {"student", *BUNDLES}
    assert not (run / "eval" / "teacher").exists()


@pytest.mark.parametrize("bundle", BUNDLES)
def test_verify(bundle: str, tmp_path: Path) -> None:
    folder = finished_run() / "export" / bundle
    outcome = works("verify", folder)
    assert "verified in" in outcome.out
    assert outcome.out.count(" dB, largest error") == 8
    run = copy_of_finished_run(tmp_path)
    folder = run / "export" / bundle
    manifest = json.loads((folder / "manifest.json").read_text())
    model = next(folder / file["path"] for file in manifest["files"] if file["role"] == "model")
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 0x40
    model.write_bytes(content)
    line = refused("verify", folder)
    assert "was changed: its SHA-256 is not the manifest's" in line
    assert str(model) in line


def test_export_elsewhere(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "app"
    outcome = works("export", run, "--target", "onnx", "--precision", "fp32", "--out", out)
    assert outcome.out.split() == [str(out / "onnx")]
    assert (out / "onnx" / "manifest.json").is_file()
    assert [p.name for p in out.iterdir()] == ["onnx"]
    works("verify", out / "onnx")
    monkeypatch.chdir(tmp_path)
    again = works("export", run, "--target", "onnx", "--precision", "fp32", "--out", "app")
    assert again.err.startswith("export: onnx is up to date\n")
    other = works("export", run, "--target", "onnx", "--precision", "fp32", "--out", tmp_path / "other")
    assert "up to date" not in other.err
    assert "up to date" in works("export", run, "--target", "onnx", "--out", run / "export").err


def test_forward_facing_without_alpha_and_of_an_odd_size(tmp_path: Path) -> None:
    """20 x 30 is not a multiple of the student's factor 8; the grid covers it and the output is cropped."""
    scene = make_llff_scene(tmp_path / "wall", size=20, width=30, views=12)
    outcome = works("run", scene, "experiment=smoke", f"runs={tmp_path / 'runs'}", "export.targets=[onnx]")
    assert "forward-facing" in outcome.err
    run = tmp_path / "runs" / "wall"
    works("verify", run / "export" / "onnx")
    manifest = json.loads((run / "export" / "onnx" / "manifest.json").read_text())
    assert manifest["scene_type"] == "forward-facing"
    assert manifest["model"]["output"]["shape"] == [1, 20, 30, 3]
    pseudo = json.loads((run / "pseudo" / "transforms.json").read_text())
    assert (pseudo["h"], pseudo["w"]) == (20, 30)
    with safe_open(run / "student" / "student.safetensors", framework="pt") as stream:
        assert json.loads(stream.metadata()["nelf"])["frame"]["channels"] == 3


def test_renders_of_another_teacher(run: Path, tmp_path: Path) -> None:
    """Our own pseudo dataset is an ordinary dataset, so it can play another renderer's."""
    outcome = works(
        "train", finished_run().parents[1] / "ball", "experiment=smoke", f"runs={tmp_path / 'runs'}", "name=other",
        "distill.source=folder", f"distill.folder={run / 'pseudo'}",
    )  # fmt: skip
    assert "teach: not needed" in outcome.err
    assert sorted(p.name for p in (tmp_path / "runs" / "other").iterdir()) == [
        "config.yaml",
        "machine.json",
        "run.json",
        "student",
    ]


def test_interrupted_training_goes_on(run: Path) -> None:
    """Ctrl-C in a real process: exit code 130, everything saved, and the same command finishes."""
    command = ["train", str(run), "train.max_steps=600", "train.finetune.enabled=false"]
    began = time.time()
    process = subprocess.Popen(
        [sys.executable, "-m", "nelf.cli.main", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        while not any(path.stat().st_mtime > began for path in run.glob("student/tensorboard/events*")):
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("nelf: stopped after step ")
    assert "same command goes on from there" in last
    step = int(last.split("after step ")[1].split(";")[0])
    assert step < 600
    assert not (run / "student" / "student.safetensors").exists()
    outcome = nelf(*command)
    assert outcome.code == 0
    assert f"going on from step {step}" in outcome.out + outcome.err
    assert (run / "student" / "student.safetensors").is_file()


@pytest.mark.parametrize(("stage", "message"), [("export", "export: stopped"), ("eval", "eval: stopped")])
def test_interrupted_elsewhere(run: Path, stage: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop request between two bundles, or between two measured views."""
    from nelf.pipeline import evaluate_stage as measure
    from nelf.pipeline import export_stage

    module, name = {"export": (export_stage.exporting, "export_bundle"), "eval": (measure, "_render_student")}[stage]
    work = getattr(module, name)

    def interrupted(*arguments: object) -> object:
        result = work(*arguments)
        signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(module, name, interrupted)
    line = refused("run", run, "export.golden_views=9", "export.targets=[onnx,android]", code=130)
    assert message in line
    assert "same command" in line
    monkeypatch.undo()
    outcome = works("run", run, "export.golden_views=9", "export.targets=[onnx,android]")
    assert "export: onnx is up to date" in outcome.err


def test_interrupted_while_a_bundle_is_made(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Executing large models on golden views takes minutes, and there is no next bundle to stop before."""
    from nelf.export import measured

    compare = measured.compare

    def interrupted(*arguments: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return compare(*arguments)

    monkeypatch.setattr(measured, "compare", interrupted)
    line = refused("export", run, "--target", "onnx", "--out", tmp_path / "app", code=130)
    assert line == "export: stopped; the same command goes on from there"
    assert list((tmp_path / "app").iterdir()) == []


def test_interrupted_while_the_video_is_made(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nelf.pipeline import evaluate_stage as measure

    def interrupted(path: Path, pictures: Iterator[object], fps: int) -> None:
        next(pictures)
        signal.raise_signal(signal.SIGINT)
        next(pictures)

    monkeypatch.setattr(measure.evaluation, "write_video", interrupted)
    line = refused("eval", run, "eval.video_seconds=1", "eval.report_views=1", code=130)
    assert line == "eval: stopped; the same command goes on from there"


@pytest.mark.parametrize("command", ["export", "eval", "verify"])
def test_interrupted_where_no_stage_waits_for_it(run: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from nelf import bundle, pipeline

    def interrupted(*arguments: object, **named: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(pipeline.Run, "open", interrupted)
    monkeypatch.setattr(bundle, "verify_bundle", interrupted)
    assert refused(command, run, code=130) == "stopped"
