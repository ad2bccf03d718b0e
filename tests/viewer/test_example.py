"""The bundle of `nelf view --example`: small, complete, and the exported one."""

from pathlib import Path

import pytest

from nelf.bundle import open_bundle, verify_bundle
from nelf.core.errors import ExportError
from nelf.viewer.site import EXAMPLE, VIEWABLE
from tests.pipeline.commands import finished_run
from tools import example

pytestmark = pytest.mark.slow


def test_it_is_of_the_embedded_scene_and_a_browser_shows_it() -> None:
    manifest = open_bundle(EXAMPLE).manifest
    assert manifest.target in VIEWABLE
    assert (manifest.name, manifest.precision) == (example.SCENE, example.PRECISION)
    assert (manifest.image.width, manifest.image.height, manifest.image.channels) == (128, 128, 4)
    assert (EXAMPLE / manifest.model.path).stat().st_size < example.MOST_BYTES


def test_it_is_what_was_exported() -> None:
    assert verify_bundle(EXAMPLE).passed


def test_another_scene_is_no_example(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"is of the scene ball; the example is of stilllife: nelf demo"):
        example.make(finished_run())
    with pytest.raises(ExportError, match=r"nowhere is not a run; make one with: nelf demo"):
        example.make(tmp_path / "nowhere")
