"""Waiting time for answers that need no work: help, settings, refusals. Needs an idle machine.

    python benchmarks/startup.py [--rounds 5]

Each command runs once to warm the disk cache, then ROUNDS times; the median counts. Exit code 1 if one exceeds its
limit, or loads PyTorch.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCENE = str(ROOT / "datasets" / "stilllife")
LIMITS: dict[str, tuple[float, tuple[str, ...]]] = {
    "help": (1.0, ("--help",)),
    "settings": (1.5, ("config", "train")),
    "misspelt key": (1.5, ("run", SCENE, "train.minuets=5")),
    "word for a number": (1.5, ("run", SCENE, "train.max_steps=many")),
    "out of range": (1.5, ("run", SCENE, "teacher.max_minutes=-1")),
    "key that is not there": (1.5, ("run", SCENE, "+foo=1")),
    "unknown student": (1.5, ("train", SCENE, "student=xxl")),
    "name with a folder": (1.5, ("run", SCENE, "name=../evil")),
    "scene that is not there": (1.5, ("run", "nowhere")),
    "check of no scene": (1.5, ("data", "check", "nowhere")),
    "folder that cannot be": (1.5, ("run", SCENE, "runs=/dev/null/x")),
    "one of a sweep": (1.5, ("run", SCENE, "--multirun", "distill.views=5,0")),
    "wrong scene setting": (1.5, ("data", "check", SCENE, "scene.downscale=0")),
    "export of no run": (1.5, ("export", SCENE)),
    "report of no run": (1.5, ("report", SCENE)),
}
"""name -> (most seconds, arguments of nelf)."""


def seconds(arguments: tuple[str, ...], folder: str) -> tuple[float, float]:
    """Wall time and CPU time."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(command(arguments), cwd=folder, env=environment(), capture_output=True, check=False)
    elapsed, after = time.perf_counter() - began, os.times()
    return elapsed, after.children_user + after.children_system - before.children_user - before.children_system


def loads_torch(arguments: tuple[str, ...], folder: str) -> bool:
    """Whether the command imports PyTorch."""
    asked = [sys.executable, "-X", "importtime", *command(arguments)[1:]]
    said = subprocess.run(asked, cwd=folder, env=environment(), capture_output=True, text=True, check=False).stderr
    return any(line.rpartition("|")[2].strip() == "torch" for line in said.splitlines())


def command(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "nelf", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    failed = []
    print(f"{'command':24s} {'s':>6s} {'CPU s':>6s} {'limit':>6s}")
    with tempfile.TemporaryDirectory() as folder:
        for name, (limit, arguments) in LIMITS.items():
            heavy = loads_torch(arguments, folder)
            times = [seconds(arguments, folder) for _ in range(rounds)]
            clock, processor = (statistics.median(one) for one in zip(*times, strict=True))
            said = " loads PyTorch" if heavy else ""
            print(f"{name:24s} {clock:6.2f} {processor:6.2f} {limit:6.2f}{said}", flush=True)
            if heavy or clock > limit:
                failed.append(name)
    if failed:
        sys.exit(f"over the limit: {', '.join(failed)}")


if __name__ == "__main__":
    main()
