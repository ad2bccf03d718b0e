"""`report`, which `nelf data check` prints."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nelf.core.errors import SceneError
from nelf.scene import SceneConfig, check, contact_sheet, load_scene, report, write_sheet
from tests.scenes import edit_json, make_blender_scene, make_llff_scene, make_nerfstudio_scene, pose_towards


def problems(folder: Path, **options: Any) -> str:
    return "\n".join(str(problem) for problem in report(SceneConfig(str(folder), **options)).problems)


def test_rows_of_a_sound_scene(tmp_path: Path) -> None:
    found = report(SceneConfig(str(make_blender_scene(tmp_path / "ball", size=20, views=(24, 2, 3)))))
    rows = dict(found.rows)
    assert found.problems == []
    assert rows["format"] == "Blender"
    assert rows["type"].startswith("object: ")
    assert rows["views"] == "24 train, 2 val, 3 test"
    assert rows["image size"] == "20 x 20 (width x height), RGBA"
    assert rows["intrinsics"].startswith("fx 27.8")
    assert rows["field of view"] == "39.5 x 39.5 degrees"
    assert rows["depths"].startswith("near 1.98")
    assert rows["distortion"] == "none"


def test_problems_have_remedies(tmp_path: Path) -> None:
    make_nerfstudio_scene(tmp_path, size=20, width=20, views=12, distortion={"k1": 0.3})
    shutil.copy(tmp_path / "images/0001.png", tmp_path / "images/0002.png")
    (tmp_path / "images/0004.png").unlink()
    cut = tmp_path / "images/0006.png"
    cut.write_bytes(cut.read_bytes()[:200])
    Image.new("RGB", (20, 20)).save(tmp_path / "images/spare.png")
    content = edit_json(tmp_path / "transforms.json")
    content["frames"][9]["fl_x"] = 60
    content["frames"][9]["transform_matrix"] = content["frames"][10]["transform_matrix"]
    edit_json(tmp_path / "transforms.json", frames=content["frames"])
    found = problems(tmp_path, allow_missing=True)
    assert "1 of 12 images is missing, the first is images/0004.png; add them" in found
    assert "the same image is in test and train: train/0002, test/0001; keep it in one split only" in found
    assert "0006.png" in found
    assert "cannot read the image" in found
    assert "1 image in images has no frame: spare.png" in found
    assert "1 pair of views has one pose: " in found
    assert "focal lengths differ from 27.8 to 60.0 pixels" in found
    assert "training views are few; 20 or more" in found
    assert "undistortion has no source for" in found


def edit_frames(folder: Path, changes: dict[int, dict[str, Any]]) -> None:
    content = json.loads((folder / "transforms.json").read_text())
    for number, change in changes.items():
        content["frames"][number] |= change
    edit_json(folder / "transforms.json", frames=content["frames"])


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    """A frame that cannot be used is a problem like others: the rest is still worth checking."""
    room = make_nerfstudio_scene(tmp_path / "room", views=32)
    images = room / "images"
    Image.new("RGB", (12, 16)).save(images / "0001.png")  # the first one: the size is that of most
    (images / "0005.png").unlink()
    (images / "0006.png").unlink()
    (images / "0007.png").write_text("<html>404</html>")
    cut = images / "0031.png"
    cut.write_bytes(cut.read_bytes()[:200])
    shutil.copy(images / "0015.png", images / "0016.png")
    edit_frames(
        room,
        {
            2: {"fl_x": 0},
            7: {"transform_matrix": (2 * np.eye(4)).tolist()},
            8: {"transform_matrix": [[math.nan] * 4] * 4},
            9: {"transform_matrix": [[1, 0, 0, 1e200], [0, 1, 0, 0], [0, 0, 1, 0]]},
            10: {"fl_x": -1},
            11: {"w": 16, "h": 24},
            12: {"k1": -30.0},
            13: {"file_path": "../0014.png"},
        },
    )
    found = report(SceneConfig(str(room)))
    told = {str(problem): problem.fatal for problem in found.problems}
    for text in (
        "frame 2 (images/0003.png) has focal length fl_x = 0; 1 more has this fault (images/0011.png)",
        "transforms.json: frame 13 (../0014.png) names '../0014.png', which is outside",
        "transforms.json: frame 4 (images/0005.png) names images/0005.png, which does not exist. 2 of 29 images are",
        "missing; pass scene.allow_missing=true to use the 27 that exist",
        "frame 8 (images/0009.png) has a pose with NaN",
        "frame 9 (images/0010.png) has its camera at (1e+200, 0, 0)",
        "frame 7 (images/0008.png) has a pose that is not rigid",
        "0007.png: it is not an image in a known format",
        "frame 0 (images/0001.png) is 12x16, but its intrinsics are for 24x16, another aspect ratio; 1 more "
        "has this fault (images/0012.png)",
        "frame 12 (images/0013.png) has distortion",
        "0031.png: ",
    ):
        assert [fatal for problem, fatal in told.items() if text in problem] == [True], text
    assert [problem for problem, fatal in told.items() if fatal and problem.count("scene 'room'")] == []
    assert [fatal for problem, fatal in told.items() if "the same image" in problem] == [False]
    assert [problem for problem in told if "have no frame" in problem] == []  # those above have, and are named
    rows = dict(found.rows)
    assert rows["image size"].startswith("24 x 16")
    assert sum(len(views) for views in found.scene.splits.values()) == 20


def test_depth_bounds_stay_with_their_frames(tmp_path: Path) -> None:
    wall = make_llff_scene(tmp_path / "wall", views=16)
    rows = np.load(wall / "poses_bounds.npy")
    rows[2, 14] = 0  # focal length
    rows[2, 15:] = 0.1, 900
    rows[5, 0] = 9  # rotation
    rows[5, 15:] = 0.1, 900
    np.save(wall / "poses_bounds.npy", rows)
    found = report(SceneConfig(str(wall)))
    assert [problem.fatal for problem in found.problems][:2] == [True, True]
    assert (found.scene.near, found.scene.far) == (pytest.approx(3.6), pytest.approx(15))


def test_the_same_fault_of_many_frames_is_told_once(tmp_path: Path) -> None:
    room = make_nerfstudio_scene(tmp_path / "room", views=32)
    edit_frames(room, {i: {"fl_x": -i} for i in range(20)})
    edit_frames(room, {i: {"transform_matrix": (i * np.eye(4)).tolist()} for i in (30, 31)})
    first, second, *others = report(SceneConfig(str(room))).problems
    assert "frame 0 (images/0001.png) has focal length fl_x = 0; 19 more have this fault (images/0002.png, " in str(
        first
    )
    assert "frame 30 (images/0031.png) has a pose that is not rigid" in str(second)
    assert "; 1 more has this fault (images/0032.png); the left 3x3 part must be a rotation" in str(second)
    assert [other.fatal for other in others] == [False] * len(others)


def test_photos_of_two_sizes_become_of_one(tmp_path: Path) -> None:
    """A finer photo, a coarser one with a longer lens and a portrait one show what the others would have shown."""
    room = make_nerfstudio_scene(tmp_path / "room", size=48, width=72, views=12)
    plain = load_scene(SceneConfig(str(room), holdout=0, val_holdout=0)).train
    fine = make_nerfstudio_scene(tmp_path / "fine", size=96, width=144, views=12)
    shutil.copy(fine / "images/0003.png", room / "images/0003.png")
    lens = edit_json(fine / "transforms.json")
    keys = ("fl_x", "fl_y", "cx", "cy", "w", "h")
    with Image.open(room / "images/0006.png") as image:
        image.crop((12, 0, 60, 48)).save(room / "images/0006.png")  # 48 x 48: the sides are missing
    edit_frames(room, {2: {key: lens[key] for key in keys}, 5: {"w": 48, "h": 48, "cx": 24}})
    found = report(SceneConfig(str(room)))
    assert [str(problem) for problem in found.problems if "another size" in str(problem)] == [
        "2 of 12 photos have another size than 72x48, and are resampled to it and to focal length 100.2; 1 of them "
        "cropped, since they show less at the sides; nothing to do, if their intrinsics are right"
    ]
    views = load_scene(SceneConfig(str(room), holdout=0, val_holdout=0)).train
    assert (views.height, views.width) == (48, 72)
    assert torch.allclose(views.intrinsics[2], plain.intrinsics[2])
    difference = (views.image(2).float() - plain.image(2).float()).abs()
    assert float(difference.mean()) < 2  # of 255: other samples of the same edges
    zoom = float(views.intrinsics[5, 0] / plain.intrinsics[5, 0])
    assert zoom == pytest.approx(0.99 * 1.5)
    # A pixel of the cropped photo shows what the whole one shows at the same angle.
    column, row = 50, 30
    there = (round((column + 0.5 - 36) / zoom + 36 - 0.5), round((row + 0.5 - 24) / zoom + 24 - 0.5))
    assert np.abs(views.read(5)[row, column].astype(int) - plain.read(5)[there[1], there[0]].astype(int)).max() < 25


def poses_of(folder: Path, edit: Callable[[int, np.ndarray], np.ndarray]) -> None:
    frames = json.loads((folder / "transforms.json").read_text())["frames"]
    edit_frames(
        folder,
        {i: {"transform_matrix": edit(i, np.array(f["transform_matrix"])).tolist()} for i, f in enumerate(frames)},
    )


def test_cameras_in_one_spot(tmp_path: Path) -> None:
    """A panorama. A trembling hand is no walk either, where points tell how far away the scene is."""
    room = make_nerfstudio_scene(tmp_path / "room", views=24)
    first = np.array(json.loads((room / "transforms.json").read_text())["frames"][0]["transform_matrix"])[:3, 3]

    def turn(i: int, pose: np.ndarray) -> np.ndarray:
        pose[:3, 3] = first
        return pose

    poses_of(room, turn)
    (fatal,) = [problem for problem in report(SceneConfig(str(room))).problems if problem.fatal]
    assert str(fatal) == (
        "all 18 training cameras stand in one spot, so nothing shows how far away things are; walk around the scene "
        "while you take photos, or find the poses again"
    )
    poses_of(room, lambda i, pose: pose + np.eye(4, k=3) * 1e-3 * (i % 2))
    assert "stand in one spot" in problems(room, near=1.0, far=20.0)
    assert "stand in one spot" not in problems(room, near=0.01, far=20.0)


def test_cameras_that_share_nothing(tmp_path: Path) -> None:
    room = make_nerfstudio_scene(tmp_path / "room", views=24)
    assert "alone" not in problems(room)

    def away(i: int, pose: np.ndarray) -> np.ndarray:
        return pose_towards(pose[:3, 3], pose[:3, 3] + [0.1, 0.0, 5.0]) if i == 3 else pose  # it looks at the sky

    poses_of(room, away)
    assert "1 view (0004) is alone: no other camera sees what they show; add photos in between" in problems(room)


def test_a_gap_is_told_and_drawn(tmp_path: Path) -> None:
    room = make_nerfstudio_scene(tmp_path / "room", views=36)

    def around(i: int, pose: np.ndarray) -> np.ndarray:
        angle = math.radians(i * 260 / 35)  # the last 100 degrees are empty
        return pose_towards(np.array([4 * math.cos(angle), 4 * math.sin(angle), 1.0]), np.zeros(3))

    poses_of(room, around)
    found = report(SceneConfig(str(room), val_holdout=0, holdout=0, type="unbounded"))
    (gap,) = [problem for problem in found.problems if "degrees of the circle" in str(problem)]
    assert str(gap).startswith("no photo over 100 degrees of the circle, between 0036 and 0001; take photos there")
    assert gap.words("room", []) == ["nelf", "data", "check", "room", "--sheet", "cameras.png"]
    write_sheet(tmp_path / "sheet.png", found.loaded)
    drawing = np.asarray(Image.open(tmp_path / "sheet.png"))[22:622, 8:608]
    pink = (drawing == contact_sheet.PINK).all(-1)
    assert 0.04 < pink.mean() < 0.5
    whole = make_nerfstudio_scene(tmp_path / "whole", views=36)
    assert "degrees of the circle" not in problems(whole, type="unbounded")
    write_sheet(tmp_path / "whole.png", report(SceneConfig(str(whole), type="unbounded")).loaded)
    assert not (np.asarray(Image.open(tmp_path / "whole.png")) == contact_sheet.PINK).all(-1).any()


def test_contact_sheet(tmp_path: Path) -> None:
    room = make_nerfstudio_scene(tmp_path / "room", views=12)
    cut = room / "images/0007.png"
    cut.write_bytes(cut.read_bytes()[:100])
    write_sheet(tmp_path / "sheet.png", report(SceneConfig(str(room))).loaded)
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape[1] == 1600
    photos = pixels[-134:-34]  # the row of thumbnails, 150 x 100
    assert photos.std() > 30
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["sheet.png"]


def test_a_scene_without_any_usable_frame_is_refused(tmp_path: Path) -> None:
    room = make_nerfstudio_scene(tmp_path / "room", views=12)
    edit_json(room / "transforms.json", fl_x=0)
    with pytest.raises(
        SceneError, match=r"none of its frames can be used; the first reason: transforms\.json: frame 0"
    ):
        report(SceneConfig(str(room)))
    edit_json(room / "transforms.json", fl_x=33)
    edit_frames(room, {i: {"transform_matrix": [[9] * 4] * 4} for i in range(12)})
    with pytest.raises(SceneError, match=r"scene 'room': none of its frames can be used; .* not rigid"):
        report(SceneConfig(str(room)))
    ball = make_blender_scene(tmp_path / "ball")
    for path in ball.glob("*/*.png"):
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(SceneError, match=r"cannot read the image .*r_0\.png"):
        report(SceneConfig(str(ball)))


def test_views_that_show_nothing_are_named(tmp_path: Path) -> None:
    make_blender_scene(tmp_path, views=(8, 2, 2))
    for name in ("train/r_3", "test/r_1"):
        Image.new("RGBA", (16, 16)).save(tmp_path / f"{name}.png")
    found = problems(tmp_path)
    assert "2 views (train/r_3, test/r_1) are transparent all over (alpha is 0); " in found
    Image.new("RGBA", (16, 16), (9, 9, 9, 1)).save(tmp_path / "test/r_1.png")
    assert "1 view (train/r_3) is transparent all over" in problems(tmp_path)


def test_empty_splits_and_opaque_alpha_are_told(tmp_path: Path) -> None:
    make_blender_scene(tmp_path, views=(4, 0, 0))
    for path in (tmp_path / "train").iterdir():
        Image.open(path).convert("RGB").convert("RGBA").save(path)
    found = problems(tmp_path)
    assert "no test views among the 4 views; add transforms_test.json" in found
    assert "the scene has no val views; 1 of the training views are used instead" in found
    assert "the alpha of all images is opaque" in found


def test_pixels_that_need_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_blender_scene(tmp_path, size=20, views=(10, 2, 2))
    assert "of memory" not in problems(tmp_path)
    monkeypatch.setattr(check, "MANY_GB", 2e-6)  # 10 views of 20 x 20 RGBA are 16 kB
    assert "the pixels of the 10 training views take 0.0 GB of memory; set scene.downscale=3" in problems(tmp_path)
    found = report(SceneConfig(str(tmp_path), downscale=2)).problems  # 4 kB
    assert any("set scene.downscale=4, or" in problem.remedy for problem in found)
