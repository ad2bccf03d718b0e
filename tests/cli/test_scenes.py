"""nelf run, teach, distill, train, eval on unusable scenes: one line, nothing written."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.commands import (
    cut,
    refused,
    refused_at_once,
    refused_scene,
    works,
)
from tests.scenes import edit_json, make_blender_scene, make_llff_scene

pytestmark = pytest.mark.slow


def test_missing_scene_folder(tmp_path: Path) -> None:
    for command in ("run", "teach", "distill", "train", "eval"):
        line = refused_at_once(command, tmp_path / "nowhere")
        assert "nowhere does not exist; give the folder" in line
    assert "nowhere does not exist" in refused_at_once("data", "check", tmp_path / "nowhere")
    assert "nowhere is not a run; give the folder of one" in refused_at_once("export", tmp_path / "nowhere")
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
    assert "pass scene.allow_missing=true to use the 10 that exist" in line
    outcome = works("teach", room, "experiment=smoke", "teacher.max_steps=2", "scene.allow_missing=true")
    assert "unbounded" in outcome.err
    assert Path("runs/room/teacher/teacher.safetensors").is_file()


def test_mixed_sizes(room: Path) -> None:
    Image.new("RGB", (12, 8)).save(room / "images/0007.png")
    edit_json(room / "transforms.json", w=None, h=None, cx=None, cy=None)
    assert "images/0001.png is 24x16, images/0007.png is 12x8; give each frame the w and h" in refused_scene(room)


def edit_frame(scene: Path, number: int, **changes: Any) -> None:
    content = json.loads((scene / "transforms.json").read_text())
    content["frames"][number] |= changes
    (scene / "transforms.json").write_text(json.dumps(content))


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
    assert "no test views among the 8 views; add transforms_test.json" in refused_scene(ball)
    assert "no test views" in refused_scene(room, "scene.holdout=0")
    assert "no test views" in refused_at_once("eval", room, "experiment=smoke", "scene.holdout=0")
    assert "no train views" in refused_at_once("teach", make_blender_scene(tmp_path / "bare", views=(0, 2, 2)))


def test_training_on_all_views(room: Path) -> None:
    """Only stages that use test views need them: everything up to the bundles works without."""
    everything = ("experiment=smoke", "scene.holdout=0", "scene.val_holdout=0")
    works("train", room, *everything)
    works("export", Path("runs/room"), "--target", "onnx")
    assert Path("runs/room/export/onnx/manifest.json").is_file()
    assert "no test views among the 12" in refused_at_once("eval", Path("runs/room"))
