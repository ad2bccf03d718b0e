"""Rendering pseudo views gives an ordinary scene with the teacher's pictures."""

import dataclasses
import json
import math
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nelf.core.cameras import image_rays
from nelf.core.errors import ConfigError, NelfError, SceneError
from nelf.core.images import over_background
from nelf.distill import (
    DistillConfig,
    external_scene,
    pseudo_poses,
    render,
)
from nelf.distill.views import check_finite, stored
from nelf.scene import SceneConfig, SceneType, load_scene
from nelf.teacher.field import RenderOutput, render_image
from tests.distill.fakes import FROM, BallTeacher, content, make_scene, run


def test_the_result_is_an_ordinary_scene(whole: Path) -> None:
    scene, pseudo = make_scene(), load_scene(SceneConfig(path=str(whole)))
    assert sorted(p.name for p in whole.iterdir()) == ["images", "transforms.json"]
    assert (pseudo.type, pseudo.near, pseudo.far, pseudo.radius) == (SceneType.OBJECT, 2.0, 6.0, pytest.approx(1.2))
    assert (pseudo.size, pseudo.channels, len(pseudo.train)) == (scene.size, 4, 6)
    torch.testing.assert_close(pseudo.up, scene.up)
    torch.testing.assert_close(pseudo.center, scene.center)
    poses = pseudo_poses(scene, scene.train.c2w, DistillConfig(), range(6))
    torch.testing.assert_close(pseudo.train.c2w, poses, atol=1e-6, rtol=0)
    torch.testing.assert_close(pseudo.train.intrinsics, scene.train.intrinsics[:6])
    about = json.loads((whole / "transforms.json").read_text())["nelf"]
    assert about["teacher"] == FROM
    assert about["quality"]["outside_poses"] == 0


def test_images_are_what_the_teacher_shows_to_half_a_grey_level(tmp_path: Path) -> None:
    teacher = BallTeacher(opacity=0.6)
    run(tmp_path, teacher=teacher)
    views = load_scene(SceneConfig(path=str(tmp_path))).train
    for i in range(len(views)):
        truth = render_image(teacher, views.c2w[i], views.intrinsics[i], views.height, views.width)
        stored = views.image(i).float() / 255
        white = truth.rgb + 1 - truth.alpha[..., None]
        # Alpha and colour are rounded to half a level each; alpha's error counts up to once more.
        assert (over_background(stored) - white).abs().max() < 1.1 / 255
        assert (stored[stored[..., 3] == 0] == 0).all()
        assert 0.05 < (stored[..., 3] > 0).float().mean() < 0.6


def test_pictures_are_upright_and_not_mirrored(whole: Path) -> None:
    """The ball's +z side is blue and its +x side red, so up and right in the picture follow from the pose."""
    views = load_scene(SceneConfig(path=str(whole))).train
    for i in range(len(views)):
        image, pose = views.image(i).float() / 255, views.c2w[i]
        mask = image[..., 3] > 0.5
        y, x = torch.nonzero(mask, as_tuple=True)
        # What is looked at is moved by 0.036 along each axis: a quarter of a pixel, of which this is 4 sigma.
        assert x.float().mean().item() == pytest.approx(views.width / 2 - 0.5, abs=1.0)
        assert y.float().mean().item() == pytest.approx(views.height / 2 - 0.5, abs=1.0)
        colour = image[..., :3][mask]
        assert np.corrcoef(y.numpy(), colour[:, 2].numpy())[0, 1] < -0.3  # blue is up
        red_is_right = pose[0, 0].item()  # world x of the camera's right axis
        if abs(red_is_right) > 0.5:
            assert np.corrcoef(x.numpy(), colour[:, 0].numpy())[0, 1] * red_is_right > 0.2


def test_without_alpha_images_are_rgb_and_cameras_may_differ(tmp_path: Path) -> None:
    scene = make_scene(SceneType.UNBOUNDED)
    focal = torch.where(torch.arange(24) % 2 == 0, 30.0, 40.0)
    train = dataclasses.replace(
        scene.train, intrinsics=torch.stack([focal, focal, 0 * focal + 10, 0 * focal + 8], dim=1)
    )
    run(tmp_path, dataclasses.replace(scene, splits={"train": train}), BallTeacher(alpha=False), views=12)
    pseudo = load_scene(SceneConfig(path=str(tmp_path)))
    assert (pseudo.channels, pseudo.size, pseudo.type) == (3, (16, 20), SceneType.UNBOUNDED)
    assert set(pseudo.train.intrinsics[:, 0].tolist()) == {30.0, 40.0}
    assert pseudo.train.intrinsics[0, 2:].tolist() == [10.0, 8.0]


