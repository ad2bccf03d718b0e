"""Device settings against what the machine has."""

from typing import Any

import pytest
import torch

from nelf.core.devices import DeviceConfig, best_accelerator, check_gpus, fast_precision, make_fabric
from nelf.core.errors import ConfigError


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
    monkeypatch.setattr("nelf.core.devices.multiplies_bfloat16", lambda: native)
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
    """Fabric's own plugin would round rays to eight bits before the network."""
    fabric = make_fabric(DeviceConfig(accelerator="cpu", precision="bf16-mixed"))
    given = torch.tensor([[1.0009765625]])
    assert torch.equal(fabric.setup(torch.nn.Identity())(given), given)


def test_a_machine_without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert best_accelerator() == "cpu"
    with pytest.raises(ConfigError, match=r"this machine has 0 cuda devices; use .*device\.accelerator=cpu"):
        make_fabric(DeviceConfig(accelerator="cuda"))
    with pytest.raises(ConfigError, match=r"device\.precision=16-mixed needs a GPU, and none was found"):
        make_fabric(DeviceConfig(precision="16-mixed"))


def test_several_processes_train_in_parallel() -> None:
    fabric = make_fabric(DeviceConfig(accelerator="cpu", devices=2))
    assert type(fabric.strategy).__name__ == "DDPStrategy"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretend that the machine has GPUs with these names and capabilities, and torch has kernels for some of them."""

    def put_in(*found: tuple[str, tuple[int, int]], made_for: tuple[str, ...] = ("sm_75", "sm_80", "sm_120")) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(found))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda i=0: found[i][0])
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i=0: found[i][1])
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: list(made_for))
        monkeypatch.setattr(torch.version, "cuda", "13.0")

    return put_in


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((9, 0), "bf16-mixed"), ((8, 6), "bf16-mixed"), ((7, 5), "16-mixed"), ((6, 1), "32-true")],
)
def test_a_gpu_computes_in_what_it_is_fast_at(capability: tuple[int, int], expected: str, gpus: Any) -> None:
    gpus(("GPU", capability))
    assert fast_precision("cuda") == expected
    assert fast_precision("mps") == "32-true"


def test_gpus_that_torch_has_kernels_for(gpus: Any) -> None:
    gpus(("RTX 4090", (8, 9)), ("RTX 4090", (8, 9)))
    check_gpus(2)
    gpus(("Tesla V100", (7, 0)))
    with pytest.raises(
        ConfigError, match=r"no kernels for Tesla V100, .*7\.0; install torch for CUDA 12\.6, or use .*cpu"
    ):
        make_fabric(DeviceConfig(accelerator="cuda"))
    gpus(("RTX 4090", (8, 9)), ("RTX 2060", (7, 5)))
    with pytest.raises(ConfigError, match=r"different kinds \(RTX 4090, RTX 2060\).*CUDA_VISIBLE_DEVICES"):
        make_fabric(DeviceConfig(accelerator="cuda", devices=2))


def test_a_driver_that_is_too_old_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nPlease update")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", refuse)
    with pytest.raises(ConfigError, match=r"driver is older than CUDA 13\.0.*update the driver") as refused:
        make_fabric(DeviceConfig(accelerator="cuda"))
    assert "\n" not in str(refused.value)


def test_a_torch_without_cuda_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(ConfigError, match="this torch is built without CUDA; install torch with CUDA"):
        make_fabric(DeviceConfig(accelerator="cuda"))


def test_a_mac_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr("nelf.core.devices.mps_has_bfloat16", lambda: False)
    with pytest.raises(ConfigError, match=r"device\.precision=bf16-mixed needs macOS 14"):
        make_fabric(DeviceConfig(accelerator="mps", precision="bf16-mixed"))
