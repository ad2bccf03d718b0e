"""Bad scenes: one line with scene, place, allowed values and remedy."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError
from PIL import Image

from nelf.core.errors import ConfigError, SceneError
from nelf.scene import SceneConfig, load_scene
from tests.scenes import (
    edit_json,
    make_blender_scene,
    make_colmap_scene,
    make_llff_scene,
    make_nerfstudio_scene,
    make_polycam_scene,
    make_record3d_scene,
)

ALL = ("train", "val", "test")


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(SceneError) as caught:
        load_scene(SceneConfig(str(folder), name="room", **options), ALL)
    message = str(caught.value)
    assert "\n" not in message
    return message


def pose_at(x: float, y: float, z: float) -> list[list[float]]:
    return [[1.0, 0.0, 0.0, x], [0.0, 1.0, 0.0, y], [0.0, 0.0, 1.0, z], [0.0, 0.0, 0.0, 1.0]]


@pytest.fixture
def room(tmp_path: Path) -> Path:
    return make_nerfstudio_scene(tmp_path / "room", views=12)


def edit_frame(folder: Path, number: int, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((folder / "transforms.json").read_text())
    change(content["frames"][number])
    (folder / "transforms.json").write_text(json.dumps(content))


def test_missing_folder_and_file_instead(tmp_path: Path) -> None:
    assert "does not exist; give the folder" in refusal(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    assert "is a file; give the folder" in refusal(tmp_path / "file")


def test_unknown_format_lists_what_was_looked_for(tmp_path: Path) -> None:
    message = refusal(tmp_path)
    for looked_for in ("transforms_train.json", "transforms.json", "poses_bounds.npy", "sparse/0"):
        assert looked_for in message


def test_json_cut_in_half(room: Path) -> None:
    text = (room / "transforms.json").read_text()
    (room / "transforms.json").write_text(text[: len(text) // 2])
    assert "scene 'room': transforms.json is not valid JSON (line 1" in refusal(room)
    (room / "transforms.json").write_bytes(b"\xff\xfe\x00\x01")
    assert "transforms.json is not JSON text" in refusal(room)
    (room / "transforms.json").write_text("[" * 100_000)
    assert "transforms.json is not" in refusal(room)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"frames": {}}, "has frames = {}; it must be a list of objects"),
        ({"frames": []}, "lists no frames"),
        ({"frames": [{}]}, "frame 0 has no file_path"),
        ({"fl_x": "long"}, 'has fl_x = "long"; it must be a number'),
        ({"fl_x": 0}, "has focal length fl_x = 0; it must be a positive number of pixels"),
        ({"fl_y": -3.5}, "has focal length fl_y = -3.5; it must be a positive number of pixels"),
        ({"fl_x": None, "fl_y": None}, "has no focal length; give fl_x (pixels) or camera_angle_x (radians)"),
        ({"fl_x": None, "camera_angle_x": 4.0}, "has camera_angle_x = 4; it must be between 0 and pi"),
        ({"w": 16, "h": 24}, "is 24x16, but its intrinsics are for 16x24"),
        ({"k1": -30.0}, "folds the image over itself"),
        ({"camera_model": "OPENCV_FISHEYE"}, 'has camera model "OPENCV_FISHEYE"; use one of OPENCV'),
        ({"camera_model": "a\nb"}, r'has camera model "a\nb"; use one of OPENCV'),
        ({"scene_type": "inside"}, 'has scene_type = "inside"; it must be one of object, forward-facing, unbounded'),
        ({"near": -1}, "has near = -1; it must be a positive number"),
        ({"center": [1, 2]}, "has center = [1, 2]; it must be three finite numbers"),
        ({"near": 1e-40}, "has near = 1e-40; it must be a positive number, 1e-09 to 1e+12"),
        ({"radius": 1e200}, "has radius = 1e+200; it must be a positive number, 1e-09 to 1e+12"),
        ({"center": [0, 1e200, 0]}, "has center = [0, 1e+200, 0]; it must be three finite numbers, each at most 1e+09"),
        ({"up": [1e299, 0, 0]}, "has up = [1e+299, 0, 0]; it must be three finite numbers, each at most 1e+09"),
        ({"up": [0, 0, 1e-300]}, "has up = [0.0, 0.0, 1e-300]; it must be a direction, such as [0, 0, 1]"),
        ({"fl_x": 1e-30}, "has focal lengths (1e-30, 33.3915) for an image"),
        ({"fl_y": 1e300}, "for an image of 24x16 pixels; they must be 0.01 to 10000 times its sides"),
        ({"fl_x": None, "fl_y": None, "camera_angle_x": 1e-300}, "they must be 0.01 to 10000 times its sides"),
        ({"cx": -1e9}, "has the principal point (-1e+09, 8) for an image of 24x16 pixels; it must be within 10 times"),
        ({"cx": -1e9, "w": None, "h": None}, "has the principal point (-1e+09, 8)"),
        ({"w": 1e-200, "h": 1e-200}, "has image width w = 1e-200; it must be a positive number of pixels, 1 to 1e+06"),
        ({"h": 1e200}, "has image height h = 1e+200; it must be a positive number of pixels, 1 to 1e+06"),
        ({"k1": 1e300}, "the coefficients must be finite, at most 1e+06"),
        ({"train_filenames": "all"}, 'has train_filenames = "all"; it must be a list of file names'),
    ],
)
def test_wrong_values(room: Path, change: dict[str, Any], expected: str) -> None:
    edit_json(room / "transforms.json", **change)
    message = refusal(room)
    assert expected in message
    assert "scene 'room'" in message


@pytest.mark.parametrize(
    ("pose", "expected"),
    [
        (np.full((4, 4), math.nan).tolist(), "has a pose with NaN or infinite numbers"),
        (pose_at(1e200, 0, 0), "has its camera at (1e+200, 0, 0); each coordinate must be at most 1e+09"),
        ([[1e200, 0, 0, 0], [0, -1e200, 0, 0], [0, 0, 1, 0]], "is not rigid: its columns have lengths"),
        ([[1e200, -1e200, 0, 0], [1e200, 1e200, 0, 0], [0, 0, 1, 0]], "is not rigid: its columns have lengths"),
        ((2 * np.eye(4)).tolist(), "is not rigid: its columns have lengths 2, 2, 2; the left 3x3 part"),
        (np.diag([1.0, 1.0, -1.0, 1.0]).tolist(), "lengths 1, 1, 1 and mirrors"),
        (np.eye(4).tolist()[:2], "it must be a 4x4 matrix of numbers"),
        ([["a"] * 4] * 4, "it must be a 4x4 matrix of numbers"),
        (None, "has no transform_matrix"),
    ],
)
def test_bad_poses(room: Path, pose: object, expected: str) -> None:
    edit_frame(room, 3, lambda frame: frame.update(transform_matrix=pose))
    message = refusal(room)
    assert expected in message
    assert "scene 'room': transforms.json: frame 3 (images/0004.png)" in message


def test_nearly_rigid_pose_is_made_exact(room: Path) -> None:
    matrix = np.diag([1.003, 1.003, 1.003, 1.0])
    edit_frame(room, 3, lambda frame: frame.update(transform_matrix=matrix.tolist()))
    scene = load_scene(SceneConfig(str(room)))
    rotation = scene.train.c2w[list(scene.train.names).index("0004"), :, :3]
    assert np.allclose(rotation, np.eye(3), atol=1e-6)
    assert any("were corrected" in problem for problem in scene.problems)


def test_large_and_small_numbers_that_can_be(room: Path) -> None:
    """Metres of a national grid, a fisheye's crop: generous limits accept them."""
    content = json.loads((room / "transforms.json").read_text())
    for frame in content["frames"]:
        for row in frame["transform_matrix"][:3]:
            row[3] += 5.6e6
    edit_json(room / "transforms.json", frames=content["frames"], fl_x=3.0, fl_y=900.0, cx=-40.0, up=[0, 0, 1e5])
    scene = load_scene(SceneConfig(str(room)), ALL)
    assert scene.up.tolist() == [0, 0, 1]
    # Without w and h the centre decides upon EXIF's rotation; where there is none, nothing is to be decided.
    edit_json(room / "transforms.json", w=None, h=None, cx=7.0, cy=12.0)
    assert load_scene(SceneConfig(str(room)), ALL).train.intrinsics[0, 2:].tolist() == [7, 12]


