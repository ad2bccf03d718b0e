"""Importing raw photos: correct poses, complete files, one line per fault."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import pytest
from PIL import Image, ImageFilter

from benchmarks.captures import compare
from nelf.capture import PhotoFolder, PhotosConfig, import_scene, structure_from_motion
from nelf.capture.importer import read_imported
from nelf.core.errors import Interrupted, SceneError
from nelf.core.progress import Stop
from nelf.scene import SceneConfig, load_scene
from tests.capture.room import FOCAL, HEIGHT, WIDTH, make_photos, render
from tests.pipeline.commands import listing, refused, works

pytestmark = pytest.mark.slow

FAST = PhotosConfig(features=1024)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, np.ndarray]:
    """Photos, the imported scene, and the true poses."""
    folder = tmp_path_factory.mktemp("room")
    known = make_photos(folder / "photos", 8)
    outcome = works("data", "import", "photos", folder / "photos", "--out", folder / "scene", "photos.features=1024")
    assert outcome.out == f"{folder / 'scene'}\n"
    assert "photos: 8 of 8 photos placed, reprojection error 0." in outcome.err
    assert "photos: problem: 8 photos are few; take 30 to 100" in outcome.err
    return folder / "photos", folder / "scene", known


def run(source: Path, out: Path, config: PhotosConfig = FAST, stop: Stop | None = None) -> list[str]:
    said: list[str] = []
    import_scene(PhotoFolder(source, "room"), out, config, stop or Stop(), said.append)
    return said


def refusal(source: Path, out: Path) -> str:
    with pytest.raises(SceneError) as caught:
        run(source, out)
    assert "\n" not in str(caught.value)
    assert not out.exists()
    return str(caught.value)


def test_poses_lens_and_pixels_are_right(room: tuple[Path, Path, np.ndarray]) -> None:
    _, folder, known = room
    scene = load_scene(SceneConfig(str(folder), holdout=0, val_holdout=0))
    assert list(scene.train.names) == [f"photo_{i:02d}" for i in range(8)]
    errors = compare(scene.train.c2w.double().numpy(), known)
    assert errors["rotation_median_degrees"] < 0.5  # eight photos on one short arc tell the focal length to 1 %
    assert errors["position_median_percent"] < 1.0
    fx, fy, cx, cy = scene.train.intrinsics[0].tolist()
    assert fx == fy == pytest.approx(FOCAL, rel=0.03)
    height, width = scene.size
    assert (cx, cy) == (width / 2, height / 2)
    assert HEIGHT - 12 <= height <= HEIGHT
    assert WIDTH - 12 <= width <= WIDTH
    top, left = (HEIGHT - height) // 2, (WIDTH - width) // 2
    photo = render(known[3])[top : top + height, left : left + width]
    assert np.abs(scene.train.image(3).numpy().astype(float) - photo).mean() < 4
    assert scene.up.tolist() == [0, 0, 1]
    assert abs(float(scene.train.c2w[:, 2, 0].max())) < 0.02  # level
    assert 0 < scene.near < 1 < scene.far


def test_it_is_a_scene_as_any_other(room: tuple[Path, Path, np.ndarray]) -> None:
    _, folder, _ = room
    content = json.loads((folder / "transforms.json").read_text())
    assert content["camera_model"] == "PINHOLE"
    assert not [key for key in content if key.endswith("_filenames")]
    made = content["nelf"]["photos"]
    assert made["placed"] == made["of"] == 8
    assert made["parallax_degrees"] > 5
    assert sorted(path.name for path in folder.iterdir()) == ["images", "transforms.json"]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["photos", "scene"]  # no working files are left
    outcome = works("data", "check", folder)
    assert "1 test" in outcome.out


def test_what_is_current_is_left_alone(room: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    photos, folder, _ = room
    copy = tmp_path / "scene"
    shutil.copytree(folder, copy)
    before = listing(copy)
    assert run(photos, copy) == [f"photos: {copy} is up to date"]
    assert listing(copy) == before
    (copy / "images/photo_03.png").unlink()
    assert read_imported(copy) is None


def test_interrupted_work_goes_on_and_gives_the_same(
    room: tuple[Path, Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, folder, _ = room
    out, stop = tmp_path / "scene", Stop()

    def match(*arguments: Any) -> None:
        stop.requested = True
        plain(*arguments)

    plain = structure_from_motion.match
    monkeypatch.setattr(structure_from_motion, "match", match)
    with pytest.raises(Interrupted, match="the same command goes on from there"):
        run(photos, out, stop=stop)
    assert not out.exists()
    working = tmp_path / ".scene.working"
    assert (working / "features.db").is_file()
    monkeypatch.undo()
    monkeypatch.setattr(pycolmap, "extract_features", None)  # features are not sought again
    run(photos, out)
    assert not working.exists()
    # What is computed is the same to the last bit where one thread does it, and to rounding where several do.
    first, again = (load_scene(SceneConfig(str(f), holdout=0, val_holdout=0)).train for f in (folder, out))
    assert np.allclose(first.c2w, again.c2w, atol=1e-3)


def garbage(database: Path) -> None:
    database.write_bytes(b"x" * 5000)


def page_lost(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096:40000] = bytes(range(1, 253)) * 142 + bytes(120)  # COLMAP's threads would end the process
    database.write_bytes(content)


@pytest.mark.parametrize("damage", [garbage, page_lost])
def test_damaged_working_files(damage: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line if damaged while COLMAP works; made again if damaged before."""
    photos, out = tmp_path / "photos", tmp_path / "scene"
    make_photos(photos, 4)
    read, config = structure_from_motion.read_evidence, PhotosConfig(features=512)

    def damaged(prepared: Any, folder: Path, name: str) -> Any:
        damage(folder / "features.db")
        return read(prepared, folder, name)

    monkeypatch.setattr(structure_from_motion, "read_evidence", damaged)
    with pytest.raises(SceneError, match=r"photos 'room': COLMAP gave up .*; most likely the disk is full") as caught:
        run(photos, out, config)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    run(photos, out, config)
    assert read_imported(out) is not None


