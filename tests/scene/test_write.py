"""A scene that nelf writes reads back unchanged, and other readers find what they expect."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nelf.core.errors import SceneError, StorageError
from nelf.core.files import sha256
from nelf.scene import (
    SceneBounds,
    SceneConfig,
    SceneType,
    depth_name,
    depth_scale,
    image_name,
    load_scene,
    to_steps,
    write_image,
    write_scene,
)
from nelf.scene.write import write_png
from tests.scenes import hemisphere_poses

BOUNDS = SceneBounds(SceneType.UNBOUNDED, "", 0.1, 9.0, torch.zeros(3), 1.0, torch.tensor([0.0, 0.0, 1.0]))


@pytest.mark.parametrize("per_view_lens", [False, True])
@pytest.mark.parametrize("channels", [3, 4])
def test_round_trip(tmp_path: Path, channels: int, per_view_lens: bool) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (5, 12, 16, channels), dtype=np.uint8)
    files = [image_name(i) for i in range(5)]
    for file, image in zip(files, images, strict=True):
        write_image(tmp_path / file, image)
    c2w = torch.tensor(hemisphere_poses(5), dtype=torch.float32)[:, :3]
    lens = torch.tensor([20.1, 20.2, 8.25, 6.5])
    center, up = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.0, 0.6, 0.8])
    intrinsics = lens.expand(5, 4) + torch.arange(5)[:, None] if per_view_lens else lens
    write_scene(
        tmp_path, files=files, c2w=c2w, intrinsics=intrinsics,
        height=12, width=16, bounds=SceneBounds(SceneType.OBJECT, "", 2.1, 6.3, center, 1.4, up),
        provenance={"teacher": "abc"},
    )  # fmt: skip
    scene = load_scene(SceneConfig(str(tmp_path), name="pseudo"))
    assert (scene.format, scene.type, scene.channels, scene.size) == ("nelf", SceneType.OBJECT, channels, (12, 16))
    assert (scene.near, scene.far, scene.radius) == (2.1, 6.3, 1.4)
    assert scene.type_reason == "the scene's file says so"
    assert len(scene.train) == 5  # no view is held out: this scene is for training
    assert len(scene.test) == 0
    assert scene.train.names[3] == "000003"
    assert torch.equal(scene.train.c2w, c2w)
    assert torch.equal(scene.train.intrinsics[2], lens + 2 * per_view_lens)
    assert torch.equal(scene.center, center)
    torch.testing.assert_close(scene.up, up)
    assert np.array_equal(scene.train.images().numpy(), images)
    content = json.loads((tmp_path / "transforms.json").read_text())
    assert content["nelf"] == {"version": 1, "teacher": "abc"}
    assert content["frames"][0]["file_path"] == "images/000000.png"
    assert np.shape(content["frames"][0]["transform_matrix"]) == (4, 4)


@pytest.mark.parametrize("problem", [None, "absent", "size", "8 bit"])
def test_depth_maps(tmp_path: Path, problem: str | None) -> None:
    """Depths come back to half a step, and unknown ones stay 0. A wrong map gives one line."""
    depths = np.random.default_rng(0).uniform(0.5, 9.0, (3, 8, 10)).astype(np.float32)
    depths[:, 0, 0] = 0
    scale = depth_scale(9.0)
    for i, depth in enumerate(depths):
        write_image(tmp_path / image_name(i), np.zeros((8, 10, 3), np.uint8))
        write_png(tmp_path / depth_name(i), to_steps(torch.from_numpy(depth), scale).numpy().view(np.uint16))
    write_scene(
        tmp_path, files=[image_name(i) for i in range(3)], c2w=torch.tensor(hemisphere_poses(3)[:, :3]).float(),
        intrinsics=torch.tensor([9.0, 9.0, 5.0, 4.0]), height=8, width=10, bounds=BOUNDS, provenance={},
        depths=([depth_name(i) for i in range(3)], scale),
    )  # fmt: skip
    last = tmp_path / depth_name(2)
    if problem == "absent":
        last.unlink()
        with pytest.raises(SceneError, match=r"frame 2 .*names the depth map depths/000002\.png, which does not exist"):
            load_scene(SceneConfig(str(tmp_path)))
        return
    if problem is not None:
        size = (5, 4) if problem == "size" else (10, 8)
        Image.new("I;16" if problem == "size" else "L", size).save(last)
    train = load_scene(SceneConfig(str(tmp_path))).train
    assert train.read_depth is not None
    if problem is not None:
        with pytest.raises(
            SceneError, match=r"depth map .*000002\.png is .*; it must be 10x8 like its image, 16-bit grey"
        ):
            train.read_depth(2)
        return
    read = np.stack([train.read_depth(i) for i in range(3)])
    assert (read[:, 0, 0] == 0).all()
    assert np.abs(read - depths).max() < 0.51 * scale
    chosen = train.select([2, 0]).read_depth
    assert chosen is not None
    assert np.array_equal(chosen(0), read[2])
    reduced = load_scene(SceneConfig(str(tmp_path), downscale=2)).train
    assert reduced.read_depth is None


def test_splits_are_kept(tmp_path: Path) -> None:
    files = [image_name(i) for i in range(4)]
    for file in files:
        write_image(tmp_path / file, np.zeros((8, 8, 3), np.uint8))
    write_scene(
        tmp_path, files=files, c2w=torch.tensor(hemisphere_poses(4), dtype=torch.float32)[:, :3],
        intrinsics=torch.tensor([9.0, 9.0, 4.0, 4.0]), height=8, width=8, bounds=BOUNDS, provenance={},
        splits={"train": files[:2], "val": files[2:3], "test": files[3:]},
    )  # fmt: skip
    scene = load_scene(SceneConfig(str(tmp_path)), ("train", "val", "test"))
    assert scene.val.names == ("000002",)
    assert scene.test.names == ("000003",)


def test_same_content_gives_the_same_bytes_and_no_leftovers(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    for name in ("a", "b"):
        write_image(tmp_path / name / "x.png", image)
    assert sha256(tmp_path / "a/x.png") == sha256(tmp_path / "b/x.png")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["x.png"]


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    with pytest.raises(StorageError, match=r"disk full while writing .*x.png"):
        write_image(tmp_path / "x.png", np.zeros((2, 2, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
