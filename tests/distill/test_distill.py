"""Rendering pseudo views: an ordinary scene comes out, and nothing that happens on the way changes a byte of it."""

import dataclasses
import errno
import functools
import json
import math
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nelf.data import Kind, Scene, SceneConfig, load_scene, over_background
from nelf.distill import (
    DistillConfig,
    Distilled,
    distill,
    distill_in_workers,
    external_scene,
    pseudo_poses,
    pseudo_scene,
    workers,
)
from nelf.distill.budget import Budget
from nelf.distill.plan import make_plan
from nelf.distill.views import read_note, to_pixels
from nelf.distill.workers import _problem, _work
from nelf.errors import ConfigError, Interrupted, NelfError, SceneError, StorageError
from nelf.progress import Stop
from nelf.rays import image_rays
from nelf.teacher.protocol import Rendered, render_image
from tests.distill.fakes import BallTeacher, DyingTeacher, make_ball, make_nothing, make_scene

FROM = {"teacher": "ball"}


def run(folder: Path, scene: Scene | None = None, teacher: BallTeacher | None = None, **settings: Any) -> Distilled:
    rank, world = settings.pop("rank", 0), settings.pop("world", 1)
    provenance, stop = settings.pop("provenance", FROM), settings.pop("stop", Stop())
    config = DistillConfig(**{"views": 6, "depth": False, **settings})
    return distill(teacher or BallTeacher(), scene or make_scene(), config, folder, provenance, stop, rank, world)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pseudo views rendered in one go."""
    folder = tmp_path_factory.mktemp("pseudo")
    assert run(folder).complete
    return folder


def test_the_result_is_an_ordinary_scene(whole: Path) -> None:
    scene, pseudo = make_scene(), load_scene(SceneConfig(path=str(whole)))
    assert sorted(p.name for p in whole.iterdir()) == ["images", "transforms.json"]
    assert (pseudo.kind, pseudo.near, pseudo.far, pseudo.radius) == (Kind.OBJECT, 2.0, 6.0, pytest.approx(1.2))
    assert (pseudo.size, pseudo.channels, len(pseudo.train)) == (scene.size, 4, 6)
    torch.testing.assert_close(pseudo.up, scene.up)
    torch.testing.assert_close(pseudo.center, scene.center)
    poses = pseudo_poses(scene.kind, scene.train.c2w, scene.center, scene.radius, scene.up, DistillConfig(), range(6))
    torch.testing.assert_close(pseudo.train.c2w, poses, atol=1e-6, rtol=0)
    torch.testing.assert_close(pseudo.train.intrinsics, scene.train.intrinsics[:6])
    about = json.loads((whole / "transforms.json").read_text())["nelf"]
    assert about["teacher"] == FROM
    assert about["quality"]["outside_poses"] == 0


def test_images_are_what_the_teacher_shows_to_half_a_grey_level(tmp_path: Path) -> None:
    teacher = BallTeacher(opacity=0.6)
    run(tmp_path, teacher=teacher)
    views = load_scene(SceneConfig(path=str(tmp_path))).train
    for i in range(len(views)):
        truth = render_image(teacher, views.c2w[i], views.intrinsics[i], views.height, views.width)
        stored = views.image(i).float() / 255
        white = truth.rgb + 1 - truth.alpha[..., None]
        # Alpha and colour are rounded to half a level each; alpha's error counts up to once more.
        assert (over_background(stored) - white).abs().max() < 1.1 / 255
        assert (stored[stored[..., 3] == 0] == 0).all()
        assert 0.05 < (stored[..., 3] > 0).float().mean() < 0.6


def test_pictures_are_upright_and_not_mirrored(whole: Path) -> None:
    """The ball's +z side is blue and its +x side red: up and right in the picture follow from the pose."""
    views = load_scene(SceneConfig(path=str(whole))).train
    for i in range(len(views)):
        image, pose = views.image(i).float() / 255, views.c2w[i]
        mask = image[..., 3] > 0.5
        y, x = torch.nonzero(mask, as_tuple=True)
        # What is looked at is moved by 0.036 along each axis: a quarter of a pixel, of which this is 4 sigma.
        assert x.float().mean().item() == pytest.approx(views.width / 2 - 0.5, abs=1.0)
        assert y.float().mean().item() == pytest.approx(views.height / 2 - 0.5, abs=1.0)
        colour = image[..., :3][mask]
        assert np.corrcoef(y.numpy(), colour[:, 2].numpy())[0, 1] < -0.3  # blue is up
        red_is_right = pose[0, 0].item()  # world x of the camera's right axis
        if abs(red_is_right) > 0.5:
            assert np.corrcoef(x.numpy(), colour[:, 0].numpy())[0, 1] * red_is_right > 0.2


