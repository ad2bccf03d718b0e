"""In every format the cameras match the images: the ball projects where the images show it."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nelf.core.cameras import image_rays
from nelf.core.errors import SceneError
from nelf.scene import Scene, SceneConfig, SceneType, load_scene
from nelf.scene.images import find_image
from tests.scenes import (
    BALL_RADIUS,
    edit_json,
    facing_poses,
    hemisphere_poses,
    make_blender_scene,
    make_colmap_scene,
    make_llff_scene,
    make_nerfstudio_scene,
    make_polycam_scene,
    make_record3d_scene,
    render,
    to_bytes,
)

ALL = ("train", "val", "test")
DISTORTION = {"k1": 0.4, "k2": -0.6, "p1": 0.01, "p2": -0.02}


def ball_colour(scene: Scene, split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Colour of the ball along the loader's rays, [height, width, 3] in 0..1, and where it is seen, off its edge."""
    views = scene.splits[split]
    rays = image_rays(views.c2w[index], views.intrinsics[index], views.height, views.width)
    direction = rays.directions / rays.directions.norm(dim=-1, keepdim=True)
    along = -(direction * rays.origins).sum(-1)
    miss = (rays.origins + along[..., None] * direction).norm(dim=-1)
    point = rays.origins + (along - (BALL_RADIUS**2 - miss**2).clamp_min(0).sqrt())[..., None] * direction
    colour = (0.5 + 0.45 * point) * (0.75 + 0.25 * torch.tanh(4 * torch.sin(6 * point[..., 2:])))
    return colour.numpy(), (miss < 0.8 * BALL_RADIUS).numpy()


def assert_consistent(scene: Scene) -> None:
    """Largest mean error 0.05: the pixel footprint blurs the stripes; a flipped axis gives 0.2 or more."""
    for split in ALL:
        for i in range(min(3, len(scene.splits[split]))):
            colour, where = ball_colour(scene, split, i)
            assert where.sum() > 20
            image = scene.splits[split].read(i)[..., :3] / 255
            assert np.abs(image - colour)[where].mean() < 0.05


def test_blender(tmp_path: Path) -> None:
    scene = load_scene(SceneConfig(str(make_blender_scene(tmp_path / "ball", size=40, views=(20, 3, 4)))), ALL)
    assert (scene.name, scene.format, scene.channels, scene.size) == ("ball", "Blender", 4, (40, 40))
    assert [len(scene.splits[split]) for split in ALL] == [20, 3, 4]
    assert scene.train.names[:2] == ("r_0", "r_1")
    assert scene.train.c2w.shape == (20, 3, 4)
    assert scene.train.images().shape == (20, 40, 40, 4)
    torch.testing.assert_close(scene.train.c2w, torch.tensor(hemisphere_poses(20), dtype=torch.float32)[:, :3])
    assert_consistent(scene)


def test_blender_wide_without_val_takes_some_of_train(tmp_path: Path) -> None:
    make_blender_scene(tmp_path, size=24, width=40, views=(16, 0, 4))
    scene = load_scene(SceneConfig(str(tmp_path)), ALL)
    assert [len(scene.splits[split]) for split in ALL] == [14, 2, 4]
    assert not set(scene.train.names) & set(scene.val.names)
    assert any("no val views" in problem for problem in scene.problems)
    assert_consistent(scene)
    assert len(load_scene(SceneConfig(str(tmp_path))).train) == 16  # nobody asked for val
    wanted = load_scene(SceneConfig(str(tmp_path)), want=("val",))
    assert [len(wanted.splits[split]) for split in ALL] == [14, 2, 4]
    none = load_scene(SceneConfig(str(tmp_path), val_holdout=0), want=("val",))
    assert [len(none.splits[split]) for split in ALL] == [16, 0, 4]
    assert none.problems == ()


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_nerfstudio(tmp_path: Path, suffix: str, per_frame: bool) -> None:
    make_nerfstudio_scene(tmp_path, size=30, width=40, views=17, suffix=suffix, per_frame=per_frame)
    scene = load_scene(SceneConfig(str(tmp_path)), ALL)
    assert (scene.channels, scene.size) == (3, (30, 40))
    assert [len(scene.splits[split]) for split in ALL] == [12, 2, 3]
    assert scene.test.names == ("0001", "0009", "0017")
    everything = [name for split in ALL for name in scene.splits[split].names]
    assert len(set(everything)) == 17
    assert len(scene.train.intrinsics.unique(dim=0)) == (12 if per_frame else 1)
    assert_consistent(scene)


@pytest.mark.parametrize("corrected", [False, True])
def test_polycam(tmp_path: Path, corrected: bool) -> None:
    make_polycam_scene(tmp_path, corrected=corrected)
    if corrected:  # the phone's own poses lie beside the corrected ones, and are worse
        make_polycam_scene(tmp_path, corrected=False, views=5)
    scene = load_scene(SceneConfig(str(tmp_path)), ALL)
    assert (scene.format, scene.channels, scene.size) == ("Polycam", 3, (30, 40))
    assert sum(len(scene.splits[split]) for split in ALL) == 12
    assert_consistent(scene)
    assert scene.up[2] > 0.99


