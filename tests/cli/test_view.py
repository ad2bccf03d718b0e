"""nelf view: which bundle of a run it shows, and what it refuses. The server: tests/viewer/."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nelf.bundle import read_manifest, verify_bundle
from nelf.core.errors import SceneError
from nelf.evaluate import ground_truth
from nelf.pipeline import Run
from nelf.viewer import phone
from nelf.viewer import site as assets
from nelf.viewer.site import EXAMPLE, Site
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
    monkeypatch.setattr("nelf.viewer.server.serve", lambda server, *_: bundles.extend(server.site.bundles.values()))
    return bundles


def test_a_bundle_of_the_run_is_shown(run: Path, shown: list[Path]) -> None:
    assert works("view", run, "--no-open").err == "Ctrl-C ends it\n"
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
    assert works("view", run, "--no-open").err == "Ctrl-C ends it\n"
    assert shown == [run / "export" / "web"] * 2


def test_what_is_refused(run: Path, shown: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (run / "student" / "student.safetensors").unlink()
    assert refused_at_once("view", run) == f"{run} has no trained student yet; continue with: nelf run {run}"
    for arguments in ([], [run, "--example"]):
        assert refused_at_once("view", *arguments) == "give folders of runs or of bundles, or --example"
    monkeypatch.setattr(assets, "ASSETS", tmp_path / "none")
    assert "the web viewer is not built: run `make web`" in refused_at_once("view", run)
    assert not shown


def test_several_bundles_are_shown_at_once(run: Path, shown: list[Path], tmp_path: Path) -> None:
    """Of each run all that a browser shows; each bundle once; of a folder the bundles and runs in it."""
    export = run / "export"
    fp16 = export / "android-fp16"
    assert works("view", run, export / "android", EXAMPLE, "--no-open").err == "Ctrl-C ends it\n"
    assert shown == [export / "android", fp16, EXAMPLE]
    shown.clear()
    said = works("view", export, "--no-open").err
    assert shown == [export / "android", fp16]
    assert f"{export / 'ios'} is for ios and is not shown" in said
    shown.clear()
    (run.parent / "empty").mkdir()
    (run.parent / "new").mkdir()
    (run.parent / "new" / "run.json").write_text("{}")
    said = works("view", run.parent, "--no-open").err
    assert shown == [export / "android", fp16]
    assert f"{run.parent / 'new'} has no bundle for web or android and is left out; make one: nelf view" in said


def test_what_is_refused_among_several(run: Path, shown: list[Path], tmp_path: Path) -> None:
    damaged = shutil.copytree(run / "export" / "android", tmp_path / "damaged")
    (damaged / "manifest.json").write_text("{}")
    assert "damaged/manifest.json is not the manifest of a nelf-bundle" in refused_at_once("view", run, damaged)
    assert "is for ios, but a browser shows bundles for" in refused_at_once("view", run, run / "export" / "ios")
    (tmp_path / "empty").mkdir()
    assert "empty has no manifest.json, so it is not a bundle" in refused_at_once("view", run, tmp_path / "empty")
    assert not shown


def test_a_phone(run: Path, shown: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phone, "keys_folder", lambda: tmp_path / "keys")
    monkeypatch.setattr(phone, "own_addresses", lambda: ["127.0.0.1", "::1"])
    outcome = works("view", run, "--phone")
    first, second = outcome.out.splitlines()
    assert re.fullmatch(r"https://127\.0\.0\.1:\d+/[\w-]{22}/", first)
    assert second == first.replace("127.0.0.1", "[::1]")
    assert "Android: tap Advanced" in outcome.err
    assert shown == [run / "export" / "android"]


def test_its_training_photos(run: Path, shown: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """They have the poses of the scene; without the scene there are none."""
    sites: list[Site] = []
    monkeypatch.setattr("nelf.viewer.server.serve", lambda server, *_: sites.append(server.site))
    works("view", run, "--no-open")
    listing = sites[0].content("photos.json")
    assert isinstance(listing, bytes)
    photos = json.loads(listing)["photos"]
    scene = Run.open(run, []).scene
    assert [one["path"] for one in photos] == [f"photos/{i:03}.jpg" for i in range(len(scene.train))]
    assert photos[1]["c2w"] == pytest.approx(scene.train.c2w[1].flatten().tolist())
    picture = sites[0].content("photos/001.jpg")
    assert isinstance(picture, bytes)
    decoded = np.asarray(Image.open(io.BytesIO(picture)), dtype=float)
    assert np.abs(decoded - ground_truth(scene.train, 1).numpy()).mean() < 10  # JPEG of 16x16 pixels
    assert sites[0].content("photos/999.jpg") is None
    assert sites[0].content("photos/001.png") is None
    works("view", run, EXAMPLE, "--no-open")
    assert sites[1].content("photos.json") is None
    works("view", run, "--no-open")
    monkeypatch.setattr(Run, "open", classmethod(lambda cls, *_: (_ for _ in ()).throw(SceneError("it has gone"))))
    assert sites[2].content("photos.json") is None


def test_a_folder_to_publish(run: Path, shown: list[Path], tmp_path: Path) -> None:
    export = run / "export"
    outcome = works("view", export / "android", export / "android-fp16", "--out", tmp_path / "site")
    assert (outcome.out, shown) == (f"{tmp_path / 'site'}\n", [])
    listed = json.loads((tmp_path / "site/bundles.json").read_text())["bundles"]
    assert [one["precision"] for one in listed] == ["fp32", "fp16"]
    assert "serves nothing; leave out --phone" in refused_at_once("view", run, "--out", tmp_path / "x", "--phone")
