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
"""Variables that launchers (torchrun, Fabric, srun) set for each process of one run."""

LOOK_EVERY = 0.5  # seconds between checks of the parent


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_first_process() -> bool:
    """Whether this process writes files: it is the first of its run, or the only one."""
    return later_rank() is None


def later_rank() -> str | None:
    """NAME=VALUE of the variable that makes this a later process of its run; None in the first one."""
    return next((f"{name}={rank}" for name in RANKS if (rank := os.environ.get(name, "0")) not in ("0", "")), None)


def is_started_by_nelf() -> bool:
    """Whether another process of the run started this one. A user or a launcher starts the first on each machine."""
    return os.environ.get("LOCAL_RANK", "0") not in ("0", "")


def end_with_parent() -> None:
    """From now on, end this process when its parent ends, however that happens.

    Otherwise worker processes would go on after `kill -9` of a command, and write into a folder in which the same
    command works again.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY)
        os._exit(1)  # at once: nobody is left to read a message

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def end_with_others(others: "list[subprocess.Popen[bytes]]") -> None:
    """From now on, end this process with one line and exit code 2 when one of `others` fails.

    Otherwise it would wait for ever. Empty `others` before you end them in good order.
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
    """Call it after an error that the end of a child process may have caused. If so, the watch reports that and ends
    this process; otherwise this returns."""
    if any(_watched):
        time.sleep(4 * LOOK_EVERY)


def _how(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed, most likely by the system because memory ran out"
    return f"died of {signal.Signals(-status).name}" if status < 0 else "failed; its own message is above"


def _leave(why: str, others: "list[subprocess.Popen[bytes]]") -> None:
    for process in others:
        process.kill()
    print(f"nelf: {why}; what was saved stays, and the same command goes on from there", file=sys.stderr, flush=True)
    os._exit(2)  # the main thread waits in a library that cannot be interrupted


CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)  # folder, limit, use, and the part of the use that the system can free; cgroup version 2 and version 1


def available_memory() -> int | None:
    """Bytes this process can still allocate, limits of its container included; None if unknown."""
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    if not found:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))  # all of it
    for folder, limit, use, given_back in CGROUPS:
        with contextlib.suppress(OSError, ValueError, KeyError):  # "max": no limit
            most = int((Path(folder) / limit).read_text())
            used = int((Path(folder) / use).read_text())
            fields = dict(line.split() for line in (Path(folder) / "memory.stat").read_text().splitlines())
            found.append(max(0, most - used + int(fields[given_back])))
    return min(found, default=None)