def test_missing_images(room: Path) -> None:
    for number in (5, 8):
        (room / f"images/{number:04d}.png").unlink()
    assert refusal(room) == (
        "scene 'room': frame 4 names images/0005.png, which does not exist. 2 of 12 images are missing; "
        "pass scene.allow_missing=true to use the 10 that exist"
    )
    scene = load_scene(SceneConfig(str(room), allow_missing=True), ALL)
    assert sum(len(scene.splits[split]) for split in ALL) == 10
    assert scene.problems == (
        "2 of 12 images are missing, the first is images/0005.png; add them, or remove their frames",
    )


def test_all_images_missing(room: Path) -> None:
    (room / "images").rename(room / "photos")
    assert "None of the 12 images exists; put them where the scene names them" in refusal(room, allow_missing=True)


def test_poses_of_other_photos(room: Path) -> None:
    for path in (room / "images").iterdir():
        path.rename(path.with_stem(f"IMG_{path.stem}"))
    line = refusal(room)
    assert "None of the 12 images exists; " in line
    assert line.endswith("images holds 12 others, such as IMG_0001.png: use the poses of these")


def test_mixed_sizes(room: Path) -> None:
    """Images of another size need intrinsics too."""
    Image.new("RGB", (12, 8)).save(room / "images/0007.png")
    edit_json(room / "transforms.json", w=None, h=None, cx=None, cy=None)
    message = refusal(room)
    assert "images/0001.png is 24x16, images/0007.png is 12x8; give each frame the w and h of its intrinsics" in message


