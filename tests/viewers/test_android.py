"""The Android app without a phone. The tools are fetched once (`tools/android/setup.py`); if a registry cannot be
reached, these tests are skipped with a message, and fail on CI."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.viewers.glsl import Shaders
from tools.android import check
from tools.android.api import Api, ApiClass, Availability, faults, read_api
from tools.android.classfile import ClassFile, Reference
from tools.android.project import APP, CheckError, Project
from tools.android.setup import Tools, set_up
from tools.setting_up import SetupError, fetch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tools() -> Tools:
    try:
        return set_up()
    except SetupError as error:
        if os.environ.get("CI") == "true" or not error.unreachable:
            raise
        pytest.skip(f"*** the Android app is NOT CHECKED: {error}")


@pytest.fixture(scope="module")
def shaders(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Shaders:
    raw = APP / "app/src/main/res/raw"
    folder = tmp_path_factory.mktemp("shaders")
    return Shaders(raw / "frame_vertex.glsl", raw / "frame_fragment.glsl", tools.debian / "usr/include", folder)


@pytest.fixture
def project(tools: Tools, tmp_path: Path) -> Project:
    """A copy of the app with two files of its core, to plant errors in."""
    shutil.copytree(APP, tmp_path / "app", ignore=shutil.ignore_patterns("build", "assets", "test"))
    for path in (tmp_path / "app/core").rglob("*.kt"):
        if path.name not in ("Pose.kt", "Vector.kt"):
            path.unlink()
    return Project(tmp_path / "app", tools, tmp_path / "build")


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


def centres(width: int, height: int) -> np.ndarray:
    """Positions of pixel centres, row by row from the top."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([(x.ravel() + 0.5) / width, (y.ravel() + 0.5) / height], axis=1)


@pytest.mark.parametrize("background", [[1.0, 1.0, 1.0], [0.0, 0.25, 0.5]])
@pytest.mark.parametrize("channels", [3, 4])
def test_the_fragment_shader_composites(shaders: Shaders, channels: int, background: list[float]) -> None:
    image = noise(5, 7, channels)
    if channels == 4:
        image[..., :3] *= image[..., 3:]
    alpha = image[..., 3:] if channels == 4 else np.ones((5, 7, 1), np.float32)
    expected = image[..., :3] + (1 - alpha) * np.array(background, np.float32)
    shown = shaders.colours(image, background, centres(7, 5)).reshape(5, 7, 4)
    np.testing.assert_allclose(shown[..., :3], expected, atol=1e-6)  # rounding of float32
    np.testing.assert_array_equal(shown[..., 3], 1.0)


def test_values_out_of_range_are_clamped(shaders: Shaders) -> None:
    image = np.array([[[-1.0, 0.5, 2.0, 3.0]]], np.float32)
    np.testing.assert_array_equal(shaders.colours(image, [1.0, 1.0, 1.0], centres(1, 1)), [[0, 0.5, 1, 1]])


def test_the_vertex_shader_keeps_the_image_upright_and_whole(shaders: Shaders) -> None:
    positions, clip = shaders.vertices((0.5, 1.0))
    np.testing.assert_array_equal(positions, [[0, 0], [1, 0], [0, 1], [1, 1]])
    # the image's top left corner is at the left, x = -1, and up, y = +1
    np.testing.assert_array_equal(clip, [[-0.5, 1, 0, 1], [0.5, 1, 0, 1], [-0.5, -1, 0, 1], [0.5, -1, 0, 1]])


def test_a_frame_is_the_image(shaders: Shaders) -> None:
    """Both shaders with a rasteriser in NumPy between them: at its own size an image stays the same, row 0 on top."""
    image = noise(6, 4, 3)
    positions, clip = shaders.vertices((1.0, 1.0))
    x, y = (centres(4, 6) * [2, -2] + [-1, 1]).T  # of each pixel in clip space, y upwards
    across = (x - clip[0, 0]) / (clip[1, 0] - clip[0, 0])
    down = (y - clip[0, 1]) / (clip[2, 1] - clip[0, 1])
    at = positions[0] + across[:, None] * (positions[1] - positions[0]) + down[:, None] * (positions[2] - positions[0])
    shown = shaders.colours(image, [1, 1, 1], at).reshape(6, 4, 4)
    np.testing.assert_allclose(shown[..., :3], image, atol=1e-6)


