"""The processes that are one run together, and what becomes of them when one ends. Knows nothing of PyTorch."""

import os
import threading
import time

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
"""Variables that launchers (torchrun, Fabric's, srun) set for each of the processes that are one run together."""

LOOK_EVERY = 0.5  # seconds between looks at the parent


def is_first_process() -> bool:
    """Whether this process is the only one of its run, or the first of several: the one that writes files."""
    return all(os.environ.get(rank, "0") in ("0", "") for rank in RANKS)


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
