"""What a user may say about the device, the number of processes and the arithmetic."""

from dataclasses import dataclass

from nelf.core.settings import OneOf, Range, check, setting
from nelf.errors import ConfigError

ACCELERATORS = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


@dataclass
class DeviceConfig:
    """Where and in which precision to compute."""

    accelerator: str = setting("auto", OneOf(ACCELERATORS))
    """cpu, cuda or mps; auto takes the best that is there."""
    devices: int = setting(1, Range(1, 1024))
    """Devices used on each machine, one process each; more than one trains in parallel (DDP). Under torchrun, what
    torchrun says."""
    num_nodes: int = setting(1, Range(1, 1024))
    """Machines that train together; each starts the same command. Under torchrun, what torchrun says."""
    precision: str = setting("auto", OneOf(PRECISIONS))
    """Of the student's training and of pseudo views (teachers train in float32): 32-true, or mixed: bf16-mixed,
    16-mixed (GPU only). auto: bf16-mixed on a CPU that multiplies bfloat16 itself (AVX512_BF16, AMX) and on NVIDIA GPUs
    from compute capability 8.0, 16-mixed on 7.0 and 7.5, else 32-true."""
    threads: int | None = setting(None, Range(1, 1024))
    """CPU threads for PyTorch; null leaves it to PyTorch (OMP_NUM_THREADS)."""
    compile: bool = False
    """Compile networks with torch.compile: slower start, faster steps."""

    def __post_init__(self) -> None:
        check(self, "device")
        if self.precision == "16-mixed" and self.accelerator == "cpu":
            raise ConfigError("device.precision=16-mixed needs a GPU; use 32-true or bf16-mixed on the CPU")
