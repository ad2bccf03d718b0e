"""What `nelf fit` takes from a run, without a run: views for training and for scores, and tables made elsewhere."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nelf.core.errors import BenchError
from nelf.core.progress import Stop
from nelf.fit import Budget
from nelf.pipeline import fit_stage
from nelf.pipeline.fit_stage import SCORED, Fitting, Plan, table_file
from nelf.pipeline.run import Run
from nelf.train import TrainConfig
from tests.fit.devices import networks, space
from tests.fit.test_latency import table
from tests.student.small import small_config
from tests.train.tiny import student, views


class PretendRun(Run):
    """A run without a folder. val: its validation views."""

    def __init__(self, val: int) -> None:
        self.config: Any = SimpleNamespace(student=small_config(), train=TrainConfig(batch_size=2))
        self.scene: Any = SimpleNamespace(val=views(val, seed=1) if val else views(2).select([]))
        self.__dict__["fabric"] = SimpleNamespace(device=torch.device("cpu"))


def fitting(monkeypatch: pytest.MonkeyPatch, pseudo: int, val: int = 2) -> Fitting:
    monkeypatch.setattr(fit_stage, "pseudo_scene", lambda run: SimpleNamespace(train=views(pseudo)))
    monkeypatch.setattr(fit_stage, "new_student", lambda run, pseudo: student())
    return Fitting(PretendRun(val), Stop(), "fp32")


@pytest.mark.parametrize("pseudo", [2, 20, 45])
def test_scored_views_are_not_learnt(monkeypatch: pytest.MonkeyPatch, pseudo: int) -> None:
    found = fitting(monkeypatch, pseudo)
    learnt, scored = set(found.learnt.names), set(found.scored.views.names)
    assert not learnt & scored
    assert len(learnt) + len(scored) == pseudo
    assert len(scored) == max(1, pseudo // 10) <= SCORED


def test_the_score_is_a_mean_of_pseudo_and_validation_views(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {20: 30.0, 2: 20.0}
    monkeypatch.setattr(fit_stage, "validate", lambda model, seen, batch: (values[len(seen)], None))
    both, alone = fitting(monkeypatch, 200), fitting(monkeypatch, 200, val=0)
    assert both.psnr(student()) == 25.0
    assert alone.psnr(student()) == 30.0


def test_losses_are_those_of_the_scored_views(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = list(fitting(monkeypatch, 45).losses(student()))
    assert len(losses) == 2, "four views, two a batch"
    assert all(loss.requires_grad and loss > 0 for loss in losses)


def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int) -> Any:
    of = space()
    path = tmp_path / "phone.json"
    table(of, networks=networks(of)[:count]).write(path)
    found = fitting(monkeypatch, 20)
    found.space = of
    return fit_stage._measured(found, Plan(Budget.parse("2ms"), None, path, 1.0, "x", "fp32", 0))


def test_a_table_made_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bench, found = elsewhere(monkeypatch, tmp_path, 36)
    assert bench is None
    assert found.complete


def test_half_a_table_made_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"phone\.json holds 12 of 36 networks; finish it where it was begun"):
        elsewhere(monkeypatch, tmp_path, 12)


def test_every_device_has_its_file() -> None:
    files = {
        table_file(Path("run"), asked)
        for asked in (["host", "fp32"], ["host", 2, "fp32"], ["host", "fp16"], ["adb", "fp32"], ["adb:1A", "fp32"])
    }
    assert len(files) == 5
    assert Path("run/fit/tables/adb-1A-fp32.json") in files
