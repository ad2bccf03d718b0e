"""The command line's answers to bad input: one line that says what to do, exit code 2, nothing left half written."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nelf.errors import Interrupted, NelfError
from tests.pipeline.commands import copy_of_finished_run, finished_run, listing, nelf, refused, refused_at_once, works
from tests.scenes import edit_json, make_blender_scene, make_llff_scene, make_nerfstudio_scene

COMMANDS = [
    "data check",
    "data import photos",
    "data import video",
    "run",
    "teach",
    "distill",
    "train",
    "eval",
    "export",
    "report",
    "verify",
    "bench",
    "demo",
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands are given in an empty folder; what they leave there can be counted."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def room(tmp_path: Path) -> Path:
    return make_nerfstudio_scene(tmp_path / "room", views=12)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return copy_of_finished_run(tmp_path)


def refused_scene(scene: Path, *overrides: str) -> str:
    """The line with which `nelf run` refuses a scene, before anything is written."""
    line = refused_at_once("run", scene, "experiment=smoke", *overrides)
    assert list(Path.cwd().iterdir()) == []
    return line


def edit_frame(scene: Path, number: int, **changes: Any) -> None:
    content = json.loads((scene / "transforms.json").read_text())
    content["frames"][number] |= changes
    (scene / "transforms.json").write_text(json.dumps(content))


def cut(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


# Help


@pytest.mark.parametrize("command", ["", "data", *COMMANDS])
def test_help_has_an_example(command: str) -> None:
    outcome = works(*command.split(), "--help")
    assert "Example: nelf " in outcome.out
    assert f"Example: nelf {command}" in outcome.out


def test_help_names_every_command() -> None:
    text = works("--help").out
    assert [name for name in COMMANDS if f" {name.split()[0]} " not in text] == []


def test_version() -> None:
    from nelf import __version__

    assert works("--version").out == f"{__version__}\n"


def test_without_arguments_it_helps() -> None:
    outcome = nelf()
    assert outcome.code == 2
    assert "Example: nelf run my_photos" in outcome.out + outcome.err


def test_unknown_command_and_option() -> None:
    assert nelf("runn").code == 2
    assert nelf("run", "x", "--nothing").code == 2
    assert "Traceback" not in nelf("runn").err


# Scenes


def test_missing_scene_folder(tmp_path: Path) -> None:
    for command in ("run", "teach", "distill", "train", "eval"):
        line = refused_at_once(command, tmp_path / "nowhere")
        assert "nowhere does not exist; give the folder" in line
    assert "nowhere does not exist" in refused_at_once("data", "check", tmp_path / "nowhere")
    assert "nowhere is no run; give the folder of one" in refused_at_once("export", tmp_path / "nowhere")
    assert "nowhere does not exist" in refused_at_once("verify", tmp_path / "nowhere")


def test_folder_without_a_scene(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no known format" in refused_scene(tmp_path / "empty")


def test_json_cut_in_half(room: Path) -> None:
    cut(room / "transforms.json")
    assert "scene 'room': transforms.json is not valid JSON" in refused_scene(room)


def test_absent_images(room: Path) -> None:
    for number in (5, 8):
        (room / f"images/{number:04d}.png").unlink()
    line = refused_scene(room)
    assert "frame 4 names images/0005.png, which does not exist. 2 of 12 images are missing" in line
    assert "pass scene.allow_missing=true to use the 10 that are there" in line
    outcome = works("teach", room, "experiment=smoke", "teacher.iterations=2", "scene.allow_missing=true")
    assert "unbounded" in outcome.err
    assert Path("runs/room/teacher/teacher.safetensors").is_file()


def test_mixed_sizes(room: Path) -> None:
    Image.new("RGB", (12, 8)).save(room / "images/0007.png")
    assert "images/0001.png is 24x16, images/0007.png is 12x8; all must have one size" in refused_scene(room)


@pytest.mark.parametrize(
    ("pose", "expected"),
    [
        ((2 * np.eye(4)).tolist(), "frame 3 (images/0004.png) has a pose that is not rigid"),
        ([[float("nan")] * 4] * 4, "frame 3 (images/0004.png) has a pose with NaN"),
    ],
)
def test_bad_poses(room: Path, pose: object, expected: str) -> None:
    edit_frame(room, 3, transform_matrix=pose)
    assert expected in refused_scene(room)


def test_zero_focal_length(room: Path, tmp_path: Path) -> None:
    edit_json(room / "transforms.json", fl_x=0)
    assert "focal length fl_x = 0; it must be a positive number of pixels" in refused_scene(room)
    wall = make_llff_scene(tmp_path / "wall")
    rows = np.load(wall / "poses_bounds.npy")
    rows[2, 14] = 0
    np.save(wall / "poses_bounds.npy", rows)
    assert "focal length fl_x = 0" in refused_scene(wall)


def test_text_file_as_image(room: Path) -> None:
    (room / "images/0007.png").write_text("<html>404 not found</html>")
    line = refused_scene(room)
    assert "0007.png" in line
    assert "not an image in a known format" in line


def test_image_cut_short(room: Path) -> None:
    cut(room / "images/0007.png")
    line = refused("teach", room, "experiment=smoke")
    assert "0007.png" in line
    assert not Path("runs/room/teacher/teacher.safetensors").exists()


def test_no_test_views(tmp_path: Path, room: Path) -> None:
    ball = make_blender_scene(tmp_path / "ball", views=(6, 2, 0))
    assert "no test views among the 8 that were found; add transforms_test.json" in refused_scene(ball)
    assert "no test views" in refused_scene(room, "scene.holdout=0")
    assert "no test views" in refused_at_once("eval", room, "experiment=smoke", "scene.holdout=0")
    assert "no train views" in refused_at_once("teach", make_blender_scene(tmp_path / "bare", views=(0, 2, 2)))


def test_training_on_all_views(room: Path) -> None:
    """Only what uses test views asks for them: everything up to the bundles does without."""
    everything = ("experiment=smoke", "scene.holdout=0", "scene.val_holdout=0")
    works("train", room, *everything)
    works("export", Path("runs/room"), "--target", "onnx")
    assert Path("runs/room/export/onnx/manifest.json").is_file()
    assert "no test views among the 12" in refused_at_once("eval", Path("runs/room"))


def test_data_check_says_what_is_wrong(tmp_path: Path) -> None:
    room = make_nerfstudio_scene(tmp_path / "room", views=32)
    assert "no problems" in works("data", "check", room).out
    (room / "images/0005.png").unlink()
    (room / "images/0006.png").write_text("<html>404 not found</html>")
    outcome = nelf("data", "check", room)
    assert outcome.code == 2  # nelf run would refuse it, too
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    assert any(line.startswith("kind ") for line in lines)
    assert any(
        line.startswith("problem (fatal): ") and "0005.png" in line and "allow_missing" in line for line in lines
    )
    assert any(line.startswith("problem (fatal): ") and "0006.png" in line for line in lines)
    assert lines[-1] == "2 problems, 2 of them fatal: nelf run refuses the scene until they are mended"
    (room / "images/0006.png").unlink()
    outcome = works("data", "check", room, "scene.allow_missing=true")
    assert outcome.out.splitlines()[-1] == "1 problems"


def test_data_check_leaves_no_remedy_out_and_no_separator_behind(tmp_path: Path) -> None:
    room = make_nerfstudio_scene(tmp_path / "room", views=12)
    cut(room / "images/0007.png")
    lines = [line for line in nelf("data", "check", room).out.splitlines() if line.startswith("problem")]
    assert any("0007.png" in line for line in lines)
    assert [line for line in lines if line.endswith("; ")] == []


# Overrides


def test_unknown_student_lists_the_known(room: Path) -> None:
    line = refused_scene(room, "student=xxl")
    assert "xxl" in line
    for name in ("s", "m", "l", "mobiler2l"):
        assert name in line.split("xxl", 1)[1].replace(",", " ").split()


def test_unknown_teacher_lists_the_known(room: Path) -> None:
    line = refused_scene(room, "teacher=plenoxels")
    assert "hashgrid" in line
    assert "vanilla" in line


def test_misspelt_override_names_the_nearest(room: Path) -> None:
    assert "Did you mean train.minutes?" in refused_scene(room, "train.minuets=5")
    assert "Did you mean distill.views" in refused_scene(room, "distil.views=5")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.steps=many", "many"),
        ("distill.views=0", "distill.views=0 is too small; use 1 or more"),
        ("scene.kind=round", "scene.kind=round is unknown; use one of auto, object"),
        ("device.accelerator=tpu", "device.accelerator=tpu is not known; use one of auto, cpu"),
        ("export.golden_views=3", "export.golden_views=3 is too few"),
        ("teacher.minutes=null", "teacher.minutes and teacher.iterations are both null"),
        ("distill.teacher=external", "needs distill.external=FOLDER"),
        ("train.steps=[", "train.steps="),
        ("nonsense", "nonsense"),
    ],
)
def test_bad_values(room: Path, override: str, expected: str) -> None:
    overrides = ["teacher.iterations=null", override] if override.startswith("teacher") else [override]
    assert expected in refused_scene(room, *overrides)


def test_cfg_prints_the_configuration(room: Path) -> None:
    outcome = works("run", room, "train.steps=77", "--cfg", "job")
    assert "steps: 77" in outcome.out
    assert str(room) in outcome.out
    assert list(Path.cwd().iterdir()) == []
    assert "--cfg hydra is not known; use --cfg job" in refused_at_once("run", room, "--cfg", "hydra")


def test_multirun_sweeps(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nelf import pipeline

    swept: list[tuple[str, int, str]] = []

    def note(run: pipeline.Run, stop: object, say: object) -> None:
        swept.append((run.config.student.name, run.config.train.steps or 0, run.folder.name))

    monkeypatch.setitem(pipeline.STAGES, "run", note)
    outcome = nelf("run", room, "--multirun", "student=s,m", "train.steps=3,4")
    assert outcome.code == 0, outcome.err
    assert [one[:2] for one in swept] == [("s", 3), ("s", 4), ("m", 3), ("m", 4)]
    assert len({one[2] for one in swept}) == 4
    assert all(Path("runs", one[2], "config.yaml").is_file() for one in swept)


def test_a_sweep_checks_every_combination_first(room: Path, tmp_path: Path) -> None:
    line = refused_at_once("run", tmp_path / "nowhere", "--multirun", "student=s,m")
    assert "nowhere does not exist; give the folder" in line
    assert refused_scene(room, "student=s,xxl", "-m") == (
        "student=xxl is not known; use one of l, m, mobiler2l, s, surface"
    )
    assert "distill.views=0 is too small" in refused_scene(room, "distill.views=5,0", "-m")
    assert "scene.downscale=99 leaves no pixel" in refused_scene(room, "scene.downscale=1,99", "-m")
    assert "train.steps=[" in refused_scene(room, "train.steps=[", "-m")
    assert "does not support sweep type" in refused("run", room, "train.ema=interval(0,1)", "-m")


def test_a_sweep_ends_as_a_run_does(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nelf import pipeline

    tried: list[int | None] = []

    def fail(run: pipeline.Run, stop: object, say: object) -> None:
        tried.append(run.config.train.steps)
        raise NelfError("no good")

    monkeypatch.setitem(pipeline.STAGES, "run", fail)
    assert refused("run", room, "--multirun", "train.steps=3,4") == "no good"
    assert tried == [3, 4]

    def interrupt(run: pipeline.Run, stop: object, say: object) -> None:
        tried.append(run.config.train.steps)
        raise Interrupted("stopped")

    monkeypatch.setitem(pipeline.STAGES, "run", interrupt)
    line = refused("run", room, "--multirun", "train.steps=5,6", code=130)
    assert line == "sweep: stopped; the same command goes on from there"
    assert tried == [3, 4, 5]


# Full disks and damaged checkpoints


def test_disk_full_while_writing_pseudo_views(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(run / "pseudo")
    save, saved = Image.Image.save, []

    def full(image: Image.Image, path: Path, **options: Any) -> None:
        if len(saved) == 3:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(path)
        save(image, path, **options)

    monkeypatch.setattr(Image.Image, "save", full)
    line = refused("distill", run)
    assert "disk full while writing" in line
    assert "free some space and run the same command again" in line
    assert sorted(p.name for p in (run / "pseudo").iterdir()) == ["images", "stage.json"]
    assert sorted(p.name for p in (run / "pseudo" / "images").iterdir()) == ["000000.png", "000001.png", "000002.png"]
    monkeypatch.undo()
    before = listing(run / "pseudo" / "images")
    works("distill", run)
    after = listing(run / "pseudo" / "images")
    assert len(after) == 12
    assert {name: after[name] for name in before} == before  # went on, did not start again


def test_no_room_for_the_pseudo_views(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(run / "pseudo")
    usage = shutil.disk_usage(run)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2000))
    line = refused("distill", run)
    assert "12 views need about" in line
    assert "lower distill.views" in line
    assert not (run / "pseudo" / "transforms.json").exists()


def test_student_cut_short(run: Path) -> None:
    cut(run / "student" / "student.safetensors", 0.9)
    before = listing(run / "export")
    line = refused("export", run, "--target", "onnx")
    assert "student.safetensors is cut short or damaged" in line
    assert "train again with: nelf train" in line
    assert listing(run / "export") == before


def test_student_of_another_architecture(run: Path) -> None:
    path = run / "student" / "student.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    about = json.loads(header["__metadata__"]["nelf"])
    about["config"]["width"] *= 2
    header["__metadata__"]["nelf"] = json.dumps(about)
    new = json.dumps(header).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + content[8 + length :])
    assert "student.safetensors is of another architecture" in refused("export", run, "--target", "onnx")


def test_no_student(run: Path) -> None:
    shutil.rmtree(run / "student")
    line = refused("export", run, "--target", "onnx")
    assert "there is no" in line
    assert "nelf train" in line


def unfinished(run: Path) -> Path:
    """Make a run's training look interrupted; gives its newest checkpoint."""
    record = run / "student" / "stage.json"
    content = json.loads(record.read_text())
    del content["outputs"]
    record.write_text(json.dumps(content))
    (run / "student" / "student.safetensors").unlink()
    return sorted((run / "student" / "checkpoints").iterdir())[-1]


