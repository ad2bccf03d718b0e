"""nelf data check."""

from pathlib import Path

import pytest

from tests.pipeline.commands import cut, nelf, refused_at_once, works
from tests.scenes import make_llff_scene, make_nerfstudio_scene

pytestmark = pytest.mark.slow


def test_data_check_says_what_is_wrong(tmp_path: Path) -> None:
    room = make_nerfstudio_scene(tmp_path / "room", views=32)
    assert works("data", "check", room).out.splitlines()[0] == "`nelf run` takes this scene; no problems"
    (room / "images/0005.png").unlink()
    (room / "images/0006.png").write_text("<html>404 not found</html>")
    (room / "images/spare.png").write_text("")
    outcome = nelf("data", "check", room, "scene.downscale=2")
    assert outcome.code == 2  # nelf run would refuse it, too
    assert outcome.err == ""
    verdict, first, second, *lines = outcome.out.splitlines()
    assert verdict == "`nelf run` refuses this scene: 2 to fix first; 1 problem else"
    assert first.startswith("problem (fatal): ")
    assert "0006.png" in first
    assert second.startswith("problem (fatal): ")
    assert "0005.png" in second
    assert lines[0] == f"    nelf run {room} scene.downscale=2 scene.allow_missing=true"
    assert lines[1].startswith("problem: 1 image in images has no frame: spare.png")
    assert any(line.startswith("type ") for line in lines)
    (room / "images/0006.png").unlink()
    (room / "images/spare.png").unlink()
    outcome = works("data", "check", room, "scene.allow_missing=true")
    assert outcome.out.splitlines()[0] == "`nelf run` takes this scene; 1 problem"


def test_the_split_is_that_of_the_scenes_type(tmp_path: Path) -> None:
    wall = make_llff_scene(tmp_path / "wall", views=18)
    lines = works("data", "check", wall).out.splitlines()
    assert any(line.startswith("views ") and line.endswith("15 train, 0 val, 3 test") for line in lines)
    lines = works("data", "check", wall, "scene.val_holdout=8").out.splitlines()
    assert any(line.endswith("13 train, 2 val, 3 test") for line in lines)


def test_photos_without_poses(tmp_path: Path) -> None:
    """`nelf run` finds their poses. What it would refuse before that is refused here too."""
    photos = make_nerfstudio_scene(tmp_path / "room", size=160, width=240, views=6) / "images"
    outcome = works("data", "check", photos)
    verdict, *lines = outcome.out.splitlines()
    assert verdict.startswith("`nelf run` finds the camera poses of these photos first; before that: ")
    assert "problem: 6 photos are few; take 30 to 100, each a step from the last" in lines
    assert "image size     240 x 160 (width x height) as used" in lines
    assert "--sheet shows cameras" in refused_at_once("data", "check", photos, "--sheet", tmp_path / "sheet.png")


def test_the_sheet_is_written_on_request(tmp_path: Path) -> None:
    room = make_nerfstudio_scene(tmp_path / "room", views=12)
    outcome = works("data", "check", room, "--sheet", tmp_path / "sheet.png")
    assert outcome.out.splitlines()[-1] == f"sheet          {tmp_path / 'sheet.png'}"
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert "--sheet sheet.jpg must end in .png" in refused_at_once("data", "check", room, "--sheet", "sheet.jpg")


def test_data_check_leaves_no_remedy_out_and_no_separator_behind(tmp_path: Path) -> None:
    room = make_nerfstudio_scene(tmp_path / "room", views=12)
    cut(room / "images/0007.png")
    lines = [line for line in nelf("data", "check", room).out.splitlines() if line.startswith("problem")]
    assert any("0007.png" in line for line in lines)
    assert [line for line in lines if line.endswith("; ")] == []