def test_record3d(tmp_path: Path) -> None:
    make_record3d_scene(tmp_path / "plain")
    make_record3d_scene(tmp_path / "nested" / "EXR_RGBD")
    for folder in ("plain", "nested"):
        scene = load_scene(SceneConfig(str(tmp_path / folder)), ALL)
        assert (scene.format, scene.channels, scene.size) == ("Record3D", 3, (30, 40))
        assert sum(len(scene.splits[split]) for split in ALL) == 12
        assert_consistent(scene)
        assert scene.up[2] > 0.99


def test_nerfstudio_split_lists(tmp_path: Path) -> None:
    make_nerfstudio_scene(tmp_path, views=10)
    names = [f"images/{i + 1:04d}.png" for i in range(10)]
    edit_json(
        tmp_path / "transforms.json", train_filenames=names[:6], val_filenames=names[6:8], test_filenames=names[7:9]
    )
    scene = load_scene(SceneConfig(str(tmp_path)), ALL)
    assert scene.val.names == ("0007",)
    assert scene.test.names == ("0008", "0009")  # what is in two splits is kept for the later one
    assert len(scene.train) == 6
    assert any("more than one split" in problem for problem in scene.problems)
    assert any("1 of 10 frames are in no split" in problem for problem in scene.problems)


def test_instant_ngp_field_of_view_and_no_suffix(tmp_path: Path) -> None:
    make_nerfstudio_scene(tmp_path, size=30, width=40)
    content = json.loads((tmp_path / "transforms.json").read_text())
    frames = [{**frame, "file_path": frame["file_path"].removesuffix(".png")} for frame in content["frames"]]
    (tmp_path / "transforms.json").write_text(json.dumps({"camera_angle_x": 0.69, "frames": frames}))
    assert_consistent(load_scene(SceneConfig(str(tmp_path)), ALL))