def test_training_checkpoint_cut_short(run: Path) -> None:
    newest = unfinished(run)
    cut(newest, 0.7)
    line = refused("train", run)
    assert f"{newest} is cut short" in line
    assert "delete" in line
    assert not (run / "student" / "student.safetensors").exists()
    newest.unlink()
    outcome = works("train", run)
    assert "going on from step" in outcome.out + outcome.err


@pytest.mark.parametrize("part", ["shape", "name"])
def test_training_checkpoint_of_another_architecture(run: Path, part: str) -> None:
    newest = unfinished(run)
    content = torch.load(newest, weights_only=True)
    weights = content["state"]["learner"]["model"]
    key = next(key for key in weights if weights[key].ndim == 4)
    if part == "shape":
        weights[key] = weights[key][:-1]
    else:
        weights["tower." + key] = weights.pop(key)
    torch.save(content, newest)
    line = refused("train", run)
    assert "is of another architecture" in line
    assert str(newest.parent) in line


def test_teacher_checkpoint_of_another_teacher(run: Path) -> None:
    shutil.rmtree(run / "teacher")
    folder = run / "teacher" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save({"format": "nelf-checkpoint-1", "step": 3, "state": {"field": {}}}, folder / "checkpoint-000000003.pt")
    # Without a record, what lies in the folder is a leftover of something else: it is not used.
    works("teach", run)
    record = run / "teacher" / "stage.json"
    content = json.loads(record.read_text())
    del content["outputs"]
    record.write_text(json.dumps(content))
    folder.mkdir(exist_ok=True)
    torch.save({"format": "nelf-checkpoint-1", "step": 3, "state": {"field": {}}}, folder / "checkpoint-000000003.pt")
    assert "is of another teacher; remove that folder to start over" in refused("teach", run)


