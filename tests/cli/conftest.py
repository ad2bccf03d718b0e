"""The command line's answers to bad input: one line with a remedy, exit code 2, nothing half written."""

from pathlib import Path

import pytest

from tests.pipeline.commands import copy_of_finished_run
from tests.scenes import make_nerfstudio_scene


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run commands in an empty folder, so that what they leave can be counted."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def room(tmp_path: Path) -> Path:
    return make_nerfstudio_scene(tmp_path / "room", views=12)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return copy_of_finished_run(tmp_path)
