"""Type, depth range, ball of interest and up direction, decided from the cameras."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nelf.core.cameras import look_at
from nelf.core.errors import ConfigError, SceneError
from nelf.scene import SceneConfig, SceneType, Views, border_color, carve, load_scene
from nelf.scene.bounds import find_type, upward
from tests.scenes import (
    edit_json,
    hemisphere_poses,
    make_blender_scene,
    make_colmap_scene,
    make_llff_scene,
    make_nerfstudio_scene,
    save,
)

Z = torch.tensor([0.0, 0.0, 1.0])


def views(c2w: torch.Tensor, image: np.ndarray) -> Views:
    lens = torch.tensor([20.0, 20.0, 10.0, 10.0]).expand(len(c2w), 4)
    return Views(tuple(str(i) for i in range(len(c2w))), c2w, lens, 20, 20, lambda index: image)


def ring(degrees: float, outwards: bool = False, count: int = 24) -> torch.Tensor:
    angle = torch.deg2rad(torch.linspace(-degrees / 2, degrees / 2, count))
    eye = torch.stack([3 * angle.cos(), 3 * angle.sin(), torch.full_like(angle, 0.5)], -1)
    return look_at(eye, 2 * eye if outwards else torch.zeros_like(eye), Z)


NOISE = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
PLAIN = np.full((20, 20, 3), 255, np.uint8)
CUTOUT = np.concatenate([PLAIN, np.zeros((20, 20, 1), np.uint8)], -1)
OPAQUE = np.concatenate([NOISE, np.full((20, 20, 1), 255, np.uint8)], -1)


@pytest.mark.parametrize(
    ("poses", "image", "kind"),
    [
        (ring(350), CUTOUT, SceneType.OBJECT),
        (ring(90), CUTOUT, SceneType.OBJECT),
        (ring(350), PLAIN, SceneType.OBJECT),
        (ring(350), NOISE, SceneType.UNBOUNDED),  # around a thing in a real place
        (ring(350), OPAQUE, SceneType.UNBOUNDED),  # alpha that says nothing
        (ring(100), PLAIN, SceneType.UNBOUNDED),
        (ring(350, outwards=True), NOISE, SceneType.UNBOUNDED),  # a panorama
        (ring(30), NOISE, SceneType.FORWARD_FACING),
    ],
)
def test_kind(poses: torch.Tensor, image: np.ndarray, kind: SceneType) -> None:
    found, reason = find_type(poses, Z, views(poses, image), image.shape[2])
    assert found is kind
    assert reason


def test_border_color_is_that_of_most_of_the_border() -> None:
    image = np.full((20, 20, 3), (255, 250, 230), np.uint8)
    image[8:, 5:15] = 0  # the object's foot reaches the lower border
    color = border_color(views(ring(350), image))
    torch.testing.assert_close(color, torch.tensor([255.0, 250.0, 230.0]) / 255)


def test_driving_forwards_is_unbounded() -> None:
    eye = torch.stack(
        [torch.linspace(0, 20, 30), 0.1 * torch.randn(30, generator=torch.Generator()), torch.ones(30)], -1
    )
    poses = look_at(eye, eye + torch.tensor([1.0, 0.0, 0.0]), Z)
    assert find_type(poses, Z, views(poses, NOISE), 3)[0] is SceneType.UNBOUNDED


def test_object_bounds_are_those_of_the_ball_and_follow_its_scale(tmp_path: Path) -> None:
    make_blender_scene(tmp_path, size=50, views=(30, 2, 4))
    scene = load_scene(SceneConfig(str(tmp_path)))
    assert scene.type is SceneType.OBJECT
    assert scene.center.norm() < 0.12
    assert 1.0 <= scene.radius < 1.3  # the ball's radius is 1; cells and masks are coarse
    assert scene.near == pytest.approx(2, abs=0.05)  # what NeRF-synthetic is rendered with
    assert scene.far == pytest.approx(6, abs=0.05)
    torch.testing.assert_close(scene.up, Z, atol=1e-4, rtol=0)

    for split in ("train", "val", "test"):
        poses = hemisphere_poses({"train": 30, "val": 2, "test": 4}[split], ["train", "val", "test"].index(split))
        poses[:, :3, 3] = 7 * poses[:, :3, 3] + [10, 20, 30]
        frames = [{"file_path": f"{split}/r_{i}", "transform_matrix": p.tolist()} for i, p in enumerate(poses)]
        edit_json(tmp_path / f"transforms_{split}.json", frames=frames)
    large = load_scene(SceneConfig(str(tmp_path)))
    torch.testing.assert_close(large.center, 7 * scene.center + torch.tensor([10.0, 20.0, 30.0]), atol=0.1, rtol=0)
    for key in ("near", "far", "radius"):
        assert getattr(large, key) == pytest.approx(7 * getattr(scene, key), rel=0.02)


def test_masks_without_common_content_fall_back_to_the_cameras(tmp_path: Path) -> None:
    make_blender_scene(tmp_path, size=20)
    for path in (tmp_path / "train").iterdir():
        save(path, np.zeros((20, 20, 4), np.uint8))
    scene = load_scene(SceneConfig(str(tmp_path)))
    assert scene.radius == pytest.approx(1.44, abs=0.02)
    assert any("does not overlap" in problem for problem in scene.problems)


def test_carving_never_removes_the_ball(tmp_path: Path) -> None:
    scene = load_scene(SceneConfig(str(make_blender_scene(tmp_path, size=40, views=(20, 0, 0)))))
    points = torch.nn.functional.normalize(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    assert bool(carve(scene.train, 0.99 * points, 0.02).all())
    assert float(carve(scene.train, 1.4 * points, 0.02).float().mean()) < 0.5  # below the ball no camera looks


def test_unbounded_ball_reaches_to_the_cameras(tmp_path: Path) -> None:
    scene = load_scene(SceneConfig(str(make_nerfstudio_scene(tmp_path, views=30))))
    assert scene.type is SceneType.UNBOUNDED
    assert scene.radius == pytest.approx(4, rel=0.02)
    assert scene.center.norm() < 0.1
    assert scene.near < 1  # the wall of the room is 4 behind the cameras, and 12 before them at most
    assert scene.far > 12


def test_points_bring_near_of_an_unbounded_scene_closer_to_what_is_there(tmp_path: Path) -> None:
    scene = load_scene(SceneConfig(str(make_colmap_scene(tmp_path, views=30))))
    assert 0.5 < scene.near <= 3  # the ball begins at depth 3


def test_forward_facing_from_points_and_from_nothing(tmp_path: Path) -> None:
    room = make_llff_scene(tmp_path / "room")
    scene = load_scene(SceneConfig(str(room)))
    assert scene.type is SceneType.FORWARD_FACING
    assert scene.center[2] < 1
    frames = [
        {"file_path": f"images_8/{name}", "transform_matrix": [*pose.tolist(), [0, 0, 0, 1]]}
        for split in ("train", "val", "test")
        for name, pose in zip(scene.splits[split].names, scene.splits[split].c2w, strict=True)
    ]
    (room / "transforms.json").write_text("{}")
    edit_json(room / "transforms.json", fl_x=26, frames=frames)
    bare = load_scene(SceneConfig(str(room)))
    assert bare.type is SceneType.FORWARD_FACING
    assert 0 < bare.near < 5 < 14 < bare.far
    assert any(f"near {bare.near:.3g} and far {bare.far:.3g} are guessed" in problem for problem in bare.problems)
    assert any("set scene.near and scene.far" in problem for problem in bare.problems)

    half = load_scene(SceneConfig(str(room), near=1.0))
    assert half.far == bare.far
    assert [problem for problem in half.problems if problem.endswith("; set scene.far")]
    told = load_scene(SceneConfig(str(room), near=1.0, far=20.0))
    assert told.problems == ()
    middle = torch.cat([told.splits[split].c2w for split in ("train", "val", "test")])[:, :, 3].mean(0)
    # LLFF's focus depth of what the user said; the cameras look straight ahead but for a degree
    assert float((told.center - middle).norm()) == pytest.approx(1 / (0.25 / 1 + 0.75 / 20), rel=1e-3)
    edit_json(room / "transforms.json", near=2.0, far=20.0)
    assert load_scene(SceneConfig(str(room))).problems == ()


def test_what_the_user_says_goes_first(tmp_path: Path) -> None:
    make_nerfstudio_scene(tmp_path, views=9)
    edit_json(
        tmp_path / "transforms.json", near=0.5, far=20.0, center=[1, 2, 3], radius=5, up=[0, 2, 0], scene_type="object"
    )
    written = load_scene(SceneConfig(str(tmp_path)))
    assert (written.near, written.far, written.radius, written.type) == (0.5, 20.0, 5.0, SceneType.OBJECT)
    assert written.up.tolist() == [0, 1, 0]
    assert written.center.tolist() == [1, 2, 3]
    own = load_scene(SceneConfig(str(tmp_path), near=1.0, far=9.0, up=[0.0, 0.0, 3.0], type="unbounded"))
    assert (own.near, own.far, own.type, own.type_reason) == (1.0, 9.0, SceneType.UNBOUNDED, "scene.type=unbounded")
    assert own.up.tolist() == [0, 0, 1]
    with pytest.raises(
        ConfigError, match=r"scene\.near=30 must be smaller than far = 20 of the scene's file; set both"
    ):
        load_scene(SceneConfig(str(tmp_path), near=30.0))


def test_near_beyond_far_in_the_file_is_the_files_fault(tmp_path: Path) -> None:
    room = make_nerfstudio_scene(tmp_path / "room", views=9)
    edit_json(room / "transforms.json", near=20.0, far=0.5)
    with pytest.raises(SceneError) as refused:
        load_scene(SceneConfig(str(room)))
    assert str(refused.value) == (
        "scene 'room': near = 20 of the scene's file must be smaller than far = 0.5 of the scene's file; "
        "correct the file, or set scene.near and scene.far"
    )
    assert load_scene(SceneConfig(str(room), near=1.0, far=9.0)).far == 9
    edit_json(room / "transforms.json", near=1e6, far=None)
    with pytest.raises(
        SceneError, match=r"near = 1e\+06 of the scene's file must be smaller than far = \d+ found from"
    ):
        load_scene(SceneConfig(str(room)))


def test_upward_direction_ignores_that_cameras_look_down() -> None:
    one_side = ring(100).clone()
    eye = one_side[:, :, 3] + torch.tensor([0.0, 0.0, 4.0])
    tilted = look_at(eye, torch.zeros_like(eye), Z)
    assert tilted[:, 2, 1].mean() < 0.8  # the mean of the up axes would lean over
    torch.testing.assert_close(upward(tilted), Z, atol=1e-4, rtol=0)
    torch.testing.assert_close(upward(tilted[:1]), tilted[0, :, 1], atol=1e-5, rtol=0)


def test_cameras_at_one_place(tmp_path: Path) -> None:
    make_nerfstudio_scene(tmp_path, views=9)
    poses = hemisphere_poses(9)
    poses[:, :3, 3] = 0
    frames = [{"file_path": f"images/{i + 1:04d}", "transform_matrix": p.tolist()} for i, p in enumerate(poses)]
    edit_json(tmp_path / "transforms.json", frames=frames)
    for kind in ("auto", "object", "unbounded", "forward-facing"):
        scene = load_scene(SceneConfig(str(tmp_path), type=kind))
        assert 0 < scene.near < scene.far
        assert scene.radius > 0
