"""The iOS app without a Mac. The tools are made once (`tools/ios/setup.py`); if the registry cannot be reached, these
tests are skipped with a message, and fail on CI."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.viewers.metal import Shaders
from tools.ios import check
from tools.ios.setup import REPOSITORY, Tools, set_up
from tools.setting_up import ROOT, SetupError

pytestmark = pytest.mark.slow

APP = ROOT / "ios_app"


@pytest.fixture(scope="module")
def tools() -> Tools:
    try:
        return set_up()
    except SetupError as error:
        if os.environ.get("CI") == "true" or not error.unreachable:
            raise
        pytest.skip(f"*** the iOS app is NOT CHECKED: {error}")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A scratch folder that the tools see."""
    (ROOT / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache", prefix="ios-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def shaders(tools: Tools, folder: Path) -> Shaders:
    (folder / "shaders").mkdir()
    return Shaders(tools, folder / "shaders")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("one", check.CHECKS, ids=lambda one: one.__name__)
def test_the_app(tools: Tools, one: object) -> None:
    assert one(tools)  # type: ignore[operator]


PLANTED = {
    "FrameRenderer.swift": ("encoder.endEncoding()", "encoder.finishEncoding()"),
    "NelfModel.swift": ("options: image.options", "options: image.metal"),
    "BundleListScreen.swift": ('.navigationTitle("Scenes")', ".navigationTitle(7)"),
    "ARModel.swift": ("session.pause()", "session.pause(1)"),
    "ViewerModel.swift": ("camera.step(", "camera.walk("),
}
"""File of the app -> what stands there, and a mistake."""


@pytest.mark.timeout(1200)
def test_planted_errors_are_found(tools: Tools, folder: Path) -> None:
    shutil.copytree(APP / "NelfViewer", folder / "planted", ignore=shutil.ignore_patterns("Bundles", "*.xcassets"))
    for name, (right, wrong) in PLANTED.items():
        path = folder / "planted" / name
        text = path.read_text()
        assert right in text
        path.write_text(text.replace(right, wrong, 1))
    with pytest.raises(check.CheckError) as error:
        check.shell(tools, f"{REPOSITORY}/{(folder / 'planted').relative_to(ROOT).as_posix()}")
    assert set(re.findall(r"/planted/(\w+\.swift):\d+:\d+: error", str(error.value))) == set(PLANTED)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


def centres(width: int, height: int) -> np.ndarray:
    """Positions of pixel centres, row by row from the top."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([(x.ravel() + 0.5) / width, (y.ravel() + 0.5) / height], axis=1)


def bilinear(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The same in NumPy: edges repeat, pixel centres at +0.5."""
    height, width = image.shape[:2]
    x, y = (places * [width, height] - 0.5).T
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    weight = {0: 1 - (x - left), 1: x - left}, {0: 1 - (y - top), 1: y - top}
    total = np.zeros((len(places), image.shape[2]))
    for i in (0, 1):
        for j in (0, 1):
            pixels = image[np.clip(top + j, 0, height - 1), np.clip(left + i, 0, width - 1)]
            total += (weight[0][i] * weight[1][j])[:, None] * pixels
    return total


@pytest.mark.parametrize("channels", [3, 4])
def test_an_image_at_its_own_size_is_itself(shaders: Shaders, channels: int) -> None:
    image = noise(6, 5, channels)
    shown = shaders.image(image, centres(5, 6)).reshape(6, 5, 4)
    np.testing.assert_allclose(shown[..., :channels], image, atol=1e-6)  # rounding of float32
    if channels == 3:
        np.testing.assert_array_equal(shown[..., 3], 1)


@pytest.mark.parametrize("channels", [3, 4])
def test_between_pixels_it_is_bilinear(shaders: Shaders, channels: int) -> None:
    image, places = noise(7, 9, channels), noise(200, 2)
    expected = bilinear(image, places)
    np.testing.assert_allclose(shaders.image(image, places)[:, :channels], expected, atol=2e-6)


def test_a_picture_is_opaque_whatever_its_alpha(shaders: Shaders) -> None:
    image, places = noise(7, 9, 4), noise(200, 2)
    shown = shaders.picture(image, places)
    np.testing.assert_allclose(shown[:, :3], bilinear(image, places)[:, :3], atol=2e-6)
    np.testing.assert_array_equal(shown[:, 3], 1)


def test_values_out_of_range_are_clamped(shaders: Shaders) -> None:
    shown = shaders.image(np.array([[[-1.0, 0.5, 2.0, 3.0]]]), centres(1, 1))
    np.testing.assert_array_equal(shown, [[0, 0.5, 1, 1]])


def test_the_image_is_upright(shaders: Shaders) -> None:
    corners = noise(4, 4)
    positions, places = shaders.corners(corners)
    np.testing.assert_array_equal(positions, corners)
    np.testing.assert_array_equal(places, [[0, 1], [1, 1], [0, 0], [1, 0]])  # row 0 is at the top


def test_the_camera_behind(shaders: Shaders) -> None:
    """Full-range BT.601, from its definition: Kr = 0.299, Kb = 0.114."""
    rgb = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.2, 0.5, 0.7]])
    luma = rgb @ [0.299, 0.587, 0.114]
    chroma = np.stack([(rgb[:, 2] - luma) / 1.772 + 0.5, (rgb[:, 0] - luma) / 1.402 + 0.5], axis=1)
    shown = shaders.camera(np.repeat(np.repeat(luma[None], 2, 0), 2, 1), chroma[None], centres(6, 1))
    np.testing.assert_allclose(shown[:, :3], rgb, atol=1e-5)
    matrix = np.array([[0, 1, 0], [-1, 0, 1], [0, 0, 1.0]])  # a quarter turn
    positions, places = shaders.camera_corners(matrix)
    np.testing.assert_array_equal(positions[:, :2], [[-1, -1], [1, -1], [-1, 1], [1, 1]])
    view = np.array([[0, 1, 1], [1, 1, 1], [0, 0, 1], [1, 0, 1]])
    np.testing.assert_allclose(places, (view @ matrix.T)[:, :2], atol=1e-6)
