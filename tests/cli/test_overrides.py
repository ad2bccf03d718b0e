"""nelf run with overrides, --cfg and --multirun."""

from pathlib import Path

import pytest

from nelf.core.errors import Interrupted, NelfError
from nelf.pipeline import STAGES
from tests.pipeline.commands import nelf, refused, refused_at_once, refused_scene, works

pytestmark = pytest.mark.slow


def test_unknown_student_lists_the_known(room: Path) -> None:
    line = refused_scene(room, "student=xxl")
    assert "xxl" in line
    for name in ("s", "m", "l", "mobiler2l"):
        assert name in line.split("xxl", 1)[1].replace(",", " ").split()


def test_unknown_teacher_lists_the_known(room: Path) -> None:
    line = refused_scene(room, "teacher=plenoxels")
    assert "instant_ngp" in line
    assert "nerf" in line


def test_misspelt_override_names_the_nearest(room: Path) -> None:
    assert "did you mean train.max_minutes?" in refused_scene(room, "train.minuets=5")
    assert "did you mean distill.views" in refused_scene(room, "distil.views=5")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.max_steps=many", "many"),
        ("distill.views=0", "distill.views=0 is too small; use a whole number from 1 to "),
        ("scene.type=round", "scene.type=round is not known; use one of auto, object"),
        ("device.accelerator=tpu", "device.accelerator=tpu is not known; use one of auto, cpu"),
        ("export.golden_views=3", "export.golden_views=3 is too small"),
        ("teacher.max_minutes=null", "teacher.max_minutes and teacher.max_steps are both null"),
        ("distill.source=folder", "needs distill.folder=FOLDER"),
        ("train.max_steps=[", "train.max_steps="),
        ("nonsense", "nonsense lacks a value; settings are written KEY=VALUE"),
        ("+foo=1", "foo is not a setting; `nelf config` lists all settings"),
        ("+train.minuts=5", "train.minuts is not a setting; did you mean train.max_minutes?"),
        ("name=../evil", "name=../evil is not a plain name; use the name of one folder"),
    ],
)
def test_bad_values(room: Path, override: str, expected: str) -> None:
    overrides = ["teacher.max_steps=null", override] if override.startswith("teacher") else [override]
    assert expected in refused_scene(room, *overrides)


def test_cfg_prints_the_configuration(room: Path) -> None:
    outcome = works("run", room, "train.max_steps=77", "--cfg", "job")
    assert "steps: 77" in outcome.out
    assert str(room) in outcome.out
    assert list(Path.cwd().iterdir()) == []
    assert "--cfg hydra is not known; use --cfg job" in refused_at_once("run", room, "--cfg", "hydra")


def test_multirun_sweeps(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nelf import pipeline

    swept: list[tuple[str, int, str]] = []

    def note(run: pipeline.Run, stop: object, echo: object) -> None:
        swept.append((run.config.student.name, run.config.train.max_steps or 0, run.folder.name))

    monkeypatch.setitem(pipeline.STAGES, "run", note)
    outcome = nelf("run", room, "--multirun", "student=s,m", "train.max_steps=3,4")
    assert outcome.code == 0, outcome.err
    assert [one[:2] for one in swept] == [("s", 3), ("s", 4), ("m", 3), ("m", 4)]
    assert len({one[2] for one in swept}) == 4
    assert all(Path("runs", one[2], "config.yaml").is_file() for one in swept)


def test_a_sweep_checks_every_combination_first(room: Path, tmp_path: Path) -> None:
    line = refused_at_once("run", tmp_path / "nowhere", "--multirun", "student=s,m")
    assert "nowhere does not exist; give the folder" in line
    assert refused_scene(room, "student=s,xxl", "-m") == (
        "student=xxl is not known; use one of constant, l, m, mobiler2l, s"
    )
    assert "distill.views=0 is too small" in refused_scene(room, "distill.views=5,0", "-m")
    assert "scene.downscale=99 leaves no pixel" in refused_scene(room, "scene.downscale=1,99", "-m")
    assert "train.max_steps=[" in refused_scene(room, "train.max_steps=[", "-m")
    assert "does not support sweep type" in refused("run", room, "train.ema_decay=interval(0,1)", "-m")


def test_a_sweep_ends_as_a_run_does(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nelf import pipeline

    tried: list[int | None] = []

    def fail(run: pipeline.Run, stop: object, echo: object) -> None:
        tried.append(run.config.train.max_steps)
        raise NelfError("no good")

    monkeypatch.setitem(pipeline.STAGES, "run", fail)
    assert refused("run", room, "--multirun", "train.max_steps=3,4") == "no good"
    assert tried == [3, 4]

    def interrupt(run: pipeline.Run, stop: object, echo: object) -> None:
        tried.append(run.config.train.max_steps)
        raise Interrupted("stopped")

    monkeypatch.setitem(pipeline.STAGES, "run", interrupt)
    line = refused("run", room, "--multirun", "train.max_steps=5,6", code=130)
    assert line == "sweep: stopped; the same command goes on from there"
    assert tried == [3, 4, 5]


def test_the_demo_says_where_it_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STAGES, "run", lambda run, stop, echo: None)
    folder = tmp_path / "there" / "mine"
    told = works("demo", "name=mine", f"runs={folder.parent}").out
    assert told == f"open {folder / 'report.html'}; the bundles are in {folder / 'export'}\n"
