"""Output folders: impossible ones are refused in one line, before any work."""

from pathlib import Path

import pytest

from tests.pipeline.commands import refused, refused_at_once

pytestmark = pytest.mark.slow


@pytest.fixture
def file() -> Path:
    Path("file").touch()
    return Path("file")


@pytest.mark.parametrize("command", ["run", "teach", "distill", "train", "eval"])
@pytest.mark.parametrize("place", ["file", "/dev/null/x"])
def test_runs_has_to_be_a_folder(command: str, place: str, room: Path, file: Path) -> None:
    line = refused_at_once(command, room, f"runs={place}")
    assert line == f"cannot write {place}/room: {place.removesuffix('/x')} is not a folder; choose another place"
    assert list(Path.cwd().iterdir()) == [Path.cwd() / "file"]


def test_a_system_folder_says_no(room: Path) -> None:
    assert "cannot write /proc/x/room/.lock" in refused("run", room, "runs=/proc/x")


def test_what_is_imported_has_to_go_somewhere(room: Path, file: Path) -> None:
    line = refused_at_once("data", "import", "photos", room / "images", "--out", "file/x")
    assert line == "cannot write file/x: file is not a folder; choose another place"


def test_exports_have_to_go_somewhere(run: Path, file: Path) -> None:
    for place in ("file", "file/x"):
        line = refused_at_once("export", run, "--target", "onnx", "--out", place)
        assert line == f"cannot write {place}: file is not a folder; choose another place"


def test_a_report_is_about_runs(room: Path, run: Path, file: Path) -> None:
    assert refused_at_once("report", room) == (
        f"{room} is not a run; give folders of runs, e.g. runs/NAME; if it is a scene, make a run with: nelf run {room}"
    )
    assert refused_at_once("report", "nowhere") == "nowhere is not a run; give folders of runs, e.g. runs/NAME"
    line = refused_at_once("report", run, "--out", "file/page.html")
    assert line == "cannot write file/page.html: file is not a folder; choose another place"