def test_text_file_as_image(room: Path) -> None:
    (room / "images/0007.png").write_text("<html>404</html>")
    message = refusal(room)
    assert "0007.png: it is not an image in a known format" in message
    assert "scene 'room'" in message


@pytest.mark.parametrize("listed", ["../secret.png", "images/../../x", "/etc/passwd", "C:\\photos\\1.png", "..\\1.png"])
def test_names_that_leave_the_folder(room: Path, listed: str) -> None:
    Image.new("RGB", (24, 16)).save(room.parent / "secret.png")
    edit_frame(room, 2, lambda frame: frame.update(file_path=listed))
    message = refusal(room)
    assert "outside the scene's folder" in message
    assert "frame 2" in message


@pytest.mark.parametrize("split", ALL)
def test_empty_split(tmp_path: Path, split: str) -> None:
    make_blender_scene(tmp_path, views=(8 * (split != "train"), 2 * (split != "val"), 2 * (split != "test")))
    options = {"val_holdout": 0} if split == "val" else {}
    assert f"scene 'room': no {split} views among the" in refusal(tmp_path, **options)
    assert f"add transforms_{split}.json" in refusal(tmp_path, **options)


def test_too_few_views_to_hold_out(tmp_path: Path) -> None:
    one = make_nerfstudio_scene(tmp_path / "one", views=1)
    with pytest.raises(SceneError, match=r"no train views among the 1 .* give at least 3, .* or set scene\.holdout=0"):
        load_scene(SceneConfig(str(one)))
    assert len(load_scene(SceneConfig(str(one), holdout=0)).train) == 1  # what the advice says
    room = make_nerfstudio_scene(tmp_path / "some", views=5)
    assert "no test views among the 5 views; set scene.holdout to 2 or more" in refusal(room, holdout=0)
    assert len(load_scene(SceneConfig(str(room)), ALL).val) == 1


def test_too_much_downscale(room: Path) -> None:
    assert "scene.downscale=17 leaves no pixel" in refusal(room, downscale=17)


def test_bad_llff(tmp_path: Path) -> None:
    room = make_llff_scene(tmp_path / "room", views=9)
    rows = np.load(room / "poses_bounds.npy")
    np.save(room / "poses_bounds.npy", rows[:5])
    assert "has 5 poses and images_8 has 9 images" in refusal(room)
    np.save(room / "poses_bounds.npy", rows[:, :15])
    assert "holds (9, 15); it must hold floats of shape [views, 17]" in refusal(room)
    (room / "poses_bounds.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr'")
    assert "poses_bounds.npy cannot be read" in refusal(room)
    rows[2, 16] = 1e200
    np.save(room / "poses_bounds.npy", rows)
    assert "0 < nearest < farthest (within 1e-09 to 1e+12)" in refusal(room)
    rows[2, 15] = math.nan
    np.save(room / "poses_bounds.npy", rows)
    assert "0 < nearest < farthest" in refusal(room)
    rows[2, 14] = 0
    np.save(room / "poses_bounds.npy", rows)
    assert "row 2 (image002.png) has focal length fl_x = 0" in refusal(room)


def test_bad_colmap(tmp_path: Path) -> None:
    fisheye = make_colmap_scene(tmp_path / "fish", model="OPENCV_FISHEYE", distortion=(0.0,) * 4)
    assert "has camera model OPENCV_FISHEYE; use one of SIMPLE_PINHOLE, PINHOLE" in refusal(fisheye)
    room = make_colmap_scene(tmp_path / "room")
    (room / "images/photo_003.png").unlink()
    assert "names images/photo_003.png, which does not exist" in refusal(room)
    points = room / "sparse/0/points3D.bin"
    points.write_bytes(points.read_bytes()[:100])
    assert "points3D.bin ends too early, after 100 bytes); a file may be cut short" in refusal(room)
    images = room / "sparse/0/images.bin"
    images.write_bytes(images.read_bytes()[:300])
    assert "images.bin ends too early, after 300 bytes" in refusal(room)
    (room / "sparse/0/cameras.bin").write_bytes(b"")
    images.unlink()
    assert "no known format" in refusal(room)


