"""Existing pseudo views: complete and wanted ones are kept, and the result is the same byte for byte."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nelf.core.errors import Interrupted
from nelf.core.progress import Stop
from nelf.distill import (
    dataset,
)
from nelf.distill.views import read_note
from tests.distill.fakes import BallTeacher, content, run


def test_interrupted_work_goes_on_and_gives_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    stop, teacher = Stop(), BallTeacher(stop_after=3)
    teacher.on_limit = lambda: setattr(stop, "requested", True)
    with pytest.raises(Interrupted, match="3 of 6 views"):
        run(tmp_path, teacher=teacher, stop=stop)
    assert not (tmp_path / "transforms.json").exists()
    (tmp_path / "images" / ".000003.partial-1.png").write_bytes(b"cut")  # as a killed process leaves it
    first = tmp_path / "images" / "000000.png"
    first.write_bytes(first.read_bytes()[:-20])  # as a crashed machine leaves it
    again = BallTeacher()
    assert run(tmp_path, teacher=again).complete
    assert again.rendered == 4
    assert content(tmp_path) == content(whole)


@pytest.mark.parametrize("name", ["images/000001.png", "depths/000001.png"])
@pytest.mark.parametrize("damage", ["changed", "cut", "removed"])
def test_a_damaged_view_is_made_again(tmp_path: Path, name: str, damage: str) -> None:
    run(tmp_path, views=3, depth=True)
    done, path = content(tmp_path), tmp_path / name
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.unlink()
    if damage != "removed":
        path.write_bytes(whole[:middle] + (bytes([whole[middle] ^ 1]) + whole[middle + 1 :]) * (damage == "changed"))
    teacher = BallTeacher()
    assert run(tmp_path, teacher=teacher, views=3, depth=True).complete
    assert teacher.rendered == 1
    assert content(tmp_path) == done


def test_finished_work_is_not_done_again_and_more_views_extend_it(whole: Path, tmp_path: Path) -> None:
    run(tmp_path, views=4)
    done = content(tmp_path)
    teacher = BallTeacher()
    assert run(tmp_path, teacher=teacher, views=4).views == 4
    assert teacher.rendered == 0
    assert content(tmp_path) == done
    run(tmp_path, teacher=teacher)
    assert teacher.rendered == 2
    assert content(tmp_path) == content(whole)


@pytest.mark.parametrize("change", [{"provenance": {"teacher": "better"}}, {"seed": 1}, {"pose_jitter": 0.5}])
def test_images_of_something_else_are_never_mixed_in(tmp_path: Path, change: dict[str, Any]) -> None:
    run(tmp_path, views=4)
    old = content(tmp_path)
    stop, teacher = Stop(), BallTeacher(stop_after=2)
    teacher.on_limit = lambda: setattr(stop, "requested", True)
    with pytest.raises(Interrupted):
        run(tmp_path, teacher=teacher, stop=stop, views=3, **change)
    assert not (tmp_path / "transforms.json").exists()
    teacher = BallTeacher()
    assert run(tmp_path, teacher=teacher, views=3, **change).views == 3
    assert teacher.rendered == 1
    new = content(tmp_path)
    assert len(new) == 4  # the fourth image is gone
    assert all(new[name] != old[name] for name in new)


def edited(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit


@pytest.mark.parametrize(
    "damage",
    [
        edited(lambda content: content["frames"][2].pop("file_path")),
        edited(lambda content: content["frames"].__setitem__(2, 3)),
        edited(lambda content: content["frames"][2].update(file_path="../../secret")),
        edited(lambda content: content["nelf"].update(warnings=None)),
        edited(lambda content: content["nelf"].update(quality=[1])),
        lambda path: path.write_text("[" * 100_000),
    ],
)
def test_a_damaged_list_of_views_is_written_again(
    whole: Path, tmp_path: Path, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pseudo"
    shutil.copytree(whole, folder)
    damage(folder / "transforms.json")
    opened: list[Path] = []
    monkeypatch.setattr(
        dataset, "read_note", lambda path, fingerprint: (opened.append(path), read_note(path, fingerprint))[1]
    )
    teacher = BallTeacher()
    assert run(folder, teacher=teacher).complete
    assert teacher.rendered == 0  # the views themselves are whole
    assert content(folder) == content(whole)
    assert {path.parent for path in opened} == {folder / "images"}
