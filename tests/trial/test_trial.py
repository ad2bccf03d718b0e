"""Folders that a newcomer may have: `nelf data check` and `nelf run` agree, and sound ones pass."""

from pathlib import Path

import pytest

from nelf.capture import is_raw
from tests.pipeline.commands import nelf, works
from tests.trial.scenes import BAD, ODD

pytestmark = pytest.mark.slow

SHORT = (
    "experiment=smoke", "teacher.max_steps=2", "distill.views=2", "distill.min_views=2", "train.max_steps=1",
    "train.finetune.max_steps=1", "train.finetune.val_every=1",
)  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_there_are_enough() -> None:
    assert len(BAD) >= 60
    assert len(ODD) >= 20


@pytest.mark.parametrize("name", BAD)
def test_a_bad_scene_is_refused_by_both(name: str, tmp_path: Path) -> None:
    case = BAD[name]
    scene = case.make(tmp_path / "scene")
    raw = is_raw(scene)
    checked = nelf("data", "check", scene, *case.overrides)
    run = nelf("run", scene, "experiment=smoke", *case.overrides)
    assert (checked.code, run.code) == (2, 2), (checked, run)
    lines = [line for line in run.err.splitlines() if line.startswith("nelf: ")]
    assert len(lines) == 1
    assert run.err.endswith(lines[0] + "\n")
    assert raw or run.err == lines[0] + "\n"  # photos without poses have to be looked at: that takes a while
    assert case.expected in lines[0]
    assert "; " in lines[0], "no remedy"
    assert case.expected in checked.out + checked.err
    if checked.out:
        verdict, first = checked.out.splitlines()[:2]
        assert verdict.startswith("`nelf run` refuses this scene: ")
        assert first.startswith("problem (fatal): ")
    assert raw or list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("name", ODD)
def test_an_odd_scene_goes_through(name: str, tmp_path: Path) -> None:
    case = ODD[name]
    scene = case.make(tmp_path / "scene")
    checked = works("data", "check", scene, *case.overrides)
    assert checked.out.startswith("`nelf run` takes this scene; ")
    works("train", scene, *SHORT, *case.overrides)
    assert Path("runs/scene/student/student.safetensors").is_file()
