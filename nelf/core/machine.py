"""What this machine gives to a run at this moment: arithmetic, cores that others use, memory."""

import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nelf.core.processes import available_memory, usable_cores

SIZES = (2048, 1024, 512)  # of the matrix product; a smaller one where the largest would take too long
SECONDS = 1.0  # in which it is repeated
LONGEST = 0.4  # seconds that one may take


@dataclass(frozen=True)
class Machine:
    """What was measured.

    gflops: 1e9 additions and multiplications a second, of a float32 matrix product of 2048 x 2048 (smaller on a very
    slow machine) on PyTorch's threads. threads: how many these are. cores: that this process may use. others: cores
    that other processes kept busy meanwhile, None where the system does not say. memory: bytes that are available, None
    where it is not known.
    """

    gflops: float
    threads: int
    cores: int
    others: float | None
    memory: int | None


def measure_machine() -> Machine:
    """A measurement of one to two seconds."""
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
    """Time that the cores of this process have worked for anybody since the system started; None where unknown."""
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
