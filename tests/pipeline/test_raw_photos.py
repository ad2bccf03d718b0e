"""Commands on photos without poses: they find the poses, keep the scene in the run, and run one at a time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from nelf.capture.importer import Imported
from nelf.pipeline import Run
from nelf.pipeline import run as raw_photos
from tests.core.test_locking import HOLD
from tests.pipeline.commands import copy_of_finished_run, nelf, refused, works
from tests.scenes import edit_json, make_nerfstudio_scene

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos only. Estimating poses is replaced by the true ones."""
    posed = make_nerfstudio_scene(tmp_path / "posed", views=12)
    photos = tmp_path / "walk"
    shutil.copytree(posed / "images", photos)

    def import_scene(source: Any, out: Path, config: Any, stop: Any, echo: Any) -> Imported:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(posed, out)
        edit_json(out / "transforms.json", nelf={"photos": {"made_from": "x"}})
        return Imported(out, f"12 photos at {config.size}", ("it was dark; wait for the sun",))

    monkeypatch.setattr(raw_photos, "import_scene", import_scene)
    return photos


def test_a_run_of_raw_photos(raw: Path) -> None:
    said: list[str] = []
    run = Run.open(raw, ["photos.size=800"], echo=said.append)
    assert said == ["photos: 12 photos at 800", "photos: problem: it was dark; wait for the sun"]
    assert run.folder == Path("runs/walk")
    assert run.scene.name == "walk"
    assert run.scene.root == Path("runs/walk/photos")
    run.prepare()
    again = Run.open(Path("runs/walk"), [], echo=said.append)  # goes on with the photos that it was made of
    assert again.config.scene.path == str(raw)
    assert again.config.photos.size == 800
    assert again.scene_digest == run.scene_digest
    shutil.move("runs/walk", "moved")
    assert Run.open(Path("moved"), [], echo=said.append).scene.root == Path("moved/photos")


@pytest.mark.parametrize("lost", ["images/0003.png", "transforms.json"])
def test_a_scene_that_is_not_whole_any_more(raw: Path, lost: str) -> None:
    """It belongs to the run: nobody else can repair it."""
    said: list[str] = []
    Run.open(raw, [], echo=said.append)
    out = Path("runs/walk/photos")
    Run.open(raw, [], echo=said.append)
    assert [line for line in said if "finding the poses again" in line] == []
    (out / lost).unlink()
    (out / "stranger").touch()
    refusing = raw_photos.import_scene

    def import_scene(source: Any, out: Path, *rest: Any) -> Imported:
        assert not out.exists()  # else it would be refused
        return refusing(source, out, *rest)

    with mock.patch.object(raw_photos, "import_scene", import_scene):
        Run.open(raw, [], echo=said.append)
    assert f"photos: {out} is incomplete: finding the poses again" in said
    assert (out / lost).exists()


def test_a_configuration_is_not_printed_before_the_poses_are_known(raw: Path) -> None:
    line = refused("run", raw, "--cfg", "job")
    assert "holds photos without poses, but the configuration depends on their cameras" in line
    assert f"nelf data import photos {raw}" in line
    assert not Path("runs").exists()


def test_a_check_says_that_poses_are_to_be_found(raw: Path) -> None:
    assert works("data", "check", raw).out.startswith("`nelf run` finds the camera poses of these photos first; ")


@pytest.mark.parametrize("command", ["run", "teach", "distill", "train", "eval", "export"])
def test_a_run_that_another_process_works_in(tmp_path: Path, command: str) -> None:
    run = copy_of_finished_run(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        assert f"is in use by process {holder.pid}; wait until it is done" in refused(command, run)
    finally:
        holder.kill()
        holder.communicate()
    assert nelf("export", run).code == 0
    assert not (run / ".lock").exists()
    assert os.getpid() != holder.pid
