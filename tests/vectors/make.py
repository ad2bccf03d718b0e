"""Writes the vectors that Python, Swift, Kotlin and TypeScript are all held to. docs/viewers.md says how they are run.

python -m tests.vectors.make

A case of bundles.json is put together like this. Its manifest.json is the text of manifests/MANIFEST.json, or `text`
if given. For each pair of `replace` the first occurrence of the first is replaced by the second. Then it is cut to its
first `keep` characters, and gets spaces until it has `pad` bytes. Or manifest.json is the bytes of `base64`. The case's
own `files` go over the shared ones (path to content, UTF-8); null removes a file, manifest.json too.
"""

import json
import re
from pathlib import Path
from typing import Any

from tests.vectors.benchmarks import benchmark_cases
from tests.vectors.bundles import bundle_cases
from tests.vectors.gestures import pose_cases
from tests.vectors.manifests import MANIFESTS
from tests.vectors.tiles import tile_cases

FOLDER = Path(__file__).parent


def contents() -> dict[str, Any]:
    """File below this folder -> what is in it."""
    return {
        **{f"manifests/{name}.json": manifest for name, manifest in MANIFESTS.items()},
        "bundles.json": bundle_cases(),
        "poses.json": pose_cases(),
        "benchmark.json": benchmark_cases(),
        "tiles.json": tile_cases(),
    }


def text(content: Any) -> str:
    """Indented JSON with lists of numbers or strings on one line."""
    indented = json.dumps(content, indent=2, allow_nan=False)
    flat = re.compile(r'\[\s+((?:[^][{}"]|"(?:[^"\\]|\\.)*")*?)\s+\]')
    return flat.sub(lambda found: "[" + re.sub(r"\n\s*", " ", found[1]) + "]", indented) + "\n"


def lines(content: dict[str, Any]) -> str:
    """The pose cases with each step, and the first pose, on a line of its own."""
    spread: dict[str, str] = {}

    def mark(value: str) -> str:
        spread[f'"@{len(spread)}"'] = value
        return f"@{len(spread) - 1}"

    def case(full: dict[str, Any]) -> dict[str, Any]:
        steps = ",\n".join(f"        {json.dumps(step, allow_nan=False)}" for step in full["steps"])
        return {**full, "start": mark(json.dumps(full["start"])), "steps": mark(f"[\n{steps}\n      ]")}

    written = json.dumps({**content, "cases": [case(full) for full in content["cases"]]}, indent=2)
    for marker, value in spread.items():
        written = written.replace(marker, value)
    return written + "\n"


def main() -> None:
    for name, content in contents().items():
        path = FOLDER / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(lines(content) if name == "poses.json" else text(content))


if __name__ == "__main__":
    main()
