"""nelf data check."""

from pathlib import Path

from tests.pipeline.commands import cut, nelf, works
from tests.scenes import make_nerfstudio_scene


def test_data_check_says_what_is_wrong(tmp_path: Path) -> None:
    room = make_nerfstudio_scene(tmp_path / "room", views=32)
    assert "no problems" in works("data", "check", room).out
    (room / "images/0005.png").unlink()
    (room / "images/0006.png").write_text("<html>404 not found</html>")
    outcome = nelf("data", "check", room)
    assert outcome.code == 2  # nelf run would refuse it, too
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    assert any(line.startswith("kind ") for line in lines)
    assert any(
        line.startswith("problem (fatal): ") and "0005.png" in line and "allow_missing" in line for line in lines
    )
    assert any(line.startswith("problem (fatal): ") and "0006.png" in line for line in lines)
    assert lines[-1] == "2 problems, 2 of them fatal: nelf run refuses the scene until they are mended"
    (room / "images/0006.png").unlink()
    outcome = works("data", "check", room, "scene.allow_missing=true")
    assert outcome.out.splitlines()[-1] == "1 problem"


def test_data_check_leaves_no_remedy_out_and_no_separator_behind(tmp_path: Path) -> None:
    room = make_nerfstudio_scene(tmp_path / "room", views=12)
    cut(room / "images/0007.png")
    lines = [line for line in nelf("data", "check", room).out.splitlines() if line.startswith("problem")]
    assert any("0007.png" in line for line in lines)
    assert [line for line in lines if line.endswith("; ")] == []
