"""Several bundles at once: what the start page learns of each, their addresses, and what changes meanwhile."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nelf.core.errors import BundleError, ConfigError
from nelf.viewer.server import ViewerServer
from nelf.viewer.site import Site, bundle_ids, write_site
from tests.viewer.browsers import ask, fake_viewer, serving, small_bundle


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Of two runs and of none; two of them have one name."""
    fake_viewer(tmp_path / "assets", monkeypatch)
    places = ("a/export/web", "b/export/web", "given/my web")
    return [small_bundle(tmp_path / place) for place in places]


def listing(site: Site) -> list[dict[str, Any]]:
    content = site.content("bundles.json")
    assert isinstance(content, bytes)
    found: list[dict[str, Any]] = json.loads(content)["bundles"]
    return found


def test_what_the_start_page_learns(bundles: list[Path], tmp_path: Path) -> None:
    site = Site(*bundles)
    first, second, third = listing(site)
    assert [one["id"] for one in (first, second, third)] == ["a-web", "b-web", "my-web"]
    assert first == {
        "id": "a-web", "path": "bundles/a-web/", "name": "ball", "student": "s", "target": "web", "precision": "fp32",
        "width": 2, "height": 1, "bytes": len(b"model") + (bundles[0] / "golden/poses.json").stat().st_size,
        "psnr": None, "milliseconds": None, "device": None, "picture": "bundles/a-web/golden/a.png",
    }  # fmt: skip
    assert site.content("manifest.json") is None


def test_figures_of_its_run(bundles: list[Path], tmp_path: Path) -> None:
    """From the evaluation, and from a benchmark here or in a browser; else what the export measured."""
    (tmp_path / "a/eval").mkdir()
    (tmp_path / "a/eval/metrics.json").write_text('{"web": {"psnr": 31.5}}')
    times = [{"times": {"median_ms": ms}} for ms in (9.5, 8.25)]
    here = {"machine": {"processor": "EPYC"}, "results": [{"name": "runs/a/export/web", "measurements": times}]}
    (tmp_path / "a/bench.json").write_text(json.dumps(here))
    browser = {"device": {"platform": "iPhone"}, "results": [{"name": "web", "latency": {"median": 12}}]}
    (tmp_path / "b/bench.json").write_text(json.dumps(browser))
    manifest = json.loads((bundles[2] / "manifest.json").read_text())
    latency = {"status": "measured", "milliseconds": 3.5, "runtime": "LiteRT"}
    (bundles[2] / "manifest.json").write_text(json.dumps(manifest | {"latency": latency}))
    found = [(one["psnr"], one["milliseconds"], one["device"]) for one in listing(Site(*bundles))]
    assert found == [(31.5, 8.25, "EPYC"), (None, 12, "iPhone"), (None, 3.5, "computer that exported it, LiteRT")]


@pytest.mark.parametrize("text", ["", "[", "[]", "null", '{"web": 3}', '{"web": {"psnr": NaN}}',
                                  '{"web": {"psnr": "x"}}',
                                  '{"results": [{"name": "web"}]}', '{"results": [3]}',
                                  '{"results": [{"name": "web", "measurements": []}]}'])  # fmt: skip
def test_damaged_figures_are_left_out(bundles: list[Path], tmp_path: Path, text: str) -> None:
    (tmp_path / "a/eval").mkdir()
    (tmp_path / "a/eval/metrics.json").write_text(text)
    (tmp_path / "a/bench.json").write_text(text)
    first = listing(Site(*bundles))[0]
    assert (first["psnr"], first["milliseconds"], first["device"]) == (None, None, None)


def test_each_has_its_files_and_a_picture(bundles: list[Path]) -> None:
    (bundles[1] / "model.tflite").write_bytes(b"other")
    with serving(ViewerServer(Site(*bundles), 0)) as server:
        assert ask(server, "/bundles/a-web/model.tflite")[2] == b"model"
        assert ask(server, "/bundles/b-web/model.tflite")[2] == b"other"
        assert ask(server, "/bundles/b-web/manifest.json")[2] == (bundles[1] / "manifest.json").read_bytes()
        status, head, body = ask(server, "/bundles/a-web/golden/a.png")
        assert (status, "Content-Type: image/png\r\n" in head) == (200, True)
        picture = Image.open(io.BytesIO(body))
        assert (picture.mode, picture.size) == ("RGBA", (2, 1))
        assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 255, 255), (255, 0, 0, 128)]  # straight alpha
        for target in ("/bundles", "/bundles/", "/bundles/a-web", "/bundles/a-web/", "/bundles/c/manifest.json",
                       "/bundles/a-web/../b-web/model.tflite", "/bundles/a-web/golden/b.png", "/a-web/manifest.json",
                       "/bundles/a-web//model.tflite", "/model.tflite"):  # fmt: skip
            assert ask(server, target)[0] == 404, target


