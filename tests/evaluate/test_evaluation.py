"""Output of `evaluate`: names, keys, pictures and means."""

import json
from pathlib import Path

import pytest
import torch

from nelf.core.errors import ConfigError, NelfError, SceneError
from nelf.evaluate import EvalConfig, evaluate, ground_truth, measured_on, psnr, read_metrics, read_picture
from nelf.evaluate.metrics import METRICS, MetricUnavailable

from .views import make_views, noisy_model

QUICK = EvalConfig(lpips=False)


def test_layout_and_keys(tmp_path: Path) -> None:
    views = make_views(3)
    told = []
    models = {"teacher": noisy_model(views, 0.01), "student": noisy_model(views, 0.05)}
    result = evaluate(models, views, tmp_path, QUICK, progress=lambda *step: told.append(step))
    assert json.loads((tmp_path / "metrics.json").read_text()) == result == read_metrics(tmp_path)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png")) == [
        f"{model}/r_{i}.png" for model in ("ground_truth", "student", "teacher") for i in range(3)
    ]
    assert list(result) == ["teacher", "student"]
    assert list(result["student"]) == [*METRICS, "views", "unavailable", "seconds_per_view", "test_views"]
    assert list(result["student"]["views"]) == ["r_0", "r_1", "r_2"]
    assert list(result["student"]["views"]["r_0"]) == ["psnr", "ssim", "flip"]
    assert result["student"]["lpips_alex"] is None
    assert result["student"]["unavailable"] == {"lpips_alex": "eval.lpips=false", "lpips_vgg": "eval.lpips=false"}
    assert [step[:2] for step in told] == [(model, i) for model in ("teacher", "student") for i in (1, 2, 3)]
    for model, i, mean in told:  # the mean up to there
        assert mean == pytest.approx(sum([view["psnr"] for view in result[model]["views"].values()][:i]) / i)


def test_figures_are_those_of_the_pictures_on_disk(tmp_path: Path) -> None:
    views = make_views(3)
    result = evaluate({"student": noisy_model(views, 0.05)}, views, tmp_path, QUICK)["student"]
    figures = []
    for i, name in enumerate(views.names):
        truth = read_picture(tmp_path / "ground_truth" / f"{name}.png")
        assert torch.equal(truth, ground_truth(views, i))
        figures.append(psnr(read_picture(tmp_path / "student" / f"{name}.png"), truth))
        assert result["views"][name]["psnr"] == figures[-1]
    assert result["psnr"] == pytest.approx(sum(figures) / 3)  # the mean of PSNRs, not the PSNR of the mean error
    assert figures == sorted(figures, reverse=True)  # the noise grows from view to view


def test_some_of_the_views_stand_for_all(tmp_path: Path) -> None:
    views = make_views(9)
    result = evaluate({"m": noisy_model(views, 0.05)}, views, tmp_path, EvalConfig(lpips=False, max_views=3))["m"]
    assert list(result["views"]) == ["r_0", "r_3", "r_6"]
    assert sorted(path.name for path in (tmp_path / "ground_truth").iterdir()) == ["r_0.png", "r_3.png", "r_6.png"]
    assert result["test_views"] == 9
    assert measured_on(read_metrics(tmp_path)["m"]) == "3 of 9"
    few = EvalConfig(lpips=False, max_views=20)
    assert measured_on(evaluate({"m": noisy_model(views, 0.05)}, views, tmp_path, few)["m"]) == "9"
    with pytest.raises(ConfigError, match=r"eval\.max_views=0 is too small"):
        EvalConfig(max_views=0)


def test_perfect_model(tmp_path: Path) -> None:
    views = make_views(2, channels=3)
    result = evaluate({"m": noisy_model(views, 0.0)}, views, tmp_path, QUICK)["m"]
    assert (result["psnr"], result["ssim"], result["flip"]) == (100.0, pytest.approx(1.0), 0.0)


def test_a_metric_that_cannot_be_measured_is_null_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = make_views(3)
    calls = []

    def second_fails(picture: torch.Tensor, truth: torch.Tensor) -> float:
        calls.append(1)
        if len(calls) == 2:
            raise MetricUnavailable("no weights")
        return 0.5

    monkeypatch.setitem(METRICS, "lpips_alex", second_fails)
    config = EvalConfig(metrics=["psnr", "lpips_alex"])
    result = evaluate({"m": noisy_model(views, 0.1)}, views, tmp_path, config)["m"]
    assert result["lpips_alex"] is None
    assert result["unavailable"]["lpips_alex"] == "no weights"
    assert result["unavailable"]["ssim"] == "not in eval.metrics"
    assert all(list(view) == ["psnr"] for view in result["views"].values())
    assert len(calls) == 2  # not tried again


