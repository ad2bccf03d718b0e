"""Pixels and headers: modes, EXIF rotation, alpha under reduction, the lens model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nelf.core.errors import SceneError
from nelf.scene import SceneConfig, load_scene
from nelf.scene.images import Photo, read_header, read_photo
from nelf.scene.lens import Lens, LensError, distort, fit_lens, folds, outside_share, undistort
from tests.scenes import distort_points, edit_json, make_nerfstudio_scene, undistort_points

NONE = (0.0, 0.0, 0.0, 0.0, 0.0)


def read(path: Path, width: int, height: int, channels: int, rotate: bool = False) -> np.ndarray:
    return read_photo(Photo(path, rotate, width, height, (9.0, 9.0, width / 2, height / 2), NONE), channels, "s")


def test_grey_palette_and_sixteen_bits_become_rgb(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 12).round().astype(np.uint8).reshape(3, 4)
    Image.fromarray(ramp).save(tmp_path / "grey.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(ramp).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(ramp).convert("1").save(tmp_path / "bits.png")
    for name in ("grey", "deep", "palette"):
        image = read(tmp_path / f"{name}.png", 4, 3, 3)
        assert image.dtype == np.uint8
        assert np.array_equal(image, np.repeat(ramp[..., None], 3, -1)), name
        assert np.array_equal(read(tmp_path / f"{name}.png", 4, 3, 4)[..., 3], np.full((3, 4), 255))
    assert set(np.unique(read(tmp_path / "bits.png", 4, 3, 3))) <= {0, 255}


def test_palette_with_transparency_has_alpha(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "p.png", transparency=0)
    assert read_header(tmp_path / "p.png", "s").alpha
    assert read(tmp_path / "p.png", 2, 1, 4).tolist() == [[[255, 0, 0, 0], [0, 255, 0, 255]]]


def test_what_is_transparent_does_not_bleed_into_averages(tmp_path: Path) -> None:
    pixels = np.array([[[200, 100, 50, 255], [0, 255, 0, 0]], [[200, 100, 50, 255], [0, 0, 255, 0]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", 1, 1, 4).tolist() == [[[200, 100, 50, 128]]]


def write_rotated(folder: Path, suffix: str) -> np.ndarray:
    """A scene whose photos are stored sideways, 24x16, with EXIF orientation 6; returns the first one upright."""
    make_nerfstudio_scene(folder, size=24, width=16, views=9, suffix=suffix)
    for path in sorted((folder / "images").iterdir()):
        exif = Image.Exif()
        exif[274] = 6  # to be turned clockwise by a quarter for display
        Image.fromarray(np.rot90(np.asarray(Image.open(path)))).save(path, exif=exif)
    with Image.open(folder / f"images/0001{suffix}") as stored:  # a JPEG is what came out, not what went in
        assert stored.size == (24, 16)
        return np.rot90(np.asarray(stored), -1)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_exif_rotation_is_applied_where_the_lens_is_for_the_turned_photo(tmp_path: Path, suffix: str) -> None:
    upright = write_rotated(tmp_path, suffix)
    scene = load_scene(SceneConfig(str(tmp_path)), ("test",))
    assert scene.size == (24, 16)
    assert np.array_equal(scene.test.read(0), upright)
    edit_json(tmp_path / "transforms.json", w=None, h=None)  # then the principal point tells
    assert load_scene(SceneConfig(str(tmp_path))).size == (24, 16)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_exif_rotation_is_left_alone_where_the_lens_is_for_the_stored_pixels(tmp_path: Path, suffix: str) -> None:
    upright = write_rotated(tmp_path, suffix)
    edit_json(tmp_path / "transforms.json", w=24, h=16, cx=12, cy=8)
    scene = load_scene(SceneConfig(str(tmp_path)), ("test",))
    assert scene.size == (16, 24)
    assert np.array_equal(scene.test.read(0), np.rot90(upright))


def test_lens_of_another_size_is_scaled_and_of_another_shape_refused() -> None:
    lens = Lens(focal_x=100.0, width=80.0, height=60.0, center_x=42.0)
    assert fit_lens(lens, 40, 30, turned=False) == ((50.0, 50.0, 21.0, 15.0), False)
    assert fit_lens(lens, 30, 40, turned=True) == ((50.0, 50.0, 21.0, 15.0), True)
    with pytest.raises(LensError, match="is 30x40, but its intrinsics are for 80x60"):
        fit_lens(lens, 30, 40, turned=False)
    with pytest.raises(LensError, match="no focal length"):
        fit_lens(Lens(), 30, 40, turned=False)


def test_distortion_model_against_written_out_formula() -> None:
    coefficients = {"k1": 0.2, "k2": -0.1, "k3": 0.05, "p1": 0.01, "p2": -0.02}
    points = np.stack(np.meshgrid(np.linspace(0, 40, 9), np.linspace(0, 30, 7)), -1)
    expected = distort_points(points, 35.0, 30, 40, **coefficients)
    plane = torch.tensor((points - [20, 15]) / 35.0)
    ours = distort(plane, (0.2, -0.1, 0.05, 0.01, -0.02)).numpy() * 35.0 + [20, 15]
    np.testing.assert_allclose(ours, expected, atol=1e-9)
    np.testing.assert_allclose(undistort_points(expected, 35.0, 30, 40, **coefficients), points, atol=1e-6)


def test_undistort_brings_known_points_back() -> None:
    """Each pixel stores its ideal x, then y: undistorted, the image must equal its own pixel grid."""
    height, width, focal = 30, 40, 35.0
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    pixels = np.stack([columns, rows], -1)
    ideal = undistort_points(pixels, focal, height, width, k1=-0.2, k2=0.05, p1=0.003, p2=-0.002)
    image = undistort(ideal.astype(np.float32), (-0.2, 0.05, 0.0, 0.003, -0.002), (focal, focal, 20.0, 15.0))
    inner = (slice(2, -2), slice(2, -2))
    # Pixels. torch's bicubic kernel (A = -0.75) has a ripple of 0.05 on a slope; half a pixel would be a mistake.
    assert np.abs(image - pixels)[inner].max() < 0.07
    assert np.abs((image - pixels)[inner].mean()) < 0.04


def test_folding_distortion_is_noticed() -> None:
    lens = (20.0, 20.0, 20.0, 15.0)
    assert folds((-1.0, 0.0, 0.0, 0.0, 0.0), lens, 40, 30)
    assert not folds((0.1, -0.05, 0.0, 0.0, 0.0), lens, 40, 30)
    assert outside_share((0.1, 0.0, 0.0, 0.0, 0.0), lens, 40, 30) > 0.05
    assert outside_share((-0.1, 0.0, 0.0, 0.0, 0.0), lens, 40, 30) == 0


def test_decompression_bomb_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (60, 60)).save(tmp_path / "bomb.png")
    for limit in (3000, 1000):  # Pillow warns above the limit and raises above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(SceneError, match=f"bomb.png claims more pixels than the allowed {limit}"):
            read_header(tmp_path / "bomb.png", "s")


def test_truncated_image_is_one_line(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    for suffix in ("png", "jpg"):
        path = tmp_path / f"cut.{suffix}"
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(SceneError, match=f"cannot read the image .*cut.{suffix}"):
            read(path, 40, 40, 3)
