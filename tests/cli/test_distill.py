"""nelf distill on a full disk."""

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.pipeline.commands import (
    listing,
    refused,
    works,
)

pytestmark = pytest.mark.slow


def test_disk_full_while_writing_pseudo_views(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(run / "pseudo")
    save, saved = Image.Image.save, []

    def full(image: Image.Image, path: Path, **options: Any) -> None:
        if len(saved) == 3:  # the depths of the fourth view, which are written first
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        if Path(path).parent.name == "images":
            saved.append(path)
        save(image, path, **options)

    monkeypatch.setattr(Image.Image, "save", full)
    line = refused("distill", run)
    assert "disk full while writing" in line
    assert "free some space and run the same command again" in line
    assert sorted(p.name for p in (run / "pseudo").iterdir()) == ["depths", "images", "progress-0.json", "stage.json"]
    for folder in ("depths", "images"):
        names = sorted(p.name for p in (run / "pseudo" / folder).iterdir())
        assert names == ["000000.png", "000001.png", "000002.png"]
    monkeypatch.undo()
    before = listing(run / "pseudo" / "images")
    works("distill", run)
    after = listing(run / "pseudo" / "images")
    assert len(after) == 12
    assert {name: after[name] for name in before} == before  # went on, did not start again


def test_no_room_for_the_pseudo_views(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(run / "pseudo")
    usage = shutil.disk_usage(run)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=2000))
    line = refused("distill", run)
    assert "GB of disk, but only 0.0 GB are free" in line
    assert "lower distill.views" in line
    assert not (run / "pseudo" / "transforms.json").exists()
