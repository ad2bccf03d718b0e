"""nelf verify and nelf eval on damaged bundles."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.commands import (
    cut,
    finished_run,
    listing,
    refused,
    refused_at_once,
    works,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    shutil.copytree(finished_run() / "export" / "onnx", folder)
    return folder


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda m: m.update(version="1.1"),
            "has format version '1.1', this nelf reads 2 and 3; export again with: nelf export RUN",
        ),
        (lambda m: m["files"][0].update(path="../secret.png"), "outside the bundle; do not use it"),
        (lambda m: m["files"][0].update(path="/etc/passwd"), "outside the bundle; do not use it"),
        (lambda m: m["model"].update(path="..\\model"), "outside the bundle; do not use it"),
        (lambda m: m["files"][0].update(bytes=1), "bytes, the manifest says 1"),
        (lambda m: m.pop("camera"), "camera: Field required"),
    ],
)
def test_bad_manifests(bundle: Path, change: Callable[[dict[str, Any]], object], expected: str) -> None:
    content = json.loads((bundle / "manifest.json").read_text())
    change(content)
    (bundle / "manifest.json").write_text(json.dumps(content))
    before = listing(bundle)
    assert expected in refused_at_once("verify", bundle)
    assert listing(bundle) == before


def test_changed_byte_in_a_bundle(bundle: Path) -> None:
    for name in ("model.onnx", "golden/poses.json"):
        content = bytearray((bundle / name).read_bytes())
        content[len(content) // 2] ^= 1
        (bundle / name).write_bytes(content)
        assert f"{name} was changed: its SHA-256 is not the manifest's" in refused_at_once("verify", bundle)
        content[len(content) // 2] ^= 1
        (bundle / name).write_bytes(content)
    works("verify", bundle)


def test_manifest_cut_short(bundle: Path) -> None:
    cut(bundle / "manifest.json")
    assert "manifest.json cannot be read" in refused_at_once("verify", bundle)


def test_a_folder_that_is_no_bundle(room: Path) -> None:
    assert "has no manifest.json, so it is not a bundle" in refused_at_once("verify", room)


def test_a_damaged_bundle_is_not_measured(run: Path) -> None:
    cut(run / "export" / "onnx" / "model.onnx", 0.9)
    (run / "eval" / "metrics.json").unlink()
    line = refused("eval", run)
    assert "model.onnx" in line
    assert not (run / "eval" / "metrics.json").exists()


def test_a_file_is_no_bundle(room: Path) -> None:
    file = room / "transforms.json"
    assert f"{file} is a file, and a bundle is a folder; give the folder that" in refused_at_once("verify", file)
