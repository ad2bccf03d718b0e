"""Pruning in rounds with a made-up fine-tuning, and going on where it stopped."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nelf.core.errors import CheckpointError, ConfigError, Interrupted
from nelf.student import HierarchicalConfig, Student, StudentConfig, save_student
from nelf.student.hierarchical.channels import WIDTHS
from nelf.student.prune import check_start, prune_in_rounds
from tests.student.frames import cameras, frame
from tests.student.small import small_student

WIDE: dict[str, Any] = dict.fromkeys(WIDTHS, 24)


def wide() -> Student:
    return small_student(frame(size=(16, 24)), **WIDE)


def cost(config: StudentConfig) -> float:
    assert isinstance(config, HierarchicalConfig)
    return float(sum(getattr(config, name) for name in WIDTHS))


def losses(model: Student) -> Iterator[Tensor]:
    yield model(cameras(2, seed=0)).square().mean()


class Tuner:
    def __init__(self, stops_in: int | None = None) -> None:
        self.stops_in = stops_in
        self.costs: list[float] = []

    def __call__(self, model: Student, folder: Path, number: int) -> Student:
        if number == self.stops_in:
            raise Interrupted("stopped")
        self.costs.append(cost(model.config))
        return model


def prune(folder: Path, tune: Tuner, limit: float = 48.0, about: object = "this") -> Student:
    return prune_in_rounds(wide(), cost, limit, losses, tune, folder, about, lambda line: None)


def test_rounds_remove_equal_shares(tmp_path: Path) -> None:
    tune = Tuner()
    pruned = prune(tmp_path, tune)
    assert cost(pruned.config) == 48
    assert len(tune.costs) == 4
    for number, found in enumerate(tune.costs, 1):
        limit = 96 * 0.5 ** (number / 4)
        assert limit - 4 < found <= limit
    with torch.no_grad():
        assert pruned(cameras(1, seed=1)).shape == (1, 3, 16, 24)


def test_finished_rounds_are_not_done_again(tmp_path: Path) -> None:
    whole = prune(tmp_path / "whole", Tuner())
    with pytest.raises(Interrupted):
        prune(tmp_path / "cut", Tuner(stops_in=3))
    rest = Tuner()
    pruned = prune(tmp_path / "cut", rest)
    assert len(rest.costs) == 2
    for name, value in whole.state_dict().items():
        assert torch.equal(value, pruned.state_dict()[name])


def test_other_work_begins_anew(tmp_path: Path) -> None:
    prune(tmp_path, Tuner())
    again = Tuner()
    prune(tmp_path, again, about="that")
    assert len(again.costs) == 4


def test_a_limit_too_low_is_refused_before_any_training(tmp_path: Path) -> None:
    tune = Tuner()
    with pytest.raises(ConfigError, match="pruning ends at a cost of 32, above the limit of 3"):
        prune(tmp_path, tune, limit=3.0)
    assert not tune.costs


def test_a_limit_that_is_kept_already_prunes_nothing(tmp_path: Path) -> None:
    assert prune(tmp_path, Tuner(), limit=1000.0).config == wide().config


def test_without_a_student_there_is_nothing_to_prune(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="train it first: nelf train RUN"):
        check_start(tmp_path / "student.safetensors")
    save_student(tmp_path / "student.safetensors", wide())
    assert check_start(tmp_path / "student.safetensors").config == wide().config