def test_damaged_settings_of_a_run(run: Path) -> None:
    cut(run / "run.json")
    for command in ("run", "export"):
        line = refused_at_once(command, run)
        assert "run.json is damaged" in line
        assert "give the scene's folder" in line


# Exports and bundles


def test_export_of_a_folder_that_is_no_run(room: Path) -> None:
    line = refused_at_once("export", room)
    assert f"{room} is no run; give the folder of one, e.g. runs/NAME, or start with: nelf run SCENE" in line


def test_export_to_what_is_not_known(elsewhere: Path) -> None:
    run = finished_run()
    line = refused_at_once("export", run, "--target", "quest")
    assert "export.targets=quest is not known; use one of ios, android, onnx, web" in line
    line = refused_at_once("export", run, "--precision", "int4")
    assert "export.precision=int4 is not known for the target ios; use one of auto, fp32, fp16, w8, w6, w4" in line
    refused_at_once("export", run, "--target", "a]b")
    assert list(elsewhere.iterdir()) == []


def test_export_does_not_replace_what_is_no_bundle(elsewhere: Path) -> None:
    """`--out` may name the folder of an app, with a folder ios of its own."""
    (elsewhere / "onnx").mkdir()
    (elsewhere / "onnx" / "Main.swift").write_text("my work")
    line = refused("export", finished_run(), "--target", "onnx", "--out", elsewhere)
    assert "onnx exists and is no bundle; remove it, or choose another folder with --out" in line
    assert (elsewhere / "onnx" / "Main.swift").read_text() == "my work"


