"""On what a stage computes: device, number of processes, arithmetic."""

from dataclasses import dataclass

import torch
from lightning_fabric import Fabric

from nelf.errors import ConfigError

ACCELERATORS = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")


@dataclass
class DeviceConfig:
    """Where and in which precision to compute."""

    accelerator: str = "auto"
    """cpu, cuda or mps; auto takes the best that is there."""
    devices: int = 1
    """Devices used on each machine; more than one trains in parallel (DDP)."""
    num_nodes: int = 1
    """Machines that train together."""
    precision: str = "32-true"
    """32-true, or mixed: bf16-mixed, 16-mixed (GPU only)."""
    threads: int | None = None
    """CPU threads for PyTorch; null leaves it to PyTorch (OMP_NUM_THREADS)."""
    compile: bool = False
    """Compile networks with torch.compile: slower start, faster steps."""

    def __post_init__(self) -> None:
        for key, known in {"accelerator": ACCELERATORS, "precision": PRECISIONS}.items():
            if getattr(self, key) not in known:
                raise ConfigError(f"device.{key}={getattr(self, key)} is not known; use one of {', '.join(known)}")
        for key in ("devices", "num_nodes", "threads"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"device.{key}={value} is too small; use 1 or more")
        if self.precision == "16-mixed" and self.accelerator == "cpu":
            raise ConfigError("device.precision=16-mixed needs a GPU; use 32-true or bf16-mixed on the CPU")


def make_fabric(config: DeviceConfig) -> Fabric:
    """The Fabric for `config`, not yet launched. Raises ConfigError when this machine lacks what is asked for."""
    accelerator = best_accelerator() if config.accelerator == "auto" else config.accelerator
    count = {"cpu": config.devices, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if count[accelerator] < config.devices:
        raise ConfigError(
            f"device.accelerator={config.accelerator} device.devices={config.devices}: this machine has "
            f"{count[accelerator]} {accelerator} devices; use device.devices={max(1, count[accelerator])} "
            "or device.accelerator=cpu"
        )
    if config.precision == "16-mixed" and accelerator == "cpu":
        raise ConfigError("device.precision=16-mixed needs a GPU, and none was found; use 32-true or bf16-mixed")
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    return Fabric(
        accelerator=accelerator,
        strategy="ddp" if config.devices * config.num_nodes > 1 else "auto",
        devices=config.devices,
        num_nodes=config.num_nodes,
        precision=config.precision,
    )


def best_accelerator() -> str:
    """cuda, else mps, else cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
