"""Many scenes: one run each, here, in processes through submitit, or as SLURM jobs; one page on all of them."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from nelf import pipeline
from nelf.core.errors import NelfError
from nelf.pipeline import compose_config, config_folder, typed
from nelf.pipeline.config import ROOT, register
from nelf.pipeline.run import lock_run
from nelf.pipeline.sweep import folder_of
from tests.pipeline.commands import copy_of_finished_run, finished_run, nelf, refused, refused_at_once, works
from tests.scenes import make_blender_scene

pytestmark = pytest.mark.slow

SMOKE = [
    "experiment=smoke",
    "teacher.max_steps=1",
    "distill.views=2",
    "train.max_steps=1",
    "train.finetune.max_steps=1",
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def scenes(tmp_path: Path) -> str:
    """An override with two scenes."""
    made = [make_blender_scene(tmp_path / name, size=16) for name in ("ball", "cup")]
    return "scene.path=" + ",".join(map(str, made))


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(scene, folder) of the runs that would start."""
    found: list[tuple[str, str]] = []

    def note(run: pipeline.Run, stop: object, echo: object) -> None:
        found.append((run.scene.name, str(run.folder)))

    monkeypatch.setitem(pipeline.STAGES, "run", note)
    return found


def test_scenes_are_swept_like_anything_else(scenes: str, noted: list[tuple[str, str]]) -> None:
    works("run", "--multirun", scenes, "train.seed=3", "runs=elsewhere")
    assert noted == [("ball", "elsewhere/ball"), ("cup", "elsewhere/cup")]


def test_a_run_is_named_after_what_varies() -> None:
    config = typed(compose_config(["scene.path=x/ball"]))
    overrides = ["scene.path=x/ball", "train.seed=3", "+student=s", "distill.folder=a/b"]
    varied = {"scene.path", "student", "distill.folder"}
    assert folder_of(config, "ball", overrides, varied) == Path("runs/ball-distill.folder=a_b,student=s")
    assert folder_of(config, "ball", overrides, {"scene.path", "name"}) == Path("runs/ball")


def test_two_runs_do_not_share_a_folder(scenes: str, tmp_path: Path, noted: list[tuple[str, str]]) -> None:
    other = make_blender_scene(tmp_path / "more" / "ball", size=16)
    line = refused("run", "--multirun", f"{scenes},{other}")
    assert "would both write runs/ball; rename the scenes' folders" in line
    assert noted == []


def test_a_missing_scene_is_found_before_the_first_run(scenes: str, noted: list[tuple[str, str]]) -> None:
    assert "nowhere does not exist" in refused("run", "--multirun", f"{scenes},nowhere")
    assert noted == []


def test_the_summary_of_a_sweep_has_every_run(scenes: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    finished = copy_of_finished_run(tmp_path / "finished")

    def finish(run: pipeline.Run, stop: object, echo: object) -> None:
        if run.scene.name == "cup":
            raise NelfError("no good")
        shutil.copytree(finished, run.folder, dirs_exist_ok=True)

    monkeypatch.setitem(pipeline.STAGES, "run", finish)
    outcome = nelf("run", "--multirun", scenes, *SMOKE)
    assert outcome.code == 2
    assert outcome.err.splitlines()[-2:] == [
        "sweep: summary of all runs in " + str(Path("runs/summary.html").resolve()),
        "nelf: no good",
    ]
    page = Path("runs/summary.html").read_text()
    assert '<a href="ball/report.html">ball</a>' in page
    assert "cup</td><td>not measured yet" in page


# Launchers


def test_the_launcher_of_slurm_composes() -> None:
    pytest.importorskip("submitit")
    register()
    overrides = ["scene.path=a", "hydra/launcher=slurm", "hydra.launcher.partition=gpu"]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        launcher = compose(ROOT, overrides=overrides, return_hydra_config=True).hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher")
    assert (launcher.partition, launcher.gpus_per_node, launcher.max_num_timeout) == ("gpu", 1, 20)


def test_slurm_is_refused_where_there_is_none(scenes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    line = refused_at_once("run", "--multirun", scenes, "hydra/launcher=slurm")
    assert line.startswith("hydra/launcher=slurm: there is no srun on this machine")


@pytest.mark.parametrize("key", ["tasks_per_node", "nodes"])
def test_a_job_has_one_process(scenes: str, key: str) -> None:
    """Others would find the run in use, or train next to it."""
    override = f"hydra.launcher.{key}=4"
    line = refused_at_once("run", "--multirun", scenes, "hydra/launcher=processes", override)
    assert line == f"{override}: a sweep gives each of its runs one process; leave it out"


def test_a_launcher_that_is_not_installed_is_named(scenes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])  # nor any distribution
    line = refused_at_once("run", "--multirun", scenes, "hydra/launcher=processes")
    assert "install it with: pip install 'nelf[slurm]'" in line


def test_jobs_of_submitit_make_the_runs(scenes: str) -> None:
    """Real processes: one only has the report to write, the other finds its run in use."""
    shutil.copytree(finished_run(), "runs/ball")
    Path("runs/ball/report.html").unlink()
    with lock_run(Path("runs/cup")):
        line = refused("run", "--multirun", scenes, "experiment=smoke", "hydra/launcher=processes")
    assert line.startswith(f"the run runs/cup is in use by process {os.getpid()}")
    assert Path("runs/ball/report.html").is_file()
    page = Path("runs/summary.html").read_text()
    assert '<a href="ball/report.html">ball</a>' in page
    assert "cup</td><td>not measured yet" in page
    assert len(list(Path("runs/multirun/.submitit").glob("*/*_log.out"))) == 2
