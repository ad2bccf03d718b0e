"""A scene that nelf writes reads back as it was, and anyone else's reader finds what it expects."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nelf.data import Kind, SceneConfig, image_name, load_scene, write_image, write_scene
from nelf.errors import StorageError
from nelf.storage import sha256
from tests.scenes import hemisphere_poses


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
        height=12, width=16, kind=Kind.OBJECT, near=2.1, far=6.3, center=center, radius=1.4, up=up,
        provenance={"teacher": "abc"},
    )  # fmt: skip
    scene = load_scene(SceneConfig(str(tmp_path), name="pseudo"))
    assert (scene.format, scene.kind, scene.channels, scene.size) == ("nelf", Kind.OBJECT, channels, (12, 16))
    assert (scene.near, scene.far, scene.radius) == (2.1, 6.3, 1.4)
    assert scene.kind_reason == "the scene's file says so"
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


def test_splits_are_kept(tmp_path: Path) -> None:
    files = [image_name(i) for i in range(4)]
    for file in files:
        write_image(tmp_path / file, np.zeros((8, 8, 3), np.uint8))
    write_scene(
        tmp_path, files=files, c2w=torch.tensor(hemisphere_poses(4), dtype=torch.float32)[:, :3],
        intrinsics=torch.tensor([9.0, 9.0, 4.0, 4.0]), height=8, width=8, kind=Kind.UNBOUNDED, near=0.1, far=9.0,
        center=torch.zeros(3), radius=1.0, up=torch.tensor([0.0, 0.0, 1.0]), provenance={},
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
