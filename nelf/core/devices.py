"""What a stage computes on: device, number of processes, arithmetic, and how fast this machine is."""

import contextlib
import datetime
import inspect
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from nelf.core.errors import ConfigError
from nelf.core.processes import available_memory, later_rank, usable_cores
from nelf.core.progress import Stop
from nelf.core.settings import DeviceConfig as DeviceConfig

FUSED = ("cpu", "cuda", "mps")
"""Devices on which PyTorch's Adam updates all weights with one kernel."""
# Processes wait for hours while one renders or writes. Who started a process notices when it dies.
PATIENCE = datetime.timedelta(days=2)
# The argument's name before and after PyTorch 2.14.
BUFFERS = "forward_sync_buffers"
if BUFFERS not in inspect.signature(DistributedDataParallel).parameters:
    BUFFERS = "broadcast_buffers"


class Autocast(MixedPrecision):
    """Mixed precision that leaves inputs in float32. Fabric's plugin would round ray origins and directions as well,
    which need all their digits."""

    def convert_input(self, data: Any) -> Any:
        return data


def exact(device: torch.device) -> torch.autocast:
    """Context that keeps matrix products on `device` in float32, even under autocast: for positions and lengths."""
    return torch.autocast(device.type, enabled=False)


@contextlib.contextmanager
def unscaled(fabric: Fabric) -> Iterator[None]:
    """`fabric` without the gradient scaler of 16-mixed: for training in float32 whatever device.precision says."""
    precision = fabric.strategy.precision
    scaler = getattr(precision, "scaler", None)
    if scaler is not None:
        precision.scaler = None
    try:
        yield
    finally:
        if scaler is not None:
            precision.scaler = scaler


def fits(device: torch.device, size: int) -> bool:
    """Whether `size` bytes may stay on `device`: at most half of what is free there."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
    elif device.type == "mps":
        free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    else:
        return True
    return size <= free // 2


def reduced_type(fabric: Fabric) -> torch.dtype | None:
    """Type of `fabric`'s matrix products; None for float32."""
    precision = fabric.strategy.precision
    return precision.forward_context().fast_dtype if isinstance(precision, Autocast) else None


