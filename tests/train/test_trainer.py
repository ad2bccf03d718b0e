"""Steps without a finite gradient."""

import dataclasses
import shutil
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from nelf.core.devices import DeviceConfig, make_fabric
from nelf.core.errors import NelfError
from nelf.core.optimization import BAD_STEPS
from nelf.student.mobiler2l import MobileR2L
from nelf.train import trainer as learner_module
from nelf.train.batches import Batch, CachedViews, MemoryBudget
from nelf.train.losses import image_loss
from nelf.train.trainer import StudentTrainer
from tests.scenes import CAMERA_DISTANCE
from tests.train import tiny


class Fault:
    """Replaces `image_loss`; returns NaN while `active`."""

    def __init__(self) -> None:
        self.active = False
        self.calls = 0

    def __call__(self, name: str, predicted: Tensor, truth: Tensor) -> Tensor:
        self.calls += 1
        return image_loss(name, predicted, truth) * (float("nan") if self.active else 1.0)


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Fault:
    fault = Fault()
    monkeypatch.setattr(learner_module, "image_loss", fault)
    return fault


def make_learner(**changes: object) -> StudentTrainer:
    return StudentTrainer(tiny.student(), tiny.config(**changes), make_fabric(DeviceConfig(accelerator="cpu")))


def batch() -> Batch:
    return CachedViews(tiny.views(4), 4, MemoryBudget(1.0)).batch(range(4))


def weights(learner: StudentTrainer) -> list[Tensor]:
    return [v.clone() for v in (*learner.model.state_dict().values(), *learner.average.model().state_dict().values())]


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_bad_step_changes_nothing(fault: Fault) -> None:
    learner = make_learner()
    assert learner.step(batch(), 1e-3, (0,)) is not None
    before = weights(learner)
    fault.active = True
    assert learner.step(batch(), 1e-3, (1,)) is None
    assert equal(before, weights(learner))
    fault.active = False
    assert learner.step(batch(), 1e-3, (2,)) is not None
    assert not equal(before, weights(learner))
    assert learner.guard.rate_factor == 1


def test_many_bad_steps_go_back_with_half_the_rate(fault: Fault, capsys: pytest.CaptureFixture[str]) -> None:
    learner = make_learner()
    start = weights(learner)
    for step in range(3):
        learner.step(batch(), 1e-3, (step,))
    fault.active = True
    for step in range(BAD_STEPS):
        assert not equal(start, weights(learner))
        learner.step(batch(), 1e-3, (step,))
    assert equal(start, weights(learner))  # the last snapshot: steps are fewer than SNAPSHOT_EVERY
    assert learner.guard.rate_factor == 0.5
    assert f"no finite gradient in the last {BAD_STEPS} steps" in capsys.readouterr().out
    fault.active = False
    learner.step(batch(), 1e-3, (0,))
    assert learner.optimizer.param_groups[0]["lr"] == 0.5e-3


def late(learner: StudentTrainer, every: int) -> StudentTrainer:
    """As on an accelerator: a step's values are read late."""
    learner.readings.every = every
    return learner


def test_without_waiting_it_learns_the_same() -> None:
    """Except for rounding: gradients are clipped in one product."""
    here, there = make_learner(grad_clip=0.1), late(make_learner(grad_clip=0.1), 3)
    for number in range(7):
        assert here.step(batch(), 1e-3, (number,)) is not None
        assert there.step(batch(), 1e-3, (number,)) is not None
    for one, other in zip(weights(here), weights(there), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_bad_steps_that_are_known_late(fault: Fault, capsys: pytest.CaptureFixture[str]) -> None:
    """Their gradients count as zero; many in a row go back as usual."""
    learner = late(make_learner(), 4)
    for number in range(8):
        learner.step(batch(), 1e-3, (number,))
    fault.active = True
    for number in range(4 * BAD_STEPS):
        learner.step(batch(), 1e-3, (number,))
        assert all(bool(value.isfinite().all()) for value in weights(learner))
        if learner.guard.rate_factor < 1:
            break
    assert BAD_STEPS <= number <= 2 * BAD_STEPS + 4
    assert "learning rate x 0.5" in capsys.readouterr().out
    assert learner.guard.steady


def test_spoilt_statistics_go_back_at_once(fault: Fault) -> None:
    network = tiny.student(family="mobiler2l")
    assert isinstance(network, MobileR2L)
    learner = StudentTrainer(network, tiny.config(), make_fabric(DeviceConfig(accelerator="cpu")))
    fault.active = True
    torch.nn.init.constant_(network.body.head[0].weight, float("inf"))
    learner.step(batch(), 1e-3, (0,))
    assert all(bool(v.isfinite().all()) for v in weights(learner))


def test_divergence_ends_with_advice(fault: Fault) -> None:
    learner = make_learner()
    fault.active = True
    views = batch()
    with pytest.raises(NelfError, match=r"training diverges.*train\.lr"):
        deque(learner.step(views, 1e-3, (step,)) for step in range(1000))


@pytest.mark.slow
def test_training_survives_a_bad_spell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault) -> None:
    step = StudentTrainer.step

    def spell(self: StudentTrainer, *args: object, **kwargs: object) -> object:
        fault.active = 4 <= fault.calls < 4 + BAD_STEPS
        return step(self, *args, **kwargs)

    monkeypatch.setattr(StudentTrainer, "step", spell)
    model = tiny.run(tmp_path, max_steps=30)
    assert all(bool(v.isfinite().all()) for v in model.state_dict().values())
    assert fault.calls == 36


