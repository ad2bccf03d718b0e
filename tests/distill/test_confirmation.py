"""Poses whose views show what no photo shows are replaced."""

import dataclasses
import json
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import Tensor

from nelf.core.cameras import Rays, look_at
from nelf.distill.dataset import make_plan
from nelf.distill.render import CANDIDATES, choose
from nelf.distill.views import Confirmation
from nelf.scene import Scene, SceneConfig, SceneType, load_scene
from nelf.teacher.field import RenderOutput
from tests.distill.fakes import FROM, BallTeacher, DistillConfig, make_scene, run

LENS = torch.tensor([28.0, 28.0, 10.0, 8.0])
UP = torch.tensor([0.0, 1.0, 0.0])


class WallTeacher(BallTeacher):
    """A wall at z = 0, and fog in front of every camera with x above `fog`."""

    def __init__(self, fog: float = 9.0) -> None:
        super().__init__(alpha=False)
        self.fog = fog

    def render(self, rays: Rays) -> RenderOutput:
        down = -rays.directions[:, 2]
        depth = torch.where(down * rays.origins[:, 2] > 0, rays.origins[:, 2] / down, 8.0)
        depth = torch.where(rays.origins[:, 0] > self.fog, 0.5, depth)
        return RenderOutput(torch.full((len(rays), 3), 0.5), torch.ones(len(rays)), depth)


def camera(x: float, z: float = 4.0, aim: float | None = None) -> Tensor:
    """A camera at (x, 0, z) that looks at (aim, 0, 0), straight ahead by default."""
    eye, target = torch.tensor([x, 0.0, z]), torch.tensor([x if aim is None else aim, 0.0, 0.0])
    return look_at(eye, target, UP)


def wall_scene(width: float = 2) -> Scene:
    """Twelve photos of the wall, from the left to the right of its middle."""
    scene = make_scene(SceneType.FORWARD_FACING, views=12)
    c2w = torch.stack([camera(width * (i / 11 - 0.5)) for i in range(12)])
    train = dataclasses.replace(scene.train, c2w=c2w, intrinsics=LENS.repeat(12, 1))
    return dataclasses.replace(scene, splits={"train": train})


def test_a_view_between_the_photos_is_confirmed() -> None:
    confirmation = Confirmation(WallTeacher(), wall_scene().train)
    assert confirmation.share(camera(0.3), LENS) == 1
    assert confirmation.share(camera(0.3, 3.5, aim=0.5), LENS) == 1


@pytest.mark.parametrize(
    ("what", "pose", "share"),
    [
        ("half of the view is beside what two photos show", camera(2.25), 0.5),
        ("the back of the wall", camera(0.0, -4.0), 0.0),
        ("away from the wall", camera(0.0, 4.0, aim=80.0), 0.0),
    ],
)
def test_what_the_photos_do_not_show_is_not_confirmed(what: str, pose: Tensor, share: float) -> None:
    """The photos' frames end 1.43 beside their cameras; that of the last but one at x = 2.25."""
    teacher = WallTeacher()
    found = Confirmation(teacher, wall_scene().train).share(pose, LENS)
    assert found == pytest.approx(share, abs=0.05), what


def test_what_floats_before_a_camera_is_not_confirmed() -> None:
    confirmation = Confirmation(WallTeacher(fog=1.01), wall_scene().train)
    assert confirmation.share(camera(0.9), LENS) > 0.9
    assert confirmation.share(camera(1.05), LENS) == 0


def test_the_first_candidate_that_is_confirmed_is_chosen(tmp_path: Path) -> None:
    scene, teacher = wall_scene(), WallTeacher(fog=0.0)  # fog before half of all cameras
    plan = make_plan(scene, DistillConfig(min_confirmed=0.9, depth=False), FROM, tmp_path)
    confirmation = Confirmation(WallTeacher(), scene.train)
    confirmation.teacher = teacher
    chosen = [choose(plan, i, confirmation) for i in range(20)]
    assert all(c.confirmed >= 0.9 and c.c2w[0, 3] <= 0 for c in chosen)
    first = torch.stack([plan.pose(i, 0) for i in range(20)])
    kept = (first[:, 0, 3] <= 0).tolist()
    assert [torch.equal(c.c2w, f) for c, f in zip(chosen, first, strict=True)] == kept
    assert 2 < sum(kept) < 18


def test_without_a_confirmed_candidate_the_best_one_is_chosen(tmp_path: Path) -> None:
    scene = wall_scene()
    plan = make_plan(scene, DistillConfig(min_confirmed=0.9), FROM, tmp_path)
    confirmation = Confirmation(WallTeacher(), scene.train)
    shares = [0.1 * (i % 5) for i in range(CANDIDATES)]
    with mock.patch.object(Confirmation, "share", side_effect=shares):
        chosen = choose(plan, 0, confirmation)
    assert chosen.confirmed == 0.4
    assert torch.equal(chosen.c2w, plan.pose(0, 4))
    assert torch.equal(choose(plan, 0, None).c2w, plan.pose(0, 0))


def test_the_pseudo_scene_has_the_poses_that_were_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene, teacher = wall_scene(), WallTeacher(fog=0.0)
    run(tmp_path, scene, teacher, views=10, min_confirmed=0.9)
    views = load_scene(SceneConfig(str(tmp_path), holdout=0, val_holdout=0)).train
    plan = make_plan(scene, DistillConfig(min_confirmed=0.9, depth=False), FROM, tmp_path)
    confirmation = Confirmation(teacher, scene.train)
    for i in range(10):
        torch.testing.assert_close(views.c2w[i], choose(plan, i, confirmation).c2w, atol=1e-6, rtol=0)
    about = json.loads((tmp_path / "transforms.json").read_text())["nelf"]
    assert about["quality"]["unconfirmed_views"] < 0.05
    assert about["settings"]["min_confirmed"] == 0.9
    run(tmp_path / "sparse", wall_scene(width=40), teacher, views=4, min_confirmed=0.9)
    about = json.loads((tmp_path / "sparse" / "transforms.json").read_text())["nelf"]
    assert about["quality"]["unconfirmed_views"] == 1
    assert "100% of the pseudo views show what fewer than two photos show; take more photos" in capsys.readouterr().err
