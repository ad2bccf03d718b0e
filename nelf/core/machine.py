"""What this machine can give a run right now: arithmetic, cores, memory."""

import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nelf.core.processes import available_memory, usable_cores

SIZES = (2048, 1024, 512)  # of the matrix product; slow machines take a smaller one
SECONDS = 1.0  # of measuring
LONGEST = 0.4  # seconds of one product


@dataclass(frozen=True)
class Machine:
    """Measured properties of this machine.

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