def multiplies_bfloat16() -> bool:
    """Whether this CPU has bfloat16 instructions. Without them bfloat16 is slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def fast_precision(accelerator: str) -> str:
    """What device.precision=auto means on this machine. On a Mac it is float32: nothing else was measured."""
    if accelerator == "cuda":
        capability = torch.cuda.get_device_capability()
        return "bf16-mixed" if capability >= (8, 0) else "16-mixed" if capability >= (7, 0) else "32-true"
    return "bf16-mixed" if accelerator == "cpu" and multiplies_bfloat16() else "32-true"


def mps_has_bfloat16() -> bool:
    """Whether this Mac supports bfloat16."""
    try:
        torch.zeros(1, dtype=torch.bfloat16, device="mps")
    except (TypeError, RuntimeError):
        return False
    return True


def cuda_problem() -> str | None:
    """Why this PyTorch finds no GPU, and what to do; None when it finds one."""
    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        return (
            "this torch is built without CUDA; install torch with CUDA as https://pytorch.org says, or use "
            "device.accelerator=cpu"
        )
    try:
        torch.cuda.init()
    except RuntimeError as error:
        said = " ".join(str(error).split())
        if "driver" in said and "too old" in said:
            return (
                f"the NVIDIA driver is older than CUDA {torch.version.cuda}, which this torch needs; update the "
                "driver, install torch for an older CUDA, or use device.accelerator=cpu"
            )
    return None


def check_gpus(count: int) -> None:
    """Raise ConfigError unless this torch computes on the first `count` GPUs and they are of one kind."""
    capabilities = [torch.cuda.get_device_capability(i) for i in range(count)]
    names = [torch.cuda.get_device_name(i) for i in range(count)]
    for name, (major, minor) in zip(names, capabilities, strict=True) if torch.version.hip is None else ():
        made_for = [architecture.rstrip("af").split("_") for architecture in torch.cuda.get_arch_list()]
        # Machine code (sm) runs on later GPUs of the same major version; PTX (compute) on all later ones.
        if not any(
            (int(made) <= 10 * major + minor and (kind == "compute" or made[:-1] == str(major)))
            for kind, made in made_for
        ):
            raise ConfigError(
                f"device.accelerator=cuda: this torch (CUDA {torch.version.cuda}) has no kernels for {name}, compute "
                f"capability {major}.{minor}; install torch for CUDA 12.6, or use device.accelerator=cpu"
            )
    if len(set(names)) > 1:
        raise ConfigError(
            f"device.devices={count}: the GPUs are of different kinds ({', '.join(names)}), and the fastest would wait "
            "for the slowest; choose equal ones with CUDA_VISIBLE_DEVICES, or use device.devices=1"
        )


def make_fabric(config: DeviceConfig) -> Fabric:
    """The Fabric for `config`, not yet launched. Raises ConfigError when this machine lacks what you ask for."""
    accelerator = accelerator_of(config)
    devices, num_nodes = processes(config)
    count = {"cpu": devices, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if accelerator == "cuda" and (problem := cuda_problem()) is not None:
        raise ConfigError(f"device.accelerator=cuda: {problem}")
    if count[accelerator] < devices:
        raise ConfigError(
            f"device.accelerator={config.accelerator} device.devices={devices}: this machine has "
            f"{count[accelerator]} {accelerator} devices; use device.devices={max(1, count[accelerator])} "
            "or device.accelerator=cpu"
        )
    if config.precision == "16-mixed" and accelerator == "cpu":
        raise ConfigError("device.precision=16-mixed needs a GPU, and none was found; use 32-true or bf16-mixed")
    if accelerator == "cuda":
        check_gpus(devices)
    precision = fast_precision(accelerator) if config.precision == "auto" else config.precision
    if precision == "bf16-mixed" and accelerator == "mps" and not mps_has_bfloat16():
        raise ConfigError(
            "device.precision=bf16-mixed needs macOS 14 or newer on this Mac; use 32-true or 16-mixed, or update macOS"
        )
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    several = devices * num_nodes > 1
    try:
        fabric = Fabric(
            accelerator=accelerator,
            # Buffers need no broadcast: all processes compute the same ones, or average them (BatchNorm on the CPU).
            strategy=DDPStrategy(timeout=PATIENCE, **{BUFFERS: False}) if several else "auto",
            devices=devices,
            num_nodes=num_nodes,
            plugins=Autocast(precision, accelerator) if precision in ("bf16-mixed", "16-mixed") else None,
        )
        if several:
            fabric.strategy.cluster_environment.validate_settings(num_devices=devices, num_nodes=num_nodes)
    except (RuntimeError, ValueError) as error:
        if "SLURM" not in str(error):
            raise
        said = " ".join(str(error).split())
        raise ConfigError(
            f"device.devices={devices} device.num_nodes={num_nodes} does not match SLURM: {said}"
        ) from error
    return fabric


def processes(config: DeviceConfig) -> tuple[int, int]:
    """Processes on each machine, and machines: torchrun's numbers if it started this process, else the configured ones.

    Raises ConfigError when both are set and differ.
    """
    if not torch.distributed.is_torchelastic_launched():
        return config.devices, config.num_nodes
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if everywhere % here:
        raise ConfigError(f"torchrun started {here} of {everywhere} processes here; start as many on every machine")
    found = {"devices": here, "num_nodes": everywhere // here}
    for key, value in found.items():
        if getattr(config, key) not in (1, value):
            raise ConfigError(
                f"device.{key}={getattr(config, key)}, but torchrun started {value}; "
                f"leave device.{key} out, or start with that many"
            )
    return found["devices"], found["num_nodes"]


def check_rank(config: DeviceConfig) -> None:
    """Raise ConfigError when the environment says this is one of several processes, and `config` says there is one.

    Each would train by itself and write the same files, all but one without the lock.
    """
    if (rank := later_rank()) is not None and processes(config) == (1, 1):
        raise ConfigError(
            f"{rank} in the environment says that other processes work on this run, but device.devices=1 says that "
            "this is the only one; unset that variable, or set device.devices and device.num_nodes"
        )


def accelerator_of(config: DeviceConfig) -> str:
    """The configured accelerator: cuda, mps or cpu."""
    return best_accelerator() if config.accelerator == "auto" else config.accelerator


def best_accelerator() -> str:
    """cuda if there is one, else mps, else cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def sync(fabric: Fabric, seconds: float, stop: Stop) -> tuple[float, bool]:
    """Seconds and stop request as the first process sees them, so that all processes stop at the same step."""
    if fabric.world_size == 1:
        return seconds, stop.requested
    agreed = fabric.broadcast(torch.tensor([seconds, float(stop.requested)], dtype=torch.float64))
    return float(agreed[0]), bool(agreed[1])


