"""Blur, exposure, movement and wrong poses in the pictures of a posed scene: each fault has its line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from nelf.capture import check_views
from nelf.scene import SceneConfig, load_scene
from tests.capture.room import make_posed, poses, render
from tests.scenes import edit_json, make_nerfstudio_scene

pytestmark = pytest.mark.slow

COUNT = 24  # 3 degrees apart


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not change it."""
    return make_posed(tmp_path_factory.mktemp("room") / "room", COUNT)


@pytest.fixture
def room(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "room"))


def told(folder: Path) -> list[str]:
    scene = load_scene(SceneConfig(str(folder), holdout=0, val_holdout=0))
    return [str(problem) for problem in check_views(scene.train, scene.center)]


def test_of_a_good_scene_nothing_is_said(sound: Path) -> None:
    assert told(sound) == []


def test_small_pictures_say_nothing(tmp_path: Path) -> None:
    assert told(make_nerfstudio_scene(tmp_path / "small", views=12)) == []


def test_a_blurred_view(room: Path) -> None:
    path = room / "images/photo_04.png"
    Image.open(path).filter(ImageFilter.GaussianBlur(3)).save(path)
    (line,) = told(room)
    assert line == "1 view (photo_04) is blurred, compared with the others; retake or remove them"


def test_a_jump_of_exposure(room: Path) -> None:
    path = room / "images/photo_04.png"
    Image.fromarray((np.asarray(Image.open(path)) * 0.65).astype(np.uint8)).save(path)  # 1.4 stops
    (line,) = told(room)
    assert line.startswith("the exposure jumps: 1 view (photo_04) is 0.5 stops or more from the neighbours; lock")


def test_a_thing_that_moved(room: Path) -> None:
    Image.fromarray(render(poses(COUNT)[5], block_moved=-0.5)).save(room / "images/photo_05.png")
    (line,) = told(room)
    assert line.startswith("things moved: 1 view (photo_05) is not like the neighbours")


def test_photos_with_the_poses_of_others(room: Path) -> None:
    """A list of poses in another order than the photos."""
    frames = json.loads((room / "transforms.json").read_text())["frames"]
    order = np.random.default_rng(0).permutation(COUNT)
    moved = [one | {"transform_matrix": frames[i]["transform_matrix"]} for i, one in zip(order, frames, strict=True)]
    edit_json(room / "transforms.json", frames=moved)
    (line,) = told(room)
    assert line.startswith("the poses do not fit the photos: ")
    assert line.endswith("; check that each photo has its own pose, and that nothing moved all the time")
