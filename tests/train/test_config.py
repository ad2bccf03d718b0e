"""Training settings and learning rate schedules."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from nelf.core.errors import ConfigError
from nelf.train import LOSSES, OPTIMIZERS, FinetuneConfig, TrainConfig, config
from nelf.train.config import Budget, LearningRate


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adamm"}, r"train\.optimizer=adamm is not known; use one of adamw, adam, sgd"),
        ({"loss": "l3"}, r"train\.loss=l3 is not known; use one of mse, l1, charbonnier"),
        ({"schedule": "step"}, r"train\.schedule=step is not known; use one of constant, cosine, exponential"),
        ({"max_steps": None}, r"train\.max_steps and train\.max_minutes are both null; set one of them"),
        ({"max_minutes": -1.0}, r"train\.max_minutes=-1 is too small; use a number above 0"),
        ({"max_steps": 0}, r"train\.max_steps=0 is too small; use a whole number from 1"),
        ({"batch_size": 0}, r"train\.batch_size=0 is too small"),
        ({"lr": 0.0}, r"train\.lr=0 is too small; use a number above 0"),
        ({"warmup_lr": 1.0}, r"train\.warmup_lr=1\.0 must be at most train\.lr"),
        ({"depth_loss_weight": -1.0}, r"train\.depth_loss_weight=-1 is too small"),
        ({"ema_decay": 1.0}, r"train\.ema_decay=1 is too large; use a number from 0 to below 1; 0 turns it off"),
        ({"checkpoint_seconds": 0.0}, r"train\.checkpoint_seconds=0 is too small; use a number above 0"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_steps": None}, r"train\.finetune\.max_steps and train\.finetune\.max_minutes are both null"),
        ({"patience": 0}, r"train\.finetune\.patience=0 is too small"),
        (
            {"pseudo_fraction": 1.0},
            r"train\.finetune\.pseudo_fraction=1 is too large; .*enabled=false",
        ),
    ],
)
def test_finetune_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FinetuneConfig(**changes)


def test_the_names_are_those_of_the_implementations() -> None:
    """The configuration repeats the names, since it is checked before PyTorch is loaded."""
    assert set(config.OPTIMIZERS) == set(OPTIMIZERS)
    assert set(config.LOSSES) == set(LOSSES)


def test_is_a_structured_config() -> None:
    loaded = OmegaConf.merge(OmegaConf.structured(TrainConfig), {"max_steps": 5, "finetune": {"lr": 0.1}})
    config = OmegaConf.to_object(loaded)
    assert config == TrainConfig(max_steps=5, finetune=FinetuneConfig(lr=0.1))


def test_budget() -> None:
    assert Budget(100, None).fraction(25, 1e9) == 0.25
    assert Budget(None, 2.0).fraction(10**9, 30.0) == 0.25
    both = Budget(100, 2.0)
    assert both.fraction(50, 30.0) == 0.5
    assert both.fraction(10, 60.0) == 0.5
    assert both.fraction(0, 120.0) >= 1


def test_cosine_ends_at_zero_by_steps_and_by_time() -> None:
    rate = LearningRate("cosine", 2.0, 0.0, 10, 1)
    assert rate.at(0, 0.0) == 0
    assert rate.at(5, 0.0) == 1
    assert rate.at(10, 0.0) == 2
    assert rate.at(50, 0.5) == pytest.approx(1)
    assert rate.at(100, 1.0) == pytest.approx(0)
    assert rate.at(100, 1.1) == pytest.approx(0)  # a step that began just before the time was over


def test_trapezoid_stays_at_the_peak_and_ends_at_zero() -> None:
    rate = LearningRate("trapezoid", 2.0, 0.0, 10, 1)
    assert rate.at(10, 0.0) == 2
    assert rate.at(50, 0.75) == 2
    assert rate.at(60, 0.875) == pytest.approx(1)
    assert rate.at(100, 1.1) == pytest.approx(0)
