"""A metric that was unavailable is measured later, on the existing pictures."""

from pathlib import Path

import pytest
import torch

from nelf.core.files import write_json
from nelf.evaluate import METRICS, EvalConfig, MetricUnavailable, evaluate, fill_missing_metrics
from nelf.evaluate.metrics import psnr

from .views import make_views, noisy_model


def test_measured_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views, asked = make_views(2), EvalConfig(metrics=["psnr", "ssim", "lpips_alex"])
    reasons = ["the server is silent"]

    def lpips(picture: torch.Tensor, truth: torch.Tensor) -> float:
        if reasons:
            raise MetricUnavailable(reasons[0])
        return psnr(picture, truth) / 100

    monkeypatch.setitem(METRICS, "lpips_alex", lpips)
    models = {"student": noisy_model(views, 0.1), "ios": noisy_model(views, 0.2)}
    before = evaluate(models, views, tmp_path, asked)
    assert fill_missing_metrics(tmp_path, asked) is None  # silent still
    reasons[0] = "the file is damaged"
    told = fill_missing_metrics(tmp_path, asked)
    assert told is not None
    assert told["ios"]["unavailable"]["lpips_alex"] == "the file is damaged"
    reasons.clear()
    late = fill_missing_metrics(tmp_path, asked)
    assert late is not None
    anew = evaluate(models, views, tmp_path / "anew", asked)
    for model, result in late.items():
        anew[model]["seconds_per_view"] = result["seconds_per_view"]
    assert late == anew
    assert late != before
    assert late["ios"]["unavailable"].keys() == {"flip", "lpips_vgg"}  # not asked for
    write_json(tmp_path / "metrics.json", late)
    assert fill_missing_metrics(tmp_path, asked) is None
