"""`nelf fit` from the command line: what is refused, and the whole way on a tiny scene with a made-up device."""

from pathlib import Path

import pytest

from nelf.bundle import read_manifest
from nelf.core.files import read_json
from nelf.fit import count_operations, file_megabytes
from nelf.fit.latency import FITTED
from nelf.pipeline.run import STUDENT
from nelf.student import load_student
from tests.fit.devices import MadeUpDevice, MadeUpSpace, space
from tests.pipeline.commands import copy_of_finished_run, refused, refused_at_once, works
from tests.scenes import make_blender_scene

pytestmark = pytest.mark.slow

TINY = (
    "points_per_ray=3", "width=12", "blocks=1", "coarse_nodes=5", "middle_nodes=8", "middle_width=12",
    "middle_blocks=1", "cell_features=12", "fine_nodes=16", "decoder_width=12", "decoder_blocks=1",
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with pseudo views and a student that can be pruned."""
    make_blender_scene(tmp_path / "ball", size=16)
    monkeypatch.chdir(tmp_path)
    works("train", "ball", "experiment=smoke", "student=m", *(f"student.{setting}" for setting in TINY))
    return tmp_path / "runs" / "ball"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--budget", "16"], "--budget 16 is not a time or a size; use e.g. --budget 16ms or --budget 2MB"),
        (["--budget", "16ms", "--minutes", "0"], "--minutes 0 is not a time to train for; use more than 0"),
        (["--budget", "16ms", "--minutes", "inf"], "--minutes inf is not a time to train for; use more than 0"),
        (["--budget", "16ms", "--name", ".."], "--name .. cannot be used; give the name of one folder"),
        (["--budget", "16ms", "--name", "tables"], "--name tables cannot be used; give the name of one folder"),
        (["--budget", "16ms", "name=other"], "name=other: the new run is next to RUN; name it by --name NAME"),
        (["--budget", "16ms", "--precision", "w4"], "--precision w4 is not known; use one of fp32, fp16"),
        (["--budget", "16ms", "student.widht=3"], "student.widht"),
    ],
)
def test_what_is_no_budget_is_refused_at_once(tmp_path: Path, options: list[str], expected: str) -> None:
    assert expected in refused_at_once("fit", copy_of_finished_run(tmp_path), *options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--device", "toaster"], "--device toaster is not known; use host, adb, adb:SERIAL, browser, chromium"),
        (["--device", "phone.json"], "--device phone.json does not exist; give a table of times"),
        (["--device", "adb"], "--device adb needs --benchmark-model PATH"),
        (["--accelerator", "gpu"], "--accelerator is for a phone; add --device adb"),
        (["--device", "browser", "--threads", "2"], "--threads is not for a browser"),
        (["--device", "host", "--threads", "9999"], "--threads 9999: this process may use"),
        (["--name", "ball"], "ball is another run already; choose a name for the new one"),
        ([], "has one size, so there is nothing to fit; use student=m"),
    ],
)
def test_devices_and_families_that_do_not_fit_are_refused(tmp_path: Path, options: list[str], expected: str) -> None:
    """The finished run has a student of the family `constant`."""
    assert expected in refused("fit", copy_of_finished_run(tmp_path), "--budget", "16ms", *options)


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    assert "is not a run; give the folder of one" in refused_at_once("fit", tmp_path, "--budget", "16ms")


def test_a_student_for_a_time(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Table, search, training, export; then the same again, which has nothing left to do."""
    device = MadeUpDevice(space())
    monkeypatch.setattr("nelf.fit.devices.open_device", lambda *given: device)
    monkeypatch.setattr("nelf.pipeline.fit_stage.SearchSpace", MadeUpSpace)
    monkeypatch.setattr("nelf.pipeline.fit_stage.Fitting.export", device.export)
    monkeypatch.setattr("nelf.pipeline.fit_stage.export_workers", lambda: 1)  # the device must see the exports
    command = ("fit", run, "--budget", "2ms", "--minutes", "0.02")
    said = works(*command, "export.targets=[onnx]")
    fitted = run.with_name("ball-2ms")
    table = read_json(run / "fit" / "tables" / "host-fp32.json")
    assert sum(not one["check"] for one in table["networks"]) == FITTED
    assert "median error" in said.err
    search = read_json(run / "fit" / "ball-2ms" / "search.json")
    (best,) = (one for one in search["candidates"] if one["number"] == search["best"])
    assert best["measured"] <= 2
    assert best["psnr"]
    student = read_manifest(fitted / "export" / "onnx")
    assert student.student.name == "fit"
    assert str(fitted / "export" / "onnx") in said.out
    again = works(*command, "export.targets=[onnx]")
    assert "train: up to date" in again.err
    assert "round 1" not in again.err
    line = refused("fit", run, "--budget", "2ms", "--minutes", "0.03", "export.targets=[onnx]")
    assert "ball-2ms is another run already; choose a name for the new one: --name NAME" in line
    assert read_json(run / "fit" / "ball-2ms" / "search.json") == search


def test_a_student_for_a_size_by_pruning(run: Path) -> None:
    size = file_megabytes(count_operations(load_student(run / STUDENT)), "fp32")
    command = "--name", "small", "--minutes", "0.02", "export.targets=[onnx]"
    said = works("fit", run, "--budget", f"{size - 0.01:.3f}MB", "--prune", *command)
    assert "round 4 of 4: pruned from" in said.err
    pruned = load_student(run.with_name("small") / STUDENT)
    assert file_megabytes(count_operations(pruned), "fp32") <= size - 0.01
    assert load_student(run / STUDENT).config != pruned.config
    line = refused("fit", run, "--budget", f"{size + 1:.3f}MB", "--prune", *command)
    assert "small is another run already; choose a name for the new one: --name NAME" in line
