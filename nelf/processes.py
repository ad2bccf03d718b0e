"""The processes that are one run together, and what becomes of them when one ends. Knows nothing of PyTorch."""

import os
import signal
import subprocess
import sys
import threading
import time

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

    def watch() -> None:
        while others:
            time.sleep(LOOK_EVERY)
            for number, process in enumerate(list(others), start=2):
                if process.poll():
                    _leave(f"process {number} of {len(others) + 1} {_how(process.returncode)}", list(others))

    threading.Thread(target=watch, name="others-watch", daemon=True).start()


def _how(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed, most likely by the system for want of memory"
    return f"died of {signal.Signals(-status).name}" if status < 0 else "failed; its own message is above"


def _leave(why: str, others: "list[subprocess.Popen[bytes]]") -> None:
    for process in others:
        process.kill()
    print(f"nelf: {why}; what was saved stays, and the same command goes on from there", file=sys.stderr, flush=True)
    os._exit(2)  # the main thread waits in a library that nothing but an end interrupts
