"""nelf view: which bundle of a run it shows, and what it refuses. The server: tests/viewer/test_server.py."""

import json
from pathlib import Path

import pytest

from nelf.bundle import read_manifest, verify_bundle
from nelf.viewer import site as assets
from tests.pipeline.commands import refused_at_once, works

pytestmark = pytest.mark.slow


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The bundles that the server gets, with a fake viewer."""
    folder = tmp_path / "assets"
    folder.mkdir()
    (folder / "index.html").write_text("the page")
    monkeypatch.setattr(assets, "ASSETS", folder)
    bundles: list[Path] = []
    monkeypatch.setattr("nelf.viewer.server.view", lambda bundle, *_, **__: bundles.append(bundle))
    return bundles


def test_a_bundle_of_the_run_is_shown(run: Path, shown: list[Path]) -> None:
    assert works("view", run, "--no-open").err == ""
    assert shown == [run / "export" / "android"]


def test_without_one_of_its_student_the_run_gets_one(run: Path, shown: list[Path]) -> None:
    """Bundles of another student do not count."""
    for manifest in run.glob("export/android*/manifest.json"):
        content = json.loads(manifest.read_text())
        content["provenance"]["checkpoint"] = "0" * 64
        manifest.write_text(json.dumps(content))
    said = works("view", run, "--no-open").err
    assert f"{run} has no bundle of its student for web or android; exporting one for web" in said
    assert read_manifest(run / "export" / "web").target == "web"
    assert verify_bundle(run / "export" / "web").passed
    assert works("view", run, "--no-open").err == ""
    assert shown == [run / "export" / "web"] * 2


def test_what_is_refused(run: Path, shown: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (run / "student" / "student.safetensors").unlink()
    assert refused_at_once("view", run) == f"{run} has no trained student yet; continue with: nelf run {run}"
    for arguments in ([], [run, "--example"]):
        assert "give either the folder of a run or of a bundle, or --example" in refused_at_once("view", *arguments)
    monkeypatch.setattr(assets, "ASSETS", tmp_path / "none")
    assert "the web viewer is not built: run `make web`" in refused_at_once("view", run)
    assert not shown
