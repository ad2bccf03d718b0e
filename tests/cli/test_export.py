"""nelf export: not a run, unknown targets, folders of others."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.test_locking import HOLD
from tests.pipeline.commands import (
    cut,
    finished_run,
    listing,
    refused,
    refused_at_once,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_export_of_a_folder_that_is_no_run(room: Path) -> None:
    line = refused_at_once("export", room)
    assert f"{room} is not a run; give the folder of one, e.g. runs/NAME, or start with: nelf run SCENE" in line


def test_export_to_what_is_not_known(elsewhere: Path) -> None:
    run = finished_run()
    line = refused_at_once("export", run, "--target", "quest")
    assert "export.targets=[quest] is not known; use a list, each one of ios, android, onnx, web" in line
    line = refused_at_once("export", run, "--precision", "int4")
    assert "export.precision=int4 is not known; use one of auto, fp32, fp16, w8, w6, w4" in line
    refused_at_once("export", run, "--target", "a]b")
    assert list(elsewhere.iterdir()) == []


def test_export_does_not_replace_what_is_no_bundle(elsewhere: Path) -> None:
    """`--out` may name the folder of an app that has its own folder ios."""
    (elsewhere / "onnx").mkdir()
    (elsewhere / "onnx" / "Main.swift").write_text("my work")
    line = refused("export", finished_run(), "--target", "onnx", "--out", elsewhere)
    assert "onnx exists and is not a bundle; remove it, or choose another folder by --out" in line
    assert (elsewhere / "onnx" / "Main.swift").read_text() == "my work"


def test_what_a_killed_export_left_is_cleared_away(elsewhere: Path) -> None:
    """Outside the run's folder: one command at a time, and files of others stay."""
    for name in (".onnx.partial-7", ".onnx.old-7", ".web.partial-7"):
        (elsewhere / name).mkdir()
    (elsewhere / ".onnx.old-7" / "diary.txt").write_text("mine")
    command = [sys.executable, "-c", HOLD, str(elsewhere / ".nelf.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        line = refused("export", finished_run(), "--target", "onnx", "--out", elsewhere)
        assert line.startswith(f"the folder {elsewhere} is in use by process {holder.pid}")
        holder.communicate("")
    refused("export", finished_run(), "--target", "onnx", "--out", elsewhere)  # what stood there is back, and no bundle
    assert sorted(path.name for path in elsewhere.iterdir()) == [".web.partial-7", "onnx"]
    assert (elsewhere / "onnx" / "diary.txt").read_text() == "mine"


def test_export_that_disagrees_leaves_nothing(run: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = refused("export", run, "export.min_psnr_fp32=200", "--target", "onnx", "--out", elsewhere / "out")
    assert "the file disagrees with PyTorch" in line
    assert list((elsewhere / "out").iterdir()) == []


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
    about["config"]["cell_size"] //= 2
    header["__metadata__"]["nelf"] = json.dumps(about)
    new = json.dumps(header).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + content[8 + length :])
    assert "student.safetensors has another architecture" in refused("export", run, "--target", "onnx")


def test_no_student(run: Path) -> None:
    shutil.rmtree(run / "student")
    line = refused("export", run, "--target", "onnx")
    assert "there is no" in line
    assert "nelf train" in line


def test_damaged_settings_of_a_run(run: Path) -> None:
    cut(run / "run.json")
    for command in ("run", "export"):
        line = refused_at_once(command, run)
        assert "run.json is damaged" in line
        assert "give the scene's folder" in line