def test_without_alpha_images_are_rgb_and_cameras_may_differ(tmp_path: Path) -> None:
    scene = make_scene(Kind.UNBOUNDED)
    focal = torch.where(torch.arange(24) % 2 == 0, 30.0, 40.0)
    train = dataclasses.replace(
        scene.train, intrinsics=torch.stack([focal, focal, 0 * focal + 10, 0 * focal + 8], dim=1)
    )
    run(tmp_path, dataclasses.replace(scene, splits={"train": train}), BallTeacher(alpha=False), views=12)
    pseudo = load_scene(SceneConfig(path=str(tmp_path)))
    assert (pseudo.channels, pseudo.size, pseudo.kind) == (3, (16, 20), Kind.UNBOUNDED)
    assert set(pseudo.train.intrinsics[:, 0].tolist()) == {30.0, 40.0}
    assert pseudo.train.intrinsics[0, 2:].tolist() == [10.0, 8.0]


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


@pytest.mark.parametrize("change", [{"provenance": {"teacher": "better"}}, {"seed": 1}, {"jitter": 0.5}])
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


def test_depth_is_that_of_the_ball(tmp_path: Path) -> None:
    """Where the view shows the ball, the depth map says where along the axis it is; elsewhere it says nothing."""
    run(tmp_path, depth=True, views=2)
    rendered = load_scene(SceneConfig(str(tmp_path), holdout=0, val_holdout=0)).train
    assert rendered.read_depth is not None
    depth = torch.from_numpy(rendered.read_depth(0))
    alpha = rendered.image(0)[..., 3]
    assert torch.equal(depth > 0, alpha > 127)
    rays = image_rays(rendered.c2w[0], rendered.intrinsics[0], rendered.height, rendered.width)
    points = rays.origins + depth[..., None] * rays.directions
    assert (points[depth > 0].norm(dim=-1) - 1).abs().max() < 1e-3
    run(tmp_path, views=2)
    assert not list((tmp_path / "depths").glob("*"))
    assert load_scene(SceneConfig(str(tmp_path), holdout=0, val_holdout=0)).train.read_depth is None


def test_two_processes_give_what_one_gives(whole: Path, tmp_path: Path) -> None:
    first = run(tmp_path, rank=1, world=2)
    assert (first.complete, first.views) == (False, 3)
    assert not (tmp_path / "transforms.json").exists()
    stop, teacher = Stop(), BallTeacher(stop_after=1)
    teacher.on_limit = lambda: setattr(stop, "requested", True)
    with pytest.raises(Interrupted):
        run(tmp_path, teacher=teacher, stop=stop, rank=0, world=2)
    teacher = BallTeacher()
    assert run(tmp_path, teacher=teacher, rank=0, world=2).complete
    assert teacher.rendered == 2
    assert content(tmp_path) == content(whole)


def test_workers_give_what_one_process_gives(whole: Path, tmp_path: Path) -> None:
    config = DistillConfig(views=6, workers=2, depth=False)
    done = distill_in_workers(make_ball, make_scene(), config, tmp_path, FROM, Stop())
    assert (done.complete, done.views) == (True, 6)
    assert content(tmp_path) == content(whole)


def test_warnings_of_workers_are_printed_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = DistillConfig(views=4, workers=2)
    done = distill_in_workers(make_nothing, make_scene(), config, tmp_path, FROM, Stop())
    assert len(done.warnings) == 1
    assert capfd.readouterr().err.count("distill: warning: 100% of the pseudo views show nothing") == 1


def test_of_several_processes_none_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which of them ends last, and so knows all views, is chance."""
    nothing = BallTeacher(opacity=0.0)
    assert run(tmp_path, teacher=nothing, rank=1, world=2).warnings == ()
    assert len(run(tmp_path, teacher=nothing, rank=0, world=2).warnings) == 1
    assert "warning" not in capsys.readouterr().err
    run(tmp_path / "alone", teacher=nothing)
    assert "distill: warning: 100% of the pseudo views show nothing" in capsys.readouterr().err


def test_a_worker_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's side in this process: starting one takes seconds."""
    monkeypatch.setattr(workers, "end_with_parent", lambda: None)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    threads = torch.get_num_threads()
    with pytest.raises(SystemExit) as end:
        _work(sender, _no_teacher, (make_scene(), DistillConfig(workers=2), tmp_path, FROM), 0, 2)
    torch.set_num_threads(threads)
    assert end.value.code == 2
    assert str(_problem(receiver, 2)) == "no such teacher"
    sender.close()
    assert type(_problem(receiver, 1)) is RuntimeError  # our own mistake: its traceback was printed


def _no_teacher() -> BallTeacher:
    raise NelfError("no such teacher")


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
        def render(self, rays: Any) -> Rendered:
            assert "needs at most 0.0 MB" in capsys.readouterr().err
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, teacher=Loud())