def test_evaluating_again(tmp_path: Path) -> None:
    views = make_views(2)
    evaluate({"teacher": noisy_model(views, 0.1), "ios": noisy_model(views, 0.1)}, views, tmp_path, QUICK)
    added = evaluate({"student": noisy_model(views, 0.2)}, views, tmp_path, QUICK, keep_others=True)
    assert list(added) == ["teacher", "ios", "student"]
    again = evaluate({"teacher": noisy_model(views, 0.1)}, views.select([1]), tmp_path, QUICK)
    assert list(again) == ["teacher"]
    left = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert left == ["ground_truth/r_1.png", "metrics.json", "teacher/r_1.png"]


def test_a_failing_model_leaves_what_was_there(tmp_path: Path) -> None:
    views = make_views(2)
    before = evaluate({"student": noisy_model(views, 0.1)}, views, tmp_path, QUICK)

    def diverged(c2w: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
        return torch.full((views.height, views.width, 3), torch.nan)

    with pytest.raises(NelfError, match="student: the picture of view r_0 holds NaN"):
        evaluate({"student": diverged}, views, tmp_path, QUICK)
    assert read_metrics(tmp_path) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ground_truth", "metrics.json", "student"]


def test_no_views(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="no test views"):
        evaluate({}, make_views(1).select([]), tmp_path, QUICK)


def test_metrics_that_are_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(NelfError, match="run `nelf eval`"):
        read_metrics(tmp_path)
    (tmp_path / "metrics.json").write_text('{"student": ')
    with pytest.raises(NelfError, match="damaged"):
        read_metrics(tmp_path)


def test_names_of_a_strangers_run_are_not_trusted(tmp_path: Path) -> None:
    """A model's name in `metrics.json` is a folder, which is removed once that model is no longer measured."""
    views, folder = make_views(1), tmp_path / "run" / "eval"
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "diary.txt").write_text("mine")
    result = evaluate({"student": noisy_model(views, 0.1)}, views, folder, QUICK)
    (folder / "stage.json").write_text("{}")
    names = "../../mine", str(mine), "..", ".", "", "a/../../../mine", "stage.json", "metrics.json", "ground_truth"
    for name in names:
        (folder / "metrics.json").write_text(json.dumps(result | {name: result["student"]}))
        assert list(evaluate({"student": noisy_model(views, 0.1)}, views, folder, QUICK)) == ["student"]
        assert (mine / "diary.txt").read_text() == "mine", name
        assert sorted(path.name for path in folder.iterdir()) == [
            "ground_truth", "metrics.json", "stage.json", "student"
        ], name  # fmt: skip


def damaged(key: str, value: object) -> str:
    """`metrics.json` with one value of its model changed."""
    model = {**dict.fromkeys(METRICS, 0.5), "views": {"r_0": {"psnr": 0.5}}, "unavailable": {}, "seconds_per_view": 1.0}
    return json.dumps({"student": model | {key: value}})


def test_an_undamaged_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(damaged("ssim", None))
    assert list(read_metrics(tmp_path)) == ["student"]


@pytest.mark.parametrize(
    "text",
    [
        "[]", "{}", "null", '{"student": {}}', '{"student": []}', "[" * 100_000, damaged("views", {}),
        damaged("views", {"../../x": {"psnr": 1}}), damaged("views", {"r_0": {}}), damaged("psnr", None),
        damaged("views", {"r_0": {"psnr": float("nan")}}), damaged("psnr", 10**400), damaged("flip", "x"),
        damaged("unavailable", []), damaged("unavailable", {"lpips_a-ex": "x"}),
        damaged("views", {"r_0": {"psnr": 1, "x": 2}}),
        damaged("seconds_per_view", None), damaged("seconds_per_view", -1),
        damaged("views", {"\ud83e": {"psnr": 1}}), damaged("views", {"x" * 300: {"psnr": 1}}),
    ],
)  # fmt: skip
def test_what_is_no_evaluation_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(NelfError, match=r"metrics\.json is damaged .*; run `nelf eval` again") as caught:
        read_metrics(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": ["psnr", "lpip"]}, "lpip is not known; use a list, each one of psnr"),
        ({"report_views": 0}, "eval.report_views=0"),
        ({"video_seconds": -1.0}, "eval.video_seconds=-1"),
        ({"video_fps": 0}, "eval.video_fps=0"),
    ],
)
def test_config_refuses(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvalConfig(**settings)
