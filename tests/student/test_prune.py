"""Pruning: the criterion, and that what carries nothing can be removed without a change."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from nelf.core.errors import ConfigError
from nelf.student import Layout, Student
from nelf.student.config import HierarchicalConfig, StudentConfig
from nelf.student.hierarchical import Hierarchical
from nelf.student.hierarchical.channels import CHANNELS, SAMPLES, WIDTHS
from nelf.student.prune import ChannelGroup, choose, groups_of, importance, shrink
from tests.student.frames import cameras, frame
from tests.student.small import small_student, with_contrast

WIDE = {
    "points_per_ray": 3,
    **dict.fromkeys(WIDTHS, 12),
    **dict.fromkeys(CHANNELS, 4),
    "middle_samples": 3,
    "fine_samples": 3,
}
"""Sizes of which each can shrink."""
STEP = 0.003  # larger ones cross the kinks of linear interpolation


def network(**changes: Any) -> Hierarchical:
    model = with_contrast(small_student(frame(size=(16, 24)), **{**WIDE, **changes}), cameras(2, seed=7))
    assert isinstance(model, Hierarchical)
    return model


def losses(model: Student, count: int = 1) -> Iterator[Tensor]:
    for number in range(count):
        image = model(cameras(2, seed=number)).double()  # so that small changes show
        yield (image - 0.3).square().mean()


def width_of_everything(config: StudentConfig) -> float:
    return float(sum(getattr(config, name) for name in (*WIDTHS, *CHANNELS, *SAMPLES)))


@torch.no_grad()
def silence(model: Hierarchical, group: ChannelGroup, smaller: StudentConfig) -> None:
    """Set to zero the weights of as many channels as `smaller` has no room for."""
    parameters = dict(model.named_parameters())
    total = len(group.slots[0].positions)
    left = group.number(smaller)
    gone = (
        [*range((total - left) // 2), *range(total - (total - left) // 2, total)]
        if group.centred
        else [*range(total - left)]
    )
    for slots in group.slots:
        if slots.counts:
            parameters[slots.parameter].movedim(slots.axis, 0)[slots.positions[gone].flatten()] = 0.0


@pytest.mark.parametrize("cell", [1, 2])
@pytest.mark.parametrize("reader", ["planes", "volume", "lines"])
def test_channels_that_carry_nothing_go_without_a_change(reader: str, cell: int) -> None:
    readers = {f"{level}_reader": reader for level in ("coarse", "middle", "fine")}
    model = network(**readers, cell=cell, blocks=2, decoder_blocks=2, middle_blocks=2)
    smaller = model.config
    for name in (*WIDTHS, *CHANNELS, *SAMPLES):
        smaller = model.smaller_configs(smaller)[name]  # type: ignore[assignment]
    for group in model.channel_groups():
        silence(model, group, smaller)
    pruned = shrink(model, importance(model, losses(model)), smaller)
    with torch.no_grad():
        before, after = model(cameras(2, seed=3)), pruned(cameras(2, seed=3))
    assert before.std() > 0.01, "a flat image proves nothing"
    assert (before - after).abs().max() < 1e-5
    assert pruned.config == smaller
    assert pruned.deploy(Layout.CHANNELS_LAST, torch.float32) is not None


@pytest.mark.parametrize("decoder_blocks", [0, 1])
def test_importance_is_the_square_of_the_change_of_the_loss(decoder_blocks: int) -> None:
    """The derivative by a factor on the weights of a channel, measured by small steps to both sides."""
    model = network(decoder_blocks=decoder_blocks)
    scores = importance(model, losses(model))
    parameters = dict(model.named_parameters())
    for group, score in zip(model.channel_groups(), scores, strict=True):
        channel = int(score.argmax())
        weights = [
            (parameters[s.parameter].detach().movedim(s.axis, 0), s.positions[channel]) for s in group.slots if s.counts
        ]
        kept = [values[place].clone() for values, place in weights]
        sides = []
        for factor in (1 + STEP, 1 - STEP):
            for (values, place), before in zip(weights, kept, strict=True):
                values[place] = factor * before
            sides.append(next(losses(model)).item())
        for (values, place), before in zip(weights, kept, strict=True):
            values[place] = before
        change = abs(sides[0] - sides[1]) / (2 * STEP)
        # float32 carries a loss of about 0.1 to 1e-8, so a derivative to some 1e-6.
        assert change == pytest.approx(float(score[channel].sqrt()), rel=0.05, abs=3e-6)
        assert score[channel] > 0


def test_importance_is_a_mean_over_batches() -> None:
    model = network()
    alone = [importance(model, [loss]) for loss in losses(model, 2)]
    for together, first, second in zip(importance(model, losses(model, 2)), *alone, strict=True):
        torch.testing.assert_close(together, (first + second) / 2)


def test_the_cheapest_loss_goes_first_until_the_limit_is_kept() -> None:
    model = network()
    scores = [torch.ones_like(score) for score in importance(model, losses(model))]
    for group, score in zip(model.channel_groups(), scores, strict=True):
        if group.setting == "decoder_width":
            score.zero_()
    limit = width_of_everything(model.config) - 4
    chosen = choose(model, scores, width_of_everything, limit)
    assert chosen == dataclasses.replace(model.config, decoder_width=model.config.decoder_width - 4)
    assert choose(model, scores, width_of_everything, 1e9) == model.config


def test_a_limit_below_the_smallest_is_refused() -> None:
    model = network()
    scores = importance(model, losses(model))
    with pytest.raises(ConfigError, match=r"pruning ends at a cost of .*, above the limit of 3; raise the budget"):
        choose(model, scores, width_of_everything, 3.0)


def test_samples_that_stay_do_not_move() -> None:
    config = HierarchicalConfig(fine_samples=5, fine_spread=0.02, middle_samples=3)
    model = network(**dataclasses.asdict(config) | {**WIDE, "fine_samples": 5})
    smaller = model.smaller_configs(model.config)["fine_samples"]
    pruned = shrink(model, importance(model, losses(model)), smaller)
    assert isinstance(pruned, Hierarchical)
    torch.testing.assert_close(pruned.fine_offsets, model.fine_offsets[1:-1])


def test_other_families_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be pruned; use a run with student=s, m or l"):
        groups_of(small_student(frame(size=(16, 24)), "mobiler2l"))


def test_without_views_there_is_no_ranking() -> None:
    with pytest.raises(ConfigError, match="nelf distill RUN"):
        importance(network(), [])
