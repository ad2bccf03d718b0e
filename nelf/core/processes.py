"""Processes of a run, and the cores and memory that this one may use."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
"""Variables that launchers (torchrun, Fabric's, srun) set for each of the processes that are one run together."""

LOOK_EVERY = 0.5  # seconds between looks at the parent


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_first_process() -> bool:
    """Whether this process is the only one of its run, or the first of several: the one that writes files."""
    return later_rank() is None


def later_rank() -> str | None:
    """NAME=VALUE of the variable that says that this is not the first process of its run; None in the first one."""
    return next((f"{name}={rank}" for name in RANKS if (rank := os.environ.get(name, "0")) not in ("0", "")), None)


def is_started_by_nelf() -> bool:
    """Whether another process of the run started this one; the first of each machine is a user's or a launcher's."""
    return os.environ.get("LOCAL_RANK", "0") not in ("0", "")


def end_with_parent() -> None:
    """From here on this process ends when the one that started it does, however that ends.

    After `kill -9` of a command its worker processes would go on, and write into a folder in which the same command,
    given again, is at work.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY)
        os._exit(1)  # at once: there is nobody left to say anything to

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def end_with_others(others: "list[subprocess.Popen[bytes]]") -> None:
    """From here on this process ends, with one line and exit code 2, when one of those that it started ends badly.

    It would wait for it for ever. others: emptied by whoever ends them in good order.
    """

    _watched.append(others)

    def watch() -> None:
        while others:
            time.sleep(LOOK_EVERY)
            for number, process in enumerate(list(others), start=2):
                if process.poll():
                    _leave(f"process {number} of {len(others) + 1} {_how(process.returncode)}", list(others))

    threading.Thread(target=watch, name="others-watch", daemon=True).start()


_watched: "list[list[subprocess.Popen[bytes]]]" = []


def blame_others() -> None:
    """After an error: the end of a process that this one started may have caused it.

    Then the watch of `end_with_others` says so and ends this process. Otherwise returns after a moment.
    """
    if any(_watched):
        time.sleep(4 * LOOK_EVERY)


def _how(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed, most likely by the system for want of memory"
    return f"died of {signal.Signals(-status).name}" if status < 0 else "failed; its own message is above"


def _leave(why: str, others: "list[subprocess.Popen[bytes]]") -> None:
    for process in others:
        process.kill()
    print(f"nelf: {why}; what was saved stays, and the same command goes on from there", file=sys.stderr, flush=True)
    os._exit(2)  # the main thread waits in a library that nothing but an end interrupts


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
