"""Forecast of a run: the demo on the reference machine, scaling, and refusals before any work."""

import dataclasses
import json
from pathlib import Path

import pytest

from nelf.core.devices import Machine, measure_machine
from nelf.core.errors import StorageError
from nelf.pipeline import Run, costs, forecast, new_student
from nelf.pipeline.costs import REFERENCE, Expected, expect
from nelf.pipeline.forecast import Forecast, check, foresee, noted_seconds, noted_warnings
from nelf.pipeline.stages import STEPS
from tests.scenes import make_blender_scene

ROOT = Path(__file__).resolve().parents[2]
FAST = Machine(gflops=REFERENCE, threads=2, cores=2, others=0.0, memory=20_000_000_000)


def demo(tmp_path: Path, *overrides: str) -> Run:
    return Run.open(ROOT / "datasets" / "stilllife", ["experiment=demo", f"runs={tmp_path / 'runs'}", *overrides])


def seconds_of(run: Run, machine: Machine, *stages: str) -> dict[str, float | None]:
    return {name: found.seconds for name, found in expect(run, new_student(run), stages, machine).items()}


def test_the_demo_takes_what_it_took_at_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/results.md has the minutes of the demo's stages, from which the figures come. Without LPIPS."""
    monkeypatch.setattr(costs, "lpips_is_here", lambda: False)
    found = seconds_of(
        demo(tmp_path, "device.precision=bf16-mixed"), FAST, "teach", "distill", "train", "export", "eval"
    )
    measured = {"teach": 2.8, "distill": 2.2, "train": 6.6, "export": 0.5, "eval": 0.12}
    assert found == {stage: pytest.approx(60 * minutes, rel=0.3) for stage, minutes in measured.items()}


@pytest.mark.slow
def test_half_the_speed_is_twice_the_work_and_the_same_minutes(tmp_path: Path) -> None:
    minutes = ("teacher.max_minutes=2", "teacher.max_steps=null")
    run = demo(tmp_path, *minutes, "train.max_steps=1000", "train.finetune.enabled=false")
    slow = dataclasses.replace(FAST, gflops=REFERENCE / 2)
    before, after = (seconds_of(run, machine, *STEPS["run"]) for machine in (FAST, slow))
    for stage in ("distill", "train", "export", "eval"):
        assert after[stage] == pytest.approx(2 * (before[stage] or 0.0), rel=1e-6)
    assert before["teach"] is not None
    assert before["teach"] < (after["teach"] or 0.0) < 1.1 * before["teach"]
    more = demo(tmp_path, "distill.views=2800", "distill.workers=1")
    fewer = demo(tmp_path, "distill.views=1400", "distill.workers=1")
    twice, once = (seconds_of(one, FAST, "distill")["distill"] for one in (more, fewer))
    assert twice == pytest.approx(2 * (once or 0.0))


def test_what_an_interrupted_stage_has_done_is_taken_off(tmp_path: Path) -> None:
    run = demo(tmp_path)
    whole = seconds_of(run, FAST, "teach")["teach"]
    (run.folder / "teacher").mkdir(parents=True)
    (run.folder / "teacher" / "stage.json").write_text(json.dumps({"fingerprint": "x", "seconds": 40.0}))
    assert seconds_of(run, FAST, "teach")["teach"] == pytest.approx((whole or 0.0) - 40.0)


def told_of(machine: Machine, *overrides: str, tmp_path: Path) -> str:
    run = demo(tmp_path, *overrides)
    return forecast.warning_of(run, expect(run, new_student(run), STEPS["run"], machine), machine)


@pytest.mark.slow
def test_a_slow_or_busy_machine_is_named_with_what_helps(tmp_path: Path) -> None:
    assert told_of(FAST, tmp_path=tmp_path) == ""
    slow = dataclasses.replace(FAST, gflops=REFERENCE / 4, threads=1)
    said = told_of(slow, "train.max_minutes=null", "train.max_steps=1000", "teacher.max_minutes=2", tmp_path=tmp_path)
    assert said.startswith("slow machine: it reaches 50 GFLOP/s on 1 of 2 cores; the reference: 200; ")
    assert "device.threads=2 uses them" in said
    assert "the teacher learns 25% of what it would in its 2 min: teacher.max_minutes=8 compensates" in said
    assert "student=s takes less" in said
    busy = told_of(dataclasses.replace(FAST, others=1.3), tmp_path=tmp_path)
    assert busy.startswith("busy machine: ")
    assert "other programs use 1.3 cores: close them, or wait" in busy


def test_the_line_fits_eighty_columns() -> None:
    stages = {"teach": Expected(36_000.0, 5e9, 3e9), "distill": Expected(36_000.0, 15e9, 13e9)}
    line = Forecast(stages, FAST, free_disk=100_000_000_000).line
    assert line == "expected: 20:00 h, 20 of 100 GB disk, 13 of 20 GB memory (give or take half)"
    assert len(line) <= 80


def test_too_little_disk_or_memory_is_refused_with_a_remedy() -> None:
    class AnyRun(Run):
        def __init__(self) -> None:
            self.folder = Path("runs/ball")

    stages = {"distill": Expected(60.0, 5e9, 3e9)}
    check(AnyRun(), Forecast(stages, FAST, free_disk=6_000_000_000))
    with pytest.raises(
        StorageError, match=r"needs about 5\.0 GB of disk, but only 4\.0 GB are free; .* or lower distill\.views"
    ):
        check(AnyRun(), Forecast(stages, FAST, free_disk=4_000_000_000))
    small = dataclasses.replace(FAST, memory=1_000_000_000)
    with pytest.raises(
        StorageError, match=r"distill needs about 3\.0 GB of memory, but only 1\.0 GB .* lower distill\.workers"
    ):
        check(AnyRun(), Forecast(stages, small, free_disk=6_000_000_000))


def test_it_is_told_and_noted_down_stage_by_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.open(make_blender_scene(tmp_path / "ball"), [f"runs={tmp_path / 'runs'}"])
    monkeypatch.setattr(forecast, "measure_machine", lambda: dataclasses.replace(FAST, gflops=20.0))
    said: list[str] = []
    foresee(run, new_student(run), ["teach", "distill"], said.append)
    assert said[0].startswith("expected: ")
    assert said[1].startswith("WARNING: slow machine: ")
    monkeypatch.setattr(forecast, "measure_machine", lambda: FAST)
    foresee(run, new_student(run), ["distill", "eval"], said.append)
    assert len(said) == 3
    assert noted_seconds(run.folder).keys() == {"teach", "distill", "eval"}
    (warning,) = noted_warnings(run.folder)  # of the teacher, which is not made again
    assert warning.startswith("teach: slow machine")
    for damaged in ("[]", "{", '{"teach": {"warning": 3, "seconds": "NaN"}, "eval": 1}'):
        (run.folder / forecast.FILE).write_text(damaged)
        assert noted_warnings(run.folder) == []
        assert noted_seconds(run.folder) == {}


def test_the_machine_is_measured() -> None:
    found = measure_machine()
    assert 0 < found.gflops < 1e6
    assert found.threads > 0
    assert found.cores > 0
    assert found.memory is None or found.memory > 1e8
    assert found.others is None or found.others >= 0