def test_an_rgb_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_viewer(tmp_path / "assets", monkeypatch)
    bundle = small_bundle(tmp_path / "b", image={"width": 2, "height": 1, "channels": 3})
    site = Site(bundle, listed=True)
    (bundle / "golden/a.rgba").write_bytes(bytes(5))  # which are not 2 pixels
    assert site.content("bundles/b/golden/a.png") is None
    (bundle / "golden/a.rgba").write_bytes(bytes(range(6)))
    content = site.content("bundles/b/golden/a.png")
    assert isinstance(content, bytes)
    assert Image.open(io.BytesIO(content)).tobytes() == bytes(range(6))


def test_a_bundle_that_changes_or_goes_while_it_is_shown(bundles: list[Path]) -> None:
    """The new manifest is served, so that the page finds digests that differ; what has gone is not listed."""
    with serving(ViewerServer(Site(*bundles), 0)) as server:
        manifest = json.loads((bundles[0] / "manifest.json").read_text())
        (bundles[0] / "manifest.json").write_text(json.dumps(manifest | {"precision": "fp16"}))
        assert json.loads(ask(server, "/bundles/a-web/manifest.json")[2])["precision"] == "fp16"
        assert json.loads(ask(server, "/bundles.json")[2])["bundles"][0]["precision"] == "fp16"
        shutil.rmtree(bundles[1])
        assert ask(server, "/bundles/b-web/manifest.json")[0] == 404
        assert ask(server, "/bundles/b-web/model.tflite")[0] == 404
        (bundles[2] / "manifest.json").write_text("{")
        assert [one["id"] for one in json.loads(ask(server, "/bundles.json")[2])["bundles"]] == ["a-web"]


def test_ids_are_unique_and_fit_for_a_url(tmp_path: Path) -> None:
    names = ["x/web", "y/web", "z/web", "x/é à", "x/web-2", "r/export/web"]
    found = bundle_ids([tmp_path / name for name in names])
    assert list(found) == ["web", "web-2", "web-3", "bundle", "web-2-2", "r-web"]
    assert list(found.values()) == [tmp_path / name for name in names]


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_to_publish(bundles: list[Path], tmp_path: Path) -> None:
    """It has what a host of files must give, nothing for servers that choose, and no photo."""
    (tmp_path / "assets/litert/litert.wasm.br").write_bytes(b"for servers")
    page = {"index.html", "viewer/index-1.js", "litert/litert.wasm.gz"}
    parts = {"manifest.json", "model.tflite", "golden/poses.json", "golden/a.rgba"}
    write_site(Site(*bundles[:2]), tmp_path / "out")
    below = {f"bundles/{one}/{name}" for one in ("a-web", "b-web") for name in {*parts, "golden/a.png"}}
    assert files_in(tmp_path / "out") == page | below | {"bundles.json"}
    for one in json.loads((tmp_path / "out/bundles.json").read_text())["bundles"]:
        assert (tmp_path / "out" / one["path"] / "model.tflite").read_bytes() == b"model"
        assert (tmp_path / "out" / one["picture"]).is_file()
    write_site(Site(bundles[0]), tmp_path / "out")
    assert files_in(tmp_path / "out") == page | parts, "the one before is replaced"


def test_folders_that_are_not_written(bundles: list[Path], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConfigError, match="mine exists and has no page in it; remove it, or choose another folder"):
        write_site(Site(*bundles), tmp_path / "mine")
    for name, words in {
        "gone.json": "bundles/a-web/gone.json is missing in its bundle",
        f"{bundles[0]}/model.tflite": "model.tflite; do not use it",
        "golden/../model.tflite": "names the file golden/../model.tflite; do not use it",
    }.items():
        manifest = json.loads((bundles[0] / "manifest.json").read_text())
        files = [*manifest["files"], {"path": name, "role": "model", "bytes": 1}]
        (bundles[0] / "manifest.json").write_text(json.dumps(manifest | {"files": files}))
        with pytest.raises(BundleError, match=words):
            write_site(Site(*bundles), tmp_path / "out")
        assert not (tmp_path / "out").exists()
        (bundles[0] / "manifest.json").write_text(json.dumps(manifest))