def test_depth_is_that_of_the_ball(tmp_path: Path) -> None:
    """The depth map has the depth along the axis where the view shows the ball, and nothing elsewhere."""
    run(tmp_path, depth=True, views=2)
    rendered = load_scene(SceneConfig(str(tmp_path), holdout=0, val_holdout=0)).train
    assert rendered.read_depth is not None
    depth = torch.from_numpy(rendered.read_depth(0))
    alpha = rendered.image(0)[..., 3]
    assert torch.equal(depth > 0, alpha > 127)
    rays = image_rays(rendered.c2w[0], rendered.intrinsics[0], rendered.height, rendered.width)
    points = rays.origins + depth[..., None] * rays.directions
    assert (points[depth > 0].norm(dim=-1) - 1).abs().max() < 1e-3
    run(tmp_path, views=2)
    assert not list((tmp_path / "depths").glob("*"))
    assert load_scene(SceneConfig(str(tmp_path), holdout=0, val_holdout=0)).train.read_depth is None


def test_a_teacher_that_gives_nan_is_refused() -> None:
    nothing = RenderOutput(torch.full((2, 2, 3), math.nan), torch.ones(2, 2), torch.ones(2, 2))
    with pytest.raises(NelfError, match="NaN or infinity for pseudo view 000007"):
        check_finite(stored(nothing, 4, 6.0, 1e-4), "000007")


def test_external_renders_are_taken_as_they_are(whole: Path, tmp_path: Path) -> None:
    config = DistillConfig(source="folder", folder=str(whole))
    scene = make_scene()
    found = external_scene(config, scene)
    assert (len(found.train), found.size, found.near, found.radius) == (6, scene.size, 2.0, scene.radius)
    with pytest.raises(SceneError, match=r"renders are 20x16, scene 'ball' is 24x24; .*scene\.downscale"):
        external_scene(config, make_scene(size=(24, 24)))
    with pytest.raises(SceneError, match=r"renders are RGBA, scene 'ball' is RGB"):
        external_scene(config, make_scene(channels=3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "nobody"}, "distill.source=nobody is not known; use one of teacher, folder"),
        ({"source": "folder"}, "needs distill.folder=FOLDER"),
        ({"folder": "there"}, "not used by distill.source=teacher"),
        ({"views": 0}, "distill.views=0 is too small; use a whole number from 1 to "),
        ({"max_minutes": math.nan}, "distill.max_minutes=nan is not a finite number; use a number above 0"),
        ({"look_at_jitter": -0.1}, "distill.look_at_jitter=-0.1 is too small; use a number from 0 to 0.5"),
        ({"roll_degrees": 90.0}, "distill.roll_degrees=90 is too large; use a number from 0 to 45 degrees"),
        ({"pose_jitter": 2.0}, "distill.pose_jitter=2 is too large; use a number from 0 to 1"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistillConfig(**settings)


def test_threads_write_what_one_thread_writes(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a teacher on an accelerator."""
    monkeypatch.setattr(render, "device_of", lambda teacher: torch.device("meta"))
    run(tmp_path)
    assert content(tmp_path) == content(whole)
    shutil.rmtree(tmp_path / "images")
    monkeypatch.setattr(render, "write_view", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path)


def test_threads_keep_few_views_in_memory() -> None:
    unwritten, most, lock = [0], [0], threading.Lock()

    def write() -> int:
        time.sleep(0.002)
        with lock:
            unwritten[0] -= 1
        return 7

    with render.Writers(2) as writers:
        for _ in range(40):
            with lock:
                unwritten[0] += 1
                most[0] = max(most[0], unwritten[0])
            last = writers.submit(write)
    assert last.result() == 7
    assert unwritten == [0]
    assert most[0] <= 5  # two a thread, and the one that is handed over
    with pytest.raises(ZeroDivisionError), render.Writers(1) as writers:
        writers.submit(lambda: 1 // 0)
