"""What a machine is asked for, and what it has."""

from typing import Any

import pytest
import torch

from nelf.devices import DeviceConfig, best_accelerator, make_fabric
from nelf.errors import ConfigError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accelerator": "tpu"}, r"device\.accelerator=tpu is not known; use one of auto, cpu, cuda, mps"),
        (
            {"precision": "8-true"},
            r"device\.precision=8-true is not known; use one of auto, 32-true, bf16-mixed, 16-mixed",
        ),
        ({"devices": 0}, r"device\.devices=0 is too small"),
        ({"threads": 0}, r"device\.threads=0 is too small"),
        ({"accelerator": "cpu", "precision": "16-mixed"}, "needs a GPU"),
    ],
)
def test_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DeviceConfig(**changes)


def test_cpu() -> None:
    threads = torch.get_num_threads()
    try:
        fabric = make_fabric(DeviceConfig(accelerator="cpu", threads=1))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    assert fabric.device == torch.device("cpu")
    assert fabric.world_size == 1


@pytest.mark.parametrize("native", [False, True])
def test_bfloat16_is_used_where_a_cpu_has_it(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nelf.devices.multiplies_bfloat16", lambda: native)
    x = torch.ones(1, 1)
    for precision, expected in (
        ("auto", torch.bfloat16 if native else torch.float32),
        ("32-true", torch.float32),
        ("bf16-mixed", torch.bfloat16),
    ):
        fabric = make_fabric(DeviceConfig(accelerator="cpu", precision=precision))
        with fabric.autocast():
            assert (x @ x).dtype == expected


def test_mixed_precision_hands_over_what_it_is_given() -> None:
    """Fabric's own plugin would round rays to eight bits before a network sees them."""
    fabric = make_fabric(DeviceConfig(accelerator="cpu", precision="bf16-mixed"))
    given = torch.tensor([[1.0009765625]])
    assert torch.equal(fabric.setup(torch.nn.Identity())(given), given)


def test_a_machine_without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert best_accelerator() == "cpu"
    with pytest.raises(ConfigError, match=r"this machine has 0 cuda devices; use .*device\.accelerator=cpu"):
        make_fabric(DeviceConfig(accelerator="cuda"))
    with pytest.raises(ConfigError, match=r"device\.precision=16-mixed needs a GPU, and none was found"):
        make_fabric(DeviceConfig(precision="16-mixed"))


def test_several_processes_train_in_parallel() -> None:
    fabric = make_fabric(DeviceConfig(accelerator="cpu", devices=2))
    assert type(fabric.strategy).__name__ == "DDPStrategy"
