"""Installing bundles in the apps' sources."""

import json
import shutil
from pathlib import Path

import pytest

from nelf.bundle import open_bundle
from nelf.core.errors import ConfigError
from nelf.export import APPS, app_in, install_in_app
from tests.export.conftest import Exported

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def app(name: str, folder: Path) -> Path:
    marker = folder / APPS[name].marker
    marker.parent.mkdir(parents=True)
    marker.touch()
    return folder


@pytest.mark.parametrize("name", [name for name in APPS if (ROOT / name).is_dir()])
def test_the_real_apps_are_found_and_git_ignores_their_bundles(name: str) -> None:
    assert app_in(ROOT / name) is APPS[name]
    assert f"{name}/{APPS[name].bundles}/" in (ROOT / ".gitignore").read_text()


@pytest.mark.parametrize("name", APPS)
def test_only_its_own_bundles_are_placed(name: str, bundles: Exported, tmp_path: Path) -> None:
    folder = app(name, tmp_path / "app")
    target = APPS[name].target
    for _ in range(2):  # again: in place of the older ones
        placed = install_in_app([path for path, _ in bundles.values()], folder)
    scene = bundles[target, "fp32"][1].name
    precisions = [precision for of, precision in bundles if of == target]
    assert placed == [folder / APPS[name].bundles / f"{scene}-{precision}" for precision in precisions]
    for path in placed:
        assert open_bundle(path).manifest.target == target
    assert sorted(path.name for path in placed[0].parent.iterdir()) == sorted(path.name for path in placed)


def test_the_usual_bundle_is_called_after_its_scene(bundles: Exported, tmp_path: Path) -> None:
    bundle, manifest = bundles["ios", "fp16"]
    usual = tmp_path / "ios"
    usual.symlink_to(bundle)
    assert [path.name for path in install_in_app([usual], app("ios_app", tmp_path / "app"))] == [manifest.name]


def test_what_the_app_does_not_show_is_not_placed(bundles: Exported, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(bundles["ios", "fp16"][0], bundle)
    manifest = bundle / "manifest.json"
    for layout, error in (("CVPixelBuffer", None), ("planes", "layout planes; export it again")):
        content = json.loads(manifest.read_text())
        content["model"]["output"] |= {"dtype": "uint8", "layout": layout}
        manifest.write_text(json.dumps(content))
        if error is None:
            assert install_in_app([bundle], app("ios_app", tmp_path / "app"))
        else:
            with pytest.raises(ConfigError, match=error):
                install_in_app([bundle], tmp_path / "app")


def test_refusals(bundles: Exported, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a viewer app; give ios_app or android_app of a checkout"):
        app_in(tmp_path)
    with pytest.raises(ConfigError, match="shows bundles for ios, but none was exported; add --target ios"):
        install_in_app([bundles["onnx", "fp32"][0]], app("ios_app", tmp_path / "app"))
