"""How much memory this machine still has."""

import contextlib
import os
from pathlib import Path

CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)  # folder, limit, use, and what of the use is given back when it is needed; version 2 and version 1


def available_memory() -> int | None:
    """Bytes that a process can have before the system has to refuse, the limits of its container considered."""
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    if not found:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))  # all that there is
    for folder, limit, use, given_back in CGROUPS:
        with contextlib.suppress(OSError, ValueError, KeyError):  # "max" is no number: no limit
            most = int((Path(folder) / limit).read_text())
            used = int((Path(folder) / use).read_text())
            fields = dict(line.split() for line in (Path(folder) / "memory.stat").read_text().splitlines())
            found.append(max(0, most - used + int(fields[given_back])))
    return min(found, default=None)