@pytest.mark.parametrize("suffix", [".PNG", ".jpg", ".JPEG", ".webp"])
def test_files_with_another_suffix_than_listed(tmp_path: Path, suffix: str) -> None:
    make_nerfstudio_scene(tmp_path, views=3)
    for path in (tmp_path / "images").iterdir():
        Image.open(path).save(path.with_suffix(suffix))
        path.unlink()
    assert len(load_scene(SceneConfig(str(tmp_path))).train) == 2
    content = json.loads((tmp_path / "transforms.json").read_text())
    content["frames"][1]["file_path"] = "images/0002.exr"  # no suffix of ours: nothing is guessed
    (tmp_path / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(SceneError, match=r"frame 1 names images/0002\.exr, which does not exist"):
        load_scene(SceneConfig(str(tmp_path)))


def test_the_listed_suffix_goes_before_others(tmp_path: Path) -> None:
    names = ("0001.png", "0001.JPG", "0001.jpg.png", "0002.png", "0002.JPG")
    for name in names:
        (tmp_path / name).touch()
    assert find_image(tmp_path, "0001.png", "") == Path("0001.png")
    assert find_image(tmp_path, "0001.jpg", "") == Path("0001.jpg.png")
    assert find_image(tmp_path, "./0002.jpg", "") == Path("0002.JPG")
    assert find_image(tmp_path, "0002.jpeg", "") == Path("0002.png")
    assert find_image(tmp_path, "0002", "") == Path("0002.png")


def test_undistortion_gives_the_ideal_image(tmp_path: Path) -> None:
    make_nerfstudio_scene(tmp_path, size=60, width=80, views=9, distortion=DISTORTION)
    scene = load_scene(SceneConfig(str(tmp_path)), ALL)
    plain = make_nerfstudio_scene(tmp_path / "plain", size=60, width=80, views=9)
    ideal = load_scene(SceneConfig(str(plain)), ALL)
    torch.testing.assert_close(scene.test.intrinsics, ideal.test.intrinsics)
    inner = (slice(6, -6), slice(6, -6))  # near the border the photo shows less than the ideal camera
    ours, truth = scene.test.read(0)[inner].astype(float), ideal.test.read(0)[inner].astype(float)
    error = np.sqrt(((ours - truth) ** 2).mean()) / 255
    still_distorted = make_nerfstudio_scene(tmp_path / "still", size=60, width=80, views=9, distortion=DISTORTION)
    edit_json(still_distorted / "transforms.json", k1=0.0, k2=0.0, p1=0.0, p2=0.0)
    wrong = load_scene(SceneConfig(str(still_distorted)), ALL).test.read(0)[inner].astype(float)
    assert error < 0.02  # 34 dB: the ball's sharp edge is sampled twice
    assert np.sqrt(((wrong - truth) ** 2).mean()) / 255 > 2 * error


def test_downscale_averages_areas_and_scales_the_lens(tmp_path: Path) -> None:
    make_nerfstudio_scene(tmp_path, size=60, width=81)
    full, half = (load_scene(SceneConfig(str(tmp_path), downscale=d), ALL) for d in (1, 2))
    assert half.size == (30, 40)
    fx, fy, cx, cy = full.train.intrinsics[0].tolist()
    expected = torch.tensor([fx * 40 / 81, fy / 2, cx * 40 / 81, cy / 2])
    torch.testing.assert_close(half.train.intrinsics[0], expected)
    rows = full.train.read(0).astype(float).reshape(30, 2, 81, 3).mean(1)
    np.testing.assert_allclose(half.train.read(0)[:, 0], (rows[:, 0] + rows[:, 1] + 0.025 * rows[:, 2]) / 2.025, atol=1)
    assert_consistent(half)


def test_llff(tmp_path: Path) -> None:
    make_llff_scene(tmp_path, size=48, width=64, views=18)
    scene = load_scene(SceneConfig(str(tmp_path)), ALL)
    assert (scene.format, scene.type, scene.size) == ("LLFF", SceneType.FORWARD_FACING, (48, 64))
    assert scene.test.names == ("image000", "image008", "image016")
    poses = torch.tensor(facing_poses(18), dtype=torch.float32)[:, :3]
    torch.testing.assert_close(scene.test.c2w, poses[[0, 8, 16]])
    torch.testing.assert_close(scene.test.intrinsics[0], torch.tensor([51.2, 51.2, 32.0, 24.0]))
    assert scene.near == pytest.approx(0.9 * 4)
    assert scene.far == pytest.approx(15)
    assert_consistent(scene)


def test_llff_folder_follows_downscale(tmp_path: Path) -> None:
    make_llff_scene(tmp_path, size=48, width=64, factor=4)
    assert load_scene(SceneConfig(str(tmp_path), downscale=4)).size == (48, 64)
    assert load_scene(SceneConfig(str(tmp_path), downscale=8)).size == (24, 32)
    with pytest.raises(SceneError, match=r"scene.downscale=3 .* only images_4; use a multiple of 4"):
        load_scene(SceneConfig(str(tmp_path), downscale=3))


@pytest.mark.parametrize(
    ("model", "distortion"),
    [
        ("SIMPLE_PINHOLE", ()),
        ("PINHOLE", ()),
        ("SIMPLE_RADIAL", (0.0,)),
        ("RADIAL", (0.0, 0.0)),
        ("OPENCV", (0.0,) * 4),
    ],
)
@pytest.mark.parametrize("text", [False, True])
def test_colmap(tmp_path: Path, text: bool, model: str, distortion: tuple[float, ...]) -> None:
    make_colmap_scene(tmp_path, size=30, width=40, views=17, text=text, model=model, distortion=distortion)
    scene = load_scene(SceneConfig(str(tmp_path)), ALL)
    assert (scene.format, scene.type) == ("COLMAP", SceneType.UNBOUNDED)
    poses = torch.tensor(hemisphere_poses(17), dtype=torch.float32)[:, :3]
    torch.testing.assert_close(scene.test.c2w, poses[[0, 8, 16]])
    assert_consistent(scene)


def test_colmap_below_colmap_folder_with_distortion_and_images_2(tmp_path: Path) -> None:
    make_colmap_scene(tmp_path, sparse="colmap/sparse/0", model="OPENCV", distortion=(0.1, 0.02, 0.001, 0.002))
    (tmp_path / "images").rename(tmp_path / "images_2")
    for path in (tmp_path / "images_2").iterdir():
        path.rename(path.with_suffix(".PNG"))  # another suffix than COLMAP saw
    scene = load_scene(SceneConfig(str(tmp_path), downscale=2))
    assert scene.size == (16, 24)
    assert scene.train.read.photos[0].distortion == (0.1, 0.02, 0.0, 0.001, 0.002)  # type: ignore[attr-defined]


def test_views_can_be_pickled_and_selected(tmp_path: Path) -> None:
    scene = load_scene(SceneConfig(str(make_blender_scene(tmp_path))))
    chosen = pickle.loads(pickle.dumps(scene.train.select([3, 1])))
    assert chosen.names == ("r_3", "r_1")
    assert torch.equal(chosen.image(1), scene.train.image(1))


def test_rendering_of_the_tests_matches_what_is_read(tmp_path: Path) -> None:
    scene = load_scene(SceneConfig(str(make_blender_scene(tmp_path, size=20))))
    focal = float(scene.train.intrinsics[0, 0])
    assert np.array_equal(scene.train.read(0), to_bytes(render(hemisphere_poses(8)[0], focal, 20, 20), alpha=True))
