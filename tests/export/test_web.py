"""The target web: a bundle with the viewer, for any static host."""

from pathlib import Path

import pytest

from nelf.bundle import open_bundle, verify_bundle
from nelf.core.errors import BundleError, ConfigError
from nelf.export import ExportConfig, export_bundle
from nelf.student import Student
from nelf.viewer import site as assets
from tests.export.conftest import Exported
from tests.export.networks import context

pytestmark = pytest.mark.slow


def test_the_viewer_lies_beside_the_bundle(
    bundles: Exported, model: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = tmp_path / "built"
    (built / "viewer").mkdir(parents=True)
    (built / "index.html").write_text("the page")
    (built / "viewer/index.js").write_text("its code")
    (built / "viewer/code.wasm.br").write_text("for servers that choose")
    monkeypatch.setattr(assets, "ASSETS", built)
    folder = tmp_path / "web"
    manifest = export_bundle(model, "web", "fp32", context(), ExportConfig(), folder)
    assert (folder / "index.html").read_text() == "the page"
    assert (folder / "viewer/index.js").read_text() == "its code"
    assert {file.path for file in manifest.files if file.role == "page"} == {"index.html", "viewer/index.js"}
    assert {file.role for file in manifest.files} == {"model", "golden", "page"}
    android, _ = bundles["android", "fp32"]
    assert (folder / "model.tflite").read_bytes() == (android / "model.tflite").read_bytes()
    open_bundle(folder)
    assert verify_bundle(folder).passed
    (folder / "viewer/index.js").write_text("its c0de")
    with pytest.raises(BundleError, match=r"viewer/index\.js was changed: its SHA-256 is not the manifest's"):
        verify_bundle(folder)


def test_without_the_viewer_nothing_is_made(model: Student, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "ASSETS", tmp_path / "none")
    with pytest.raises(ConfigError, match=r"the web viewer is not built: run `make web`"):
        export_bundle(model, "web", "fp32", context(), ExportConfig(), tmp_path / "web")
    assert not list(tmp_path.iterdir())


def test_it_is_made_when_named() -> None:
    assert "web" not in ExportConfig().targets
    assert ExportConfig(targets=["web"]).targets == ["web"]
