"""Disk space and time limits."""

import errno
import functools
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nelf.core.errors import Interrupted, StorageError
from nelf.core.progress import Stop
from nelf.distill import (
    DistillConfig,
)
from nelf.distill.dataset import make_plan
from nelf.distill.render import Budget
from nelf.scene import SceneConfig, load_scene
from nelf.teacher.field import RenderOutput
from tests.distill.fakes import FROM, BallTeacher, content, make_scene, run


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = Image.Image.save, []

    def fill_up(image: Image.Image, path: Path, **options: Any) -> None:
        calls.append(path)
        save(image, path, **options)
        if len(calls) == 3:
            path.write_bytes(path.read_bytes()[:50])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fill_up)
    with pytest.raises(StorageError, match=r"^disk full while writing .*000002\.png; free some space[^\n]*$"):
        run(tmp_path)
    assert sorted(content(tmp_path)) == ["images/000000.png", "images/000001.png"]
    assert run(tmp_path).complete


def test_too_little_room_is_refused_before_most_of_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = functools.partial(lambda free, path: (10**9, 10**9 - free, free))
    real = __import__("shutil")._ntuple_diskusage
    monkeypatch.setattr("shutil.disk_usage", lambda path: real(*usage(20_000, path)))
    teacher = BallTeacher()
    with pytest.raises(
        StorageError, match=r"1000 views need about .* are free; free some space, or lower distill\.views"
    ):
        run(tmp_path / "new" / "folder", teacher=teacher, views=1000)
    assert teacher.rendered == 1
    assert "1000 views of 20x16 RGBA" in capsys.readouterr().err


def test_need_of_disk_is_printed_before_it_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Loud(BallTeacher):
        def render(self, rays: Any) -> RenderOutput:
            assert "needs at most 0.0 MB" in capsys.readouterr().err
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, teacher=Loud())


def test_the_budget_ends_the_work_and_counts_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("nelf.distill.render.time.monotonic", lambda: now[0])

    class Slow(BallTeacher):
        def render(self, rays: Any) -> RenderOutput:
            now[0] += 10.0
            return super().render(rays)

    stop, teacher = Stop(), Slow(stop_after=4)
    teacher.on_limit = lambda: setattr(stop, "requested", True)
    with pytest.raises(Interrupted):
        run(tmp_path, teacher=teacher, stop=stop, views=50, max_minutes=1.0, min_views=2)
    done = run(tmp_path, teacher=Slow(), views=50, max_minutes=1.0, min_views=2)
    assert (done.complete, done.views, done.wanted) == (True, 7, 50)  # the first view over 60 s is the last
    assert len(load_scene(SceneConfig(path=str(tmp_path))).train) == 7
    assert run(tmp_path, teacher=Slow(), views=50, max_minutes=1.0, min_views=2).views == 7
    assert run(tmp_path, teacher=Slow(), views=50, max_minutes=1.0, min_views=9).views == 9


def test_a_killed_process_has_spent_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kill -9`, after which nothing is written, must not extend distill.max_minutes."""
    now, config = [0.0], DistillConfig(views=50, depth=False, max_minutes=1.0, min_views=2)
    monkeypatch.setattr("nelf.distill.render.time.monotonic", lambda: now[0])
    plan = make_plan(make_scene(), config, FROM, tmp_path)
    budget = Budget(plan, 0, 2)
    for _ in range(7):
        assert not budget.spent(9)
        now[0] += 4.0
    assert Budget(plan, 0, 2).seconds == pytest.approx(24.0)  # and the last view


@pytest.mark.parametrize("seconds", ["NaN", "-1e9", "1e999", "[]", "null", "1" + 400 * "0", "[" * 100_000])
def test_a_time_that_is_none_is_taken_for_none(tmp_path: Path, seconds: str) -> None:
    scene, config = make_scene(), DistillConfig(views=6, depth=False, max_minutes=1.0)
    plan = make_plan(scene, config, FROM, tmp_path)
    (tmp_path / "progress-0.json").write_text(f'{{"fingerprint": "{plan.fingerprint}", "seconds": {seconds}}}')
    assert Budget(plan, 0, 2).before == 0.0