def agree_on_step(fabric: Fabric, step: int, folder: object) -> None:
    """Raise ConfigError when the processes found different checkpoints in `folder`.

    Call it after all processes have read their checkpoint and before the first one writes another.
    """
    if fabric.world_size > 1 and fabric.all_reduce(torch.tensor(abs(step - fabric.broadcast(step))), reduce_op="sum"):
        raise ConfigError(f"the processes found different checkpoints in {folder}; it must be one folder for all")


SIZES = (2048, 1024, 512)  # of the matrix product; slow machines take a smaller one
SECONDS = 1.0  # of measuring
LONGEST = 0.4  # seconds of one product


@dataclass(frozen=True)
class Machine:
    """What was measured.

    gflops: 1e9 float32 additions and multiplications per second in a 2048 x 2048 matrix product (smaller on very slow
    machines) on PyTorch's threads. threads: number of these threads. cores: cores this process may use. others: cores
    that other processes kept busy meanwhile, or None if unknown. memory: available bytes, or None if unknown.
    """

    gflops: float
    threads: int
    cores: int
    others: float | None
    memory: int | None


def measure_machine() -> Machine:
    """Measure this machine; takes one to two seconds."""
    _product_seconds(SIZES[-1])  # starts the threads
    least = _product_seconds(SIZES[-1])
    size = next((n for n in SIZES if least * (n / SIZES[-1]) ** 3 < LONGEST), SIZES[-1])
    factor = torch.rand(size, size)
    out = factor @ factor
    busy, own, began = _busy_seconds(), _own_seconds(), time.perf_counter()
    times: list[float] = []
    while len(times) < 2 or time.perf_counter() - began < SECONDS:
        times.append(_product_seconds(size, factor, out))
    elapsed = time.perf_counter() - began
    others = None
    if busy is not None and (now := _busy_seconds()) is not None:
        others = max(0.0, (now - busy - (_own_seconds() - own)) / elapsed)
    return Machine(
        gflops=2 * size**3 / statistics.median(times) / 1e9,
        threads=torch.get_num_threads(),
        cores=usable_cores(),
        others=others,
        memory=available_memory(),
    )


def _product_seconds(size: int, factor: Tensor | None = None, out: Tensor | None = None) -> float:
    factor = torch.rand(size, size) if factor is None else factor
    start = time.perf_counter()
    torch.mm(factor, factor, out=out)
    return time.perf_counter() - start


def _busy_seconds() -> float | None:
    """Seconds that this process's cores have worked for anyone since the system started; None if unknown."""
    try:
        cores = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        ticks = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *values = line.split()
            if name in cores:
                user, nice, system, _, _, irq, softirq, steal = (int(value) for value in values[:8])
                ticks += user + nice + system + irq + softirq + steal
        return ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None


def _own_seconds() -> float:
    used = os.times()
    return used.user + used.system
