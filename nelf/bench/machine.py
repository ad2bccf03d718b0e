"""What this machine is and what it can do."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from nelf.bench.child import Child
from nelf.bench.report import Machine
from nelf.processes import usable_cores

MATMUL_SIZE = 2048
CPU_INFO = Path("/proc/cpuinfo")


def describe_machine(threads: Sequence[int]) -> Machine:
    """With the best matrix product on each number of threads, each in a process of its own."""
    best = {}
    for count in threads:
        with Child("matrix product", None, count) as child:
            best[str(count)] = float(child.ask("matmul", size=MATMUL_SIZE)["gflops"])
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Machine(_processor(), f"{platform.system()} {platform.machine()}", usable_cores(), load, best)


def _processor() -> str:
    if CPU_INFO.is_file():
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