def test_masks_become_alpha(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    make_photos(photos, 6)
    (photos / "masks").mkdir()
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[20:-20, 30:-30] = 255
    for i in range(6):
        Image.fromarray(mask).save(photos / f"masks/photo_{i:02d}.png")
    run(photos, tmp_path / "scene")
    scene = load_scene(SceneConfig(str(tmp_path / "scene"), holdout=0, val_holdout=0))
    assert scene.channels == 4
    alpha = scene.train.image(0)[..., 3].float() / 255
    assert float(alpha.mean()) == pytest.approx(mask.mean() / 255, abs=0.05)
    assert float(alpha[0].max()) == 0


@pytest.mark.parametrize("out", [".", "..", "/"])
def test_a_scene_has_a_name(out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_photos(tmp_path / "photos", 3)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    line = refused("data", "import", "photos", tmp_path / "photos", "--out", out)
    assert f"--out {out} has no name of its own" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "photos"]


def test_what_a_killed_import_left_is_cleared_away(room: tuple[Path, Path, np.ndarray], tmp_path: Path) -> None:
    """After a kill between two renames, the former scene is back and nothing needs doing."""
    photos, folder, _ = room
    shutil.copytree(folder, tmp_path / ".scene.old-7")
    (tmp_path / ".scene.partial-7" / "images").mkdir(parents=True)
    assert run(photos, tmp_path / "scene") == [f"photos: {tmp_path / 'scene'} is up to date"]
    assert [path.name for path in tmp_path.iterdir()] == ["scene"]


def test_faults_that_refuse_photos(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "scene"
    assert "does not exist; give the folder" in refusal(tmp_path / "nowhere", out)
    assert "no PNG, JPEG, WebP or TIFF images in" in refusal(empty, out)
    (empty / "IMG_1.HEIC").write_bytes(b"x")
    assert "it holds IMG_1.HEIC: export the photos as JPEG" in refusal(empty, out)
    photos = tmp_path / "photos"
    make_photos(photos, 4)
    (photos / "photo_02.png").write_text("<html>")
    assert "photo_02.png: it is not an image in a known format" in refusal(photos, out)
    (photos / "photo_02.png").unlink()
    for path in photos.glob("*.png"):
        Image.open(path).filter(ImageFilter.GaussianBlur(9)).save(path)
    assert "all 3 photos are blurred or show only plain surfaces; take sharp ones" in refusal(photos, out)
    (photos / "photo_01.png").unlink()
    assert "2 photos in" in refusal(photos, out)
    out.mkdir()
    (out / "diary.txt").write_text("mine")
    make_photos(tmp_path / "again", 3)
    with pytest.raises(SceneError, match="exists and is not an imported scene; remove it, or choose another folder"):
        run(tmp_path / "again", out)
    assert (out / "diary.txt").read_text() == "mine"


def test_photos_that_have_nothing_in_common(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    random = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(random.integers(0, 255, (120, 160, 3), dtype=np.uint8)).save(photos / f"{i}.png")
    message = refusal(photos, tmp_path / "scene")
    assert "found no camera poses: 4 of 4 photos" in message


def test_without_pycolmap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_photos(tmp_path / "photos", 3)
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    assert "needs pycolmap; install it: pip install nelf[colmap]" in refusal(tmp_path / "photos", tmp_path / "scene")