def test_the_budget_ends_the_work_and_counts_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("nelf.distill.budget.time.monotonic", lambda: now[0])

    class Slow(BallTeacher):
        def render(self, rays: Any) -> Rendered:
            now[0] += 10.0
            return super().render(rays)

    stop, teacher = Stop(), Slow(stop_after=4)
    teacher.on_limit = lambda: setattr(stop, "requested", True)
    with pytest.raises(Interrupted):
        run(tmp_path, teacher=teacher, stop=stop, views=50, minutes=1.0, min_views=2)
    done = run(tmp_path, teacher=Slow(), views=50, minutes=1.0, min_views=2)
    assert (done.complete, done.views, done.wanted) == (True, 7, 50)  # the first view over 60 s is the last
    assert len(load_scene(SceneConfig(path=str(tmp_path))).train) == 7
    assert run(tmp_path, teacher=Slow(), views=50, minutes=1.0, min_views=2).views == 7
    assert run(tmp_path, teacher=Slow(), views=50, minutes=1.0, min_views=9).views == 9


def test_a_worker_that_is_killed_is_made_good(tmp_path: Path, whole: Path) -> None:
    """A real one, by SIGKILL: one line, the views that are there stay, and the same command does the others."""
    folder, config = tmp_path / "pseudo", DistillConfig(views=6, depth=False, workers=2)
    load = functools.partial(DyingTeacher, tmp_path)
    with pytest.raises(NelfError, match="a worker process was killed, most likely by the system"):
        distill_in_workers(load, make_scene(), config, folder, FROM, Stop())
    there = {path: path.stat().st_mtime_ns for path in folder.glob("images/[!.]*")}
    assert 2 <= len(there) < 6
    alone = dataclasses.replace(config, workers=1)
    assert distill_in_workers(load, make_scene(), alone, folder, FROM, Stop()).complete
    assert content(folder) == content(whole)
    assert {path: path.stat().st_mtime_ns for path in there} == there


def test_a_killed_process_has_spent_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of distill.minutes does not grow with every `kill -9`, after which nothing is written."""
    now, config = [0.0], DistillConfig(views=50, depth=False, minutes=1.0, min_views=2)
    monkeypatch.setattr("nelf.distill.budget.time.monotonic", lambda: now[0])
    plan = make_plan(make_scene(), config, FROM, tmp_path)
    budget = Budget(plan, 0, 2)
    for _ in range(7):
        assert not budget.spent(9)
        now[0] += 4.0
    assert Budget(plan, 0, 2).seconds == pytest.approx(24.0)  # and the last view


@pytest.mark.parametrize("seconds", ["NaN", "-1e9", "1e999", "[]", "null", "1" + 400 * "0", "[" * 100_000])
def test_a_time_that_is_none_is_taken_for_none(tmp_path: Path, seconds: str) -> None:
    scene, config = make_scene(), DistillConfig(views=6, depth=False, minutes=1.0)
    plan = make_plan(scene, config, FROM, tmp_path)
    (tmp_path / "progress-0.json").write_text(f'{{"fingerprint": "{plan.fingerprint}", "seconds": {seconds}}}')
    assert Budget(plan, 0, 2).before == 0.0


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
        pseudo_scene, "read_note", lambda path, print_: (opened.append(path), read_note(path, print_))[1]
    )
    teacher = BallTeacher()
    assert run(folder, teacher=teacher).complete
    assert teacher.rendered == 0  # the views themselves are whole
    assert content(folder) == content(whole)
    assert {path.parent for path in opened} == {folder / "images"}


def test_a_teacher_that_gives_nan_is_refused() -> None:
    nothing = Rendered(torch.full((2, 2, 3), math.nan), torch.ones(2, 2), torch.ones(2, 2))
    with pytest.raises(NelfError, match="NaN or infinity for pseudo view 000007"):
        to_pixels(nothing, 4, "000007")


def test_external_renders_are_taken_as_they_are(whole: Path, tmp_path: Path) -> None:
    config = DistillConfig(teacher="external", external=str(whole))
    scene = make_scene()
    found = external_scene(config, scene)
    assert (len(found.train), found.size, found.near, found.radius) == (6, scene.size, 2.0, scene.radius)
    with pytest.raises(SceneError, match=r"renders are 20x16, scene 'ball' is 24x24; .*scene\.downscale"):
        external_scene(config, make_scene(size=(24, 24)))
    with pytest.raises(SceneError, match=r"renders are RGBA, scene 'ball' is RGB"):
        external_scene(config, make_scene(channels=3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"teacher": "nobody"}, "distill.teacher=nobody is not known; use one of own, external"),
        ({"teacher": "external"}, "needs distill.external=FOLDER"),
        ({"external": "there"}, "not used by distill.teacher=own"),
        ({"views": 0}, "distill.views=0 is too small; use 1 or more"),
        ({"minutes": math.nan}, "distill.minutes=nan must be a positive number"),
        ({"aim_jitter": -0.1}, "distill.aim_jitter=-0.1 must lie between 0 and 0.5"),
        ({"roll_degrees": 90.0}, "distill.roll_degrees=90.0 must lie between 0 and 45"),
        ({"jitter": 2.0}, "distill.jitter=2.0 must lie between 0 and 1"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistillConfig(**settings)