@pytest.mark.parametrize("file", ["cameras", "images", "points3D"])
@pytest.mark.parametrize("count", [2**32, 2**63, 2**64 - 1])
def test_colmap_counts_that_no_file_can_hold(tmp_path: Path, file: str, count: int) -> None:
    """pycolmap believes them, and is busy for minutes."""
    room = make_colmap_scene(tmp_path / "room", views=4)
    path = room / f"sparse/0/{file}.bin"
    path.write_bytes(count.to_bytes(8, "little") + path.read_bytes()[8:])
    assert f"{file}.bin " in refusal(room)


@pytest.mark.parametrize(
    ("file", "line", "expected"),
    [
        ("cameras", "1 PINHOLE 24", "cameras.txt: the line that begins '1 PINHOLE 24' is damaged"),
        ("cameras", "1 PINHOLE 24 16 20", "(1 parameters for a PINHOLE camera)"),
        ("images", "1 1 0 0 0 0 0", "images.txt: the line that begins '1 1 0 0 0 0 0' is damaged"),
        ("images", "1 0 0 0 0 0 0 0 1 photo_000.png", "has a quaternion of length 0; it must be 1"),
        ("images", "1 1 0 0 0 0 0 0 9 photo_000.png", "was taken by camera 9, which cameras.txt does not have"),
        ("points3D", "1 2.0 up 3.0", "points3D.txt: the line that begins '1 2.0 up 3.0' is damaged"),
    ],
)
def test_bad_colmap_text(tmp_path: Path, file: str, line: str, expected: str) -> None:
    room = make_colmap_scene(tmp_path / "room", views=4, text=True)
    (room / f"sparse/0/{file}.txt").write_text(f"# a comment\n{line}\n\n")
    assert expected in refusal(room)


def test_bad_polycam(tmp_path: Path) -> None:
    room = make_polycam_scene(tmp_path / "room")
    cameras = room / "keyframes/corrected_cameras"
    edit_json(cameras / "3000.json", t_12=None)
    assert "scene 'room': keyframes/corrected_cameras/3000.json has no t_12; the export is incomplete" in refusal(room)
    edit_json(cameras / "3000.json", t_12="up")
    assert 'has t_12 = "up"; it must be a number' in refusal(room)
    (cameras / "3000.json").unlink()
    (room / "keyframes/corrected_images/4000.jpg").unlink()
    assert "names keyframes/corrected_images/4000, which does not exist" in refusal(room)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"K": [1.0, 2.0]}, "lacks the 9 numbers K; the export is incomplete"),
        ({"K": [1.0] * 8 + ["x"]}, 'has 8 = "x"; it must be a number'),
        ({"poses": 3}, "has no poses; it must hold a list of them"),
        ({"poses": [[0, 0, 0, 1, 0, 0]]}, "pose 0 lacks the 7 numbers qx, qy, qz, qw, tx, ty, tz"),
        ({"poses": [[0, 0, 0, 9, 0, 0, 0]]}, "pose 0 has a quaternion of length 9; it must be 1"),
        ({"poses": [[0, 0, 0, 1, 0, 0, 0]] * 13}, "names rgb/12, which does not exist"),
        ({"w": 30, "h": 40}, "another aspect ratio"),
    ],
)
def test_bad_record3d(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    room = make_record3d_scene(tmp_path / "room")
    edit_json(room / "metadata.json", **change)
    assert expected in refusal(room)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"type": "round"}, "scene.type=round is not known; use one of auto, object, forward-facing, unbounded"),
        ({"downscale": 0}, "scene.downscale=0 is too small; use a whole number from 1 to 1024"),
        ({"holdout": 1}, "scene.holdout=1 holds out every view; use 0 .* or at least 2"),
        ({"near": -1.0}, "scene.near=-1 is too small; use a number from 1e-09 to 1e\\+12 world units, or null"),
        ({"far": 1e200}, r"scene.far=1e\+200 is too large; use a number from 1e-09 to 1e\+12 world units, or null"),
        ({"up": [1e299, 0.0, 0.0]}, r"scene.up=\[1e\+299,0,0\]: 1e\+299 is too large; use a list"),
        ({"near": 3.0, "far": 2.0}, "scene.near=3 must be smaller than scene.far=2"),
        ({"up": [0.0, 0.0]}, r"scene.up=\[0,0\] must be three numbers"),
    ],
)
def test_bad_config(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        SceneConfig("x", **options)


def test_config_is_a_hydra_structured_config() -> None:
    schema = OmegaConf.structured(SceneConfig)
    config = OmegaConf.to_object(OmegaConf.merge(schema, {"path": "x", "near": 2, "up": [0, 0, 1], "type": "object"}))
    assert config == SceneConfig("x", near=2.0, up=[0.0, 0.0, 1.0], type="object")
    with pytest.raises(ConfigKeyError, match="downscal"):
        OmegaConf.merge(schema, {"downscal": 2})