def test_depths_are_held_to_what_is_known() -> None:
    """Known depths far behind the student's pull it there; for unknown ones only colours count."""
    found = {}
    for known in (0.0, CAMERA_DISTANCE + 1):
        model = tiny.student()
        pixels = model.depth_pixels
        assert pixels is not None
        deep = dataclasses.replace(
            tiny.views(4), read_depth=lambda i, known=known: np.full((tiny.SIZE, tiny.SIZE), known, np.float32)
        )
        given = CachedViews(deep, 4, MemoryBudget(1.0), pixels).batch(range(4))
        assert given.depths is not None
        assert given.depths.shape[1:] == (len(pixels.rows), len(pixels.columns))
        learner = StudentTrainer(model, tiny.config(ema_decay=0.0), make_fabric(DeviceConfig(accelerator="cpu")))
        for step in range(60):
            learner.step(given, 5e-3, (step,))
        with torch.no_grad():
            depth = model.predict(model.prepare(given.c2w, given.intrinsics)).depth
        assert depth is not None
        found[known] = model.frame.depth_at(depth).mean(dim=(0, 2, 3))
    assert found[CAMERA_DISTANCE + 1].min() > CAMERA_DISTANCE + 0.7, "of every level"
    assert found[0.0].max() < CAMERA_DISTANCE + 0.5


def test_mixed_precision_does_not_round_the_poses() -> None:
    """bfloat16 poses would be wrong by per cents; the first loss must equal that of float32."""
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        fabric = make_fabric(DeviceConfig(accelerator="cpu", precision=precision))
        result = StudentTrainer(tiny.student(), tiny.config(), fabric).step(batch(), 1e-3, (0,))
        assert result is not None
        losses.append(float(result[0]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


def test_layout_changes_no_values() -> None:
    results = []
    for channels_last in (True, False):
        learner = make_learner(channels_last=channels_last)
        result = learner.step(batch(), 1e-3, (0,))
        assert result is not None
        results.append(float(result[0]))
    assert results[0] == pytest.approx(results[1], rel=1e-5)  # float32 sums in another order


def compiled_learns_the_same(family: str, accelerator: str) -> None:
    """device.compile=true computes the same, and checkpoints have the same names."""
    fabric = make_fabric(DeviceConfig(accelerator=accelerator, precision="32-true"))
    config = tiny.config(jitter_points=True)
    learners = [
        StudentTrainer(tiny.student(family=family), config, fabric, compiled=compiled) for compiled in (False, True)
    ]
    losses = []
    for learner in learners:
        found = learner.step(batch(), 5e-3, (0, 1, 0))
        assert found is not None
        losses.append(float(found[0]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    plain, compiled = ({name: p.grad for name, p in learner.model.named_parameters()} for learner in learners)
    assert plain.keys() == compiled.keys()
    for name, grad in plain.items():
        assert grad is not None
        # Sums in another order.
        assert torch.allclose(compiled[name], grad, rtol=1e-3, atol=1e-6 + 1e-4 * float(grad.abs().max())), name
    assert learners[0].state()["model"].keys() == learners[1].state()["model"].keys()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # of the compiler, none of ours
def test_compiled_it_learns_the_same() -> None:
    """The smallest family. Compiling the default one takes minutes on a CPU: tests/gpu does it."""
    compiled_learns_the_same("constant", "cpu")