POSE = "core/src/main/kotlin/org/nelf/core/Pose.kt"
FRAGMENT = "app/src/main/res/raw/frame_fragment.glsl"
PLANTED = [
    pytest.param("core", POSE, "const val POSE_SIZE = 12", "const val POSE_SIZE: Int = 12.0", id="wrong type"),
    pytest.param(
        "core", POSE, "POSE_SIZE = 12", "POSE_SIZE = 12\nval x = ProcessHandle.current()", id="not on a phone"
    ),
    pytest.param("style", POSE, "const val POSE_SIZE = 12", "const  val POSE_SIZE=12", id="style"),
    pytest.param("shaders", FRAGMENT, "shown.a)", "shown.alpha)", id="shader"),
]


@pytest.mark.parametrize(("name", "path", "old", "new"), PLANTED)
def test_a_planted_error_is_found(project: Project, name: str, path: str, old: str, new: str) -> None:
    file = project.app / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(CheckError, match=Path(path).name):
        getattr(check, name)(project)


def test_the_api_of_android_is_read(tools: Tools) -> None:
    api = read_api(tools.android_api)
    assert len(api) > 5000
    view, power = api["android.view.View"], api["android.os.PowerManager"]
    assert "android.view.KeyEvent.Callback" in view.parents
    assert view.members["setSystemUiVisibility", 1] == [Availability(0, 30)]
    assert power.members["getCurrentThermalStatus", 0] == [Availability(29, None)]
    assert api["android.os.Build.VERSION"].members["SDK_INT", None] == [Availability()]
    assert api["android.graphics.Insets"].members["of", 4] == [Availability()]


VIEW = {("old", 0): [Availability(0, 30)], ("draw", 1): [Availability()]}
FINE = {("late", 0): [Availability(29)], ("constructor", 1): [Availability()]}
SMALL_API: Api = {
    "android.view.View": ApiClass(Availability(), [], VIEW),
    "android.view.Fine": ApiClass(Availability(), ["android.view.View"], FINE),
}


def using(owner: str, name: str, descriptor: str, declares: str = "") -> ClassFile:
    declared = {Reference("org/nelf/Own", declares, "()V")} if declares else set()
    return ClassFile("org/nelf/Own", "android/view/Fine", [], declared, {Reference(owner, name, descriptor)})


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (using("android/view/Fine", "draw", "(I)V"), None),
        (using("org/nelf/Own", "draw", "(Landroid/view/View;)V"), None),
        (using("kotlin/Unit", "draw", "()V"), None),
        (
            using("android/view/Fine", "<init>", "([[JLjava/lang/String;)V"),
            "uses android.view.Fine.<init>, which Android",
        ),
        (using("org/nelf/Own", "old", "()V"), "uses android.view.Fine.old, deprecated in API 30"),
        (using("kotlin/Unit", "x", "()V", declares="old"), "overrides android.view.Fine.old, deprecated in API 30"),
        (using("android/view/Fine", "late", "()V"), "uses android.view.Fine.late, which came with API 29"),
        (using("android/view/Fine", "drawn", "()V"), "uses android.view.Fine.drawn, which Android does not have"),
        (using("android/view/None", "draw", "(I)V"), "uses android.view.None.draw, which Android does not have"),
    ],
)
def test_what_android_lacks_is_found(used: ClassFile, expected: str | None) -> None:
    found = faults([used], SMALL_API, 26, 36, set())
    assert len(found) == (expected is not None)
    assert expected is None or expected in found[0]


def test_what_is_guarded_may_be_newer() -> None:
    assert not faults([using("android/view/Fine", "late", "()V")], SMALL_API, 26, 36, {"android.view.Fine.late"})


@pytest.mark.parametrize(
    ("unreachable", "ci", "status", "said"),
    [
        (True, "", 0, "*** SKIPPED ***"),
        (True, "true", 1, "FAILED"),
        (False, "", 1, "FAILED"),
    ],
)
def test_tools_that_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    unreachable: bool,
    ci: str,
    status: int,
    said: str,
) -> None:
    """Only an unreachable registry lets the check pass, with a message, and never on CI."""

    def fail() -> Tools:
        raise SetupError("npm install failed: ENOTFOUND", unreachable=unreachable)

    monkeypatch.setattr(check, "set_up", fail)
    monkeypatch.setenv("CI", ci)
    assert check.main([]) == status
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "unreachable"),
    [
        ("npm error code ENOTFOUND\nnpm error network request failed", True),
        ("E: Failed to fetch  Could not resolve 'deb.example'", True),
        ("ERROR: No matching distribution found for mobsf==4.4.0", False),
        ("npm error code E404", False),
    ],
)
def test_a_registry_out_of_reach_is_told_from_other_failures(tmp_path: Path, said: str, unreachable: bool) -> None:
    program = tmp_path / "client"
    program.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(SetupError) as error:
        fetch(program, "install")
    assert error.value.unreachable is unreachable
    assert "\n" not in str(error.value)
