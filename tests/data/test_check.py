"""`report`: what `nelf data check` prints."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from nelf.data import SceneConfig, check, report
from tests.scenes import edit_json, make_blender_scene, make_nerfstudio_scene


def problems(folder: Path, **options: bool) -> str:
    return "\n".join(str(problem) for problem in report(SceneConfig(str(folder), **options)).problems)


def test_rows_of_a_sound_scene(tmp_path: Path) -> None:
    found = report(SceneConfig(str(make_blender_scene(tmp_path / "ball", size=20, views=(24, 2, 3)))))
    rows = dict(found.rows)
    assert found.problems == []
    assert rows["format"] == "Blender"
    assert rows["kind"].startswith("object: ")
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
    assert "1 of 12 images are missing, the first is images/0004.png; add them" in found
    assert "the same image is in test and train: train/0002, test/0001; keep it in one split only" in found
    assert "0006.png" in found
    assert "cannot read the image" in found
    assert "1 images in images have no frame, the first is spare.png" in found
    assert "have one pose, the first is" in found
    assert "focal lengths differ from 27.8 to 60.0 pixels" in found
    assert "training views are few; 20 or more" in found
    assert "undistortion has no source for" in found


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
    assert "there are no test views; training and evaluation need a test split" in found
    assert "there are no val views" in found
    assert "the alpha of all images is opaque" in found


def test_pixels_that_need_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_blender_scene(tmp_path, size=20, views=(10, 2, 2))
    assert "of memory" not in problems(tmp_path)
    monkeypatch.setattr(check, "MANY_GB", 2e-6)  # 10 views of 20 x 20 RGBA are 16 kB
    assert "the pixels of the 10 training views take 0.0 GB of memory; set scene.downscale=3" in problems(tmp_path)
    found = report(SceneConfig(str(tmp_path), downscale=2)).problems  # 4 kB
    assert any("set scene.downscale=4, or" in problem.remedy for problem in found)
