"""Frame time of two bundles in Chromium, each in the page of its own version of nelf, in turns.

    git worktree add ../old c2161ba       # there: make web, train `m` on the same scene, nelf export RUN --target web
    python benchmarks/browser.py ../old/runs/lego_200/export/web runs/lego_200/export/web --rounds 20

A folder is what `nelf export --target web` makes: the page and the bundle. Prints medians of one picture, of the
network alone and as the viewer shows them, and the ratios of the second folder to the first with their 95 % intervals.
Nothing else may run on the machine. `--out FILE` gets all figures.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from nelf.benchmark.results import Ratio, ratio
from nelf.benchmark.tables import plain_table, show
from nelf.core.files import write_json
from tools.web.__main__ import ARTEFACTS, chromium, install, npm_run


def measure(folders: list[Path], rounds: int, seconds: float, backend: str) -> dict[str, Any]:
    """What web_app/browser/viewer.turns.ts found, in order."""
    install()
    plan = {
        "folders": [str(one.resolve()) for one in folders],
        "rounds": rounds,
        "seconds": seconds,
        "backend": backend,
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "turns.json"
        environment = {"NELF_CHROMIUM": chromium(), "NELF_ARTEFACTS": str(ARTEFACTS), "NELF_TURNS": str(file),
                       "NELF_TURNS_PLAN": json.dumps(plan)}  # fmt: skip
        npm_run("turns", environment=environment)
        found: dict[str, Any] = json.loads(file.read_text())
    return found | {"plan": plan}


def figures(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each folder. network: one forward pass; shown: from picture to picture, no faster than the screen."""
    turns = [each["rounds"] for each in found["found"]]
    network = [[deciles(turn["network"]) for turn in each] for each in turns]
    shown = [[[turn["shown"]] for turn in each] for each in turns]
    return [
        {
            "name": each["name"],
            "backend": turns[i][0]["backend"],
            "threads": turns[i][0]["threads"],
            "network_ms": float(np.median(network[i])),
            "shown_ms": float(np.median(shown[i])),
            "network_ratio": ratio(network[i], network[0]),
            "shown_ratio": ratio(shown[i], shown[0]),
        }
        for i, each in enumerate(found["found"])
    ]


def deciles(times: list[float]) -> list[float]:
    """Stand for all times of a turn: `ratio` wants equally many of each."""
    return [float(value) for value in np.quantile(times, np.linspace(0.1, 0.9, 9))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "folders", type=Path, nargs=2, help="of nelf export --target web: the reference, then the other"
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a turn")
    parser.add_argument("--backend", choices=("threads", "wasm", "webgpu"), default="threads")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    for folder in arguments.folders:
        if not (folder / "index.html").is_file() or not (folder / "manifest.json").is_file():
            parser.error(f"{folder} has no page and bundle; make it with: nelf export RUN --target web")
    found = measure(arguments.folders, arguments.rounds, arguments.seconds, arguments.backend)
    rows = figures(found)
    columns = ("threads", "network ms", "shown ms", "network ratio", "shown ratio")
    table = plain_table(f"Chromium {found['browser']}, {arguments.rounds} turns", ("scene", "backend"), columns)
    for row in rows:
        ratios = [_text(row[key]) for key in ("network_ratio", "shown_ratio")]
        times = (f"{row['network_ms']:.2f}", f"{row['shown_ms']:.2f}")
        table.add_row(row["name"], row["backend"], str(row["threads"]), *times, *ratios)
    show([table])
    if arguments.out:
        write_json(arguments.out, found)


def _text(value: Ratio) -> str:
    interval = "too few turns" if value.low is None else f"{value.low:.3f}-{value.high:.3f}"
    return f"{value.value:.3f} ({interval})"


if __name__ == "__main__":
    main()
