"""The page on many runs, and the benchmark's table: means that do not mislead, and the classes' definitions."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import suite as suite_module
from benchmarks.suite import difficulty, scenes_in, suite, table
from nelf.core.errors import ConfigError, Interrupted, NelfError
from nelf.evaluate import METRICS, ModelInfo, RunFigures, mean, means, write_summary_page
from nelf.evaluate.html import dot_chart
from tests.pipeline.commands import finished_run
from tests.scenes import make_blender_scene, make_llff_scene

from .test_report import Page


def run(name: str, teacher: float, student: float, macs: int = 2_000_000_000, lpips: float | None = 0.1) -> RunFigures:
    figures = {"teacher": teacher, "student": student}
    metrics = {m: {**dict.fromkeys(METRICS, 0.5), "psnr": psnr, "lpips_vgg": lpips} for m, psnr in figures.items()}
    infos = {"teacher": ModelInfo(), "student": ModelInfo(bytes=4_000_000, macs=macs, parameters=7)}
    return RunFigures(name, metrics, infos, 3, "3", {"teach": 60.0}, f"{name}/report.html", ["student=s"])


RUNS = [run("<lego>", 33.0, 31.0), run("drums", 25.0, 24.0, lpips=None), run("ship", 31.0, 29.0, 4_000_000_000)]


def test_a_mean_over_less_than_all_is_none() -> None:
    assert mean([1.0, 2.0]) == 1.5
    assert mean([1.0, None]) is None
    assert mean([]) is None
    found = means(RUNS, "student")
    assert found["psnr"] == 28.0
    assert found["lpips_vgg"] is None
    assert found["bytes"] == 4_000_000
    assert means(RUNS, "ios")["psnr"] is None


def test_the_page_has_every_run_and_loads_nothing(tmp_path: Path) -> None:
    missing = RunFigures("mic", missing="not measured yet")
    write_summary_page(tmp_path / "summary.html", "4 runs", [*RUNS, missing])
    html = (tmp_path / "summary.html").read_text()
    page = Page(html.replace("<!doctype html>", ""))
    text = " ".join(" ".join(page.text).split())
    assert "<lego>" in text  # escaped in the source
    assert "28.00 dB mean PSNR" in text
    assert "4 3 of them measured" in text
    assert "mic not measured yet" in text
    assert "Quality and arithmetic" in text  # the runs differ in it
    links = [value for _, key, value in page.attributes if key in ("href", "src")]
    assert {"drums/report.html", "ship/report.html"} <= set(links)
    assert not [link for link in links if ":" in link or link.startswith("/")]


def test_arithmetic_is_not_drawn_where_it_is_the_same(tmp_path: Path) -> None:
    write_summary_page(tmp_path / "summary.html", "2 runs", RUNS[:2])
    assert "Quality and arithmetic" not in (tmp_path / "summary.html").read_text()


def test_dots_lie_within_round_numbers() -> None:
    chart = dot_chart([(0.012, 20.0, "a"), (0.031, 23.1, "b")])
    assert [text for _, text in chart.columns] == ["0.01", "0.015", "0.02", "0.025", "0.03", "0.035"]
    (first, second) = chart.lines[0].dots
    assert chart.left <= first[0] < second[0] <= chart.right
    assert second[1] < first[1] <= chart.baseline  # better is higher


# The benchmark


@pytest.mark.parametrize(
    ("psnr", "name"), [(40.0, "easy"), (32.0, "easy"), (31.99, "medium"), (27.0, "medium"), (26.9, "hard")]
)
def test_difficulty_is_the_teachers_psnr(psnr: float, name: str) -> None:
    assert difficulty(run("x", psnr, 20.0)) == name


def test_the_table_has_each_class_and_its_mean() -> None:
    lines = table(RUNS, "student").splitlines()
    assert [line for line in lines if line.startswith("###")] == [
        "### easy (teacher at 32 dB or more): 1",
        "### medium (teacher at 27 dB or more): 1",
        "### hard (the others): 1",
        "### all: 3",
    ]
    assert "| drums | 25.00 | 24.00 | 0.5000 | 0.5000 | n/a | 4.00 | 2.00 |" in lines
    assert lines[-1] == "| **mean** | 29.67 | 28.00 | 0.5000 | 0.5000 | n/a | 4.00 | 2.67 |"
    with pytest.raises(ConfigError, match="--model ios was not measured in <lego>; use one of teacher, student"):
        table(RUNS, "ios")


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two scenes whose runs are copies of a finished one; the names of those that were run."""
    asked: list[str] = []

    def run_scene(scene: Path, overrides: list[str], out: Path) -> Path:
        asked.append(scene.name)
        if asked == ["lego", "ship"]:
            raise Interrupted("stopped")
        if scene.name == "drums":
            raise NelfError("no good")
        if not (out / scene.name).exists():
            shutil.copytree(finished_run(), out / scene.name)
        return out / scene.name

    for name in ("lego", "ship"):
        make_blender_scene(tmp_path / "scenes" / name, size=16)
    monkeypatch.setattr(suite_module, "run_scene", run_scene)
    return asked


@pytest.mark.slow
def test_a_suite_that_is_stopped_goes_on(scenes: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "scenes", tmp_path / "out"
    with pytest.raises(Interrupted):
        suite(folder, [], out, "ios")
    assert not (out / "suite.md").exists()
    assert suite(folder, [], out, "ios") == []
    assert scenes == ["lego", "ship", "lego", "ship"]
    assert [one["scene"] for one in json.loads((out / "suite.json").read_text())["scenes"]] == ["lego", "ship"]
    assert (out / "suite.md").read_text() in capsys.readouterr().out
    assert "ship" in (out / "summary.html").read_text()
    make_blender_scene(folder / "drums", size=16)
    assert suite(folder, [], out, "student") == ["drums: no good"]
    assert "| drums |" not in (out / "suite.md").read_text()
    assert "| ship |" in (out / "suite.md").read_text()


@pytest.mark.slow
def test_a_model_that_will_not_be_measured_is_refused_before_the_first_scene(scenes: list[str], tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="--model web will not be measured in lego; use one of teacher, student, ios,"
    ):
        suite(tmp_path / "scenes", [], tmp_path / "out", "web")
    with pytest.raises(ConfigError, match="use one of teacher, student, onnx, or name its target in"):
        suite(tmp_path / "scenes", ["export.targets=[onnx]"], tmp_path / "out", "ios")
    assert scenes == []


def test_scenes_of_any_format_are_found(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no folder with a scene in it"):
        scenes_in(tmp_path)
    make_blender_scene(tmp_path / "lego")
    make_llff_scene(tmp_path / "fern", views=4)
    (tmp_path / "papers").mkdir()
    assert [path.name for path in scenes_in(tmp_path)] == ["fern", "lego"]
    with pytest.raises(ConfigError, match="nowhere is not a folder"):
        scenes_in(tmp_path / "nowhere")