def test_export_that_disagrees_leaves_nothing(run: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = refused("export", run, "export.min_psnr_fp32=999", "--target", "onnx", "--out", elsewhere / "out")
    assert "the file disagrees with PyTorch" in line
    assert list((elsewhere / "out").iterdir()) == []


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(finished_run() / "export" / "onnx", folder)
    return folder


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda m: m.update(version="2.0"),
            "has format version 2.0, this nelf reads 1.x; install the nelf",
        ),
        (lambda m: m["files"][0].update(path="../secret.png"), "outside the bundle; do not use it"),
        (lambda m: m["files"][0].update(path="/etc/passwd"), "outside the bundle; do not use it"),
        (lambda m: m["model"].update(path="..\\model"), "outside the bundle; do not use it"),
        (lambda m: m["files"][0].update(bytes=1), "bytes, the manifest says 1"),
        (lambda m: m.pop("camera"), "'camera' is a required property"),
    ],
)
def test_bad_manifests(bundle: Path, change: Callable[[dict[str, Any]], object], expected: str) -> None:
    content = json.loads((bundle / "manifest.json").read_text())
    change(content)
    (bundle / "manifest.json").write_text(json.dumps(content))
    before = listing(bundle)
    assert expected in refused_at_once("verify", bundle)
    assert listing(bundle) == before


def test_changed_byte_in_a_bundle(bundle: Path) -> None:
    for name in ("model.onnx", "golden/poses.json"):
        content = bytearray((bundle / name).read_bytes())
        content[len(content) // 2] ^= 1
        (bundle / name).write_bytes(content)
        assert f"{name} was changed: its SHA-256 is not the manifest's" in refused_at_once("verify", bundle)
        content[len(content) // 2] ^= 1
        (bundle / name).write_bytes(content)
    works("verify", bundle)


def test_manifest_cut_short(bundle: Path) -> None:
    cut(bundle / "manifest.json")
    assert "manifest.json cannot be read" in refused_at_once("verify", bundle)


def test_a_folder_that_is_no_bundle(room: Path) -> None:
    assert "has no manifest.json, so it is no bundle" in refused_at_once("verify", room)


def test_a_damaged_bundle_is_not_measured(run: Path) -> None:
    cut(run / "export" / "onnx" / "model.onnx", 0.9)
    (run / "eval" / "metrics.json").unlink()
    line = refused("eval", run)
    assert "model.onnx" in line
    assert not (run / "eval" / "metrics.json").exists()
