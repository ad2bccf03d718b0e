"""Where a teacher's training time goes, and what other settings reach in the same time or number of steps.

    python benchmarks/teacher.py $DATA/lego_200 --minutes 1 --out runs/teachers \\
        --arm default "" --arm wide "teacher.width=128"

An arm is a name and overrides. Each arm trains a hash-grid teacher for `--minutes` (or `--steps`, on a busy machine),
one after the other, with a clock around each part of a step. A part's time excludes the parts inside it, except that
the occupancy grid includes its evaluations of the field. PSNR is the mean over `--views` views of `--split`, evenly
spread, and over as many training views. Choose settings by `--split val`. Finished arms are skipped.
Figures go to OUT/teachers.json and to stdout.
"""

import argparse
import functools
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.student import psnr_over
from nelf.core.files import write_json
from nelf.kernels import hash_encoding
from nelf.kernels.line_adam import LineAdam
from nelf.pipeline import Run
from nelf.scene import Views
from nelf.teacher import instant_ngp, render_image
from nelf.teacher.field import RadianceField
from nelf.teacher.instant_ngp import OccupancyGrid
from nelf.teacher.stage import new_trainer
from nelf.teacher.training import PixelTable

GRID = "occupancy grid"
PARTS: dict[str, list[tuple[Any, str]]] = {
    GRID: [(OccupancyGrid, "update")],
    "pixels": [(PixelTable, "rays"), (PixelTable, "rgba")],
    "march": [(instant_ngp.HashGridNeRF, "_samples")],
    "table": [(hash_encoding.HashGrid, "forward")],
    "table's gradient": [(hash_encoding._CompiledEncode, "backward")],
    "networks": [(torch.nn.Sequential, "forward")],
    "composite": [(instant_ngp, "composite")],
    "other gradients": [(Tensor, "backward")],
    "Adam": [(LineAdam, "step")],
}
"""Part of a step -> the functions it consists of."""


class Clock:
    """Seconds of each part, without the parts inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.inside: list[list[Any]] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        if any(outer == GRID for outer, _ in self.inside):
            yield
            return
        began, entry = time.perf_counter(), [name, 0.0]
        self.inside.append(entry)
        try:
            yield
        finally:
            self.inside.pop()
            taken = time.perf_counter() - began
            self.seconds[name] += taken - entry[1]
            if self.inside:
                self.inside[-1][1] += taken

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        return timed


@contextmanager
def watched() -> Iterator[Clock]:
    """Put the clock around every function of PARTS for the duration of the block."""
    clock = Clock()
    places = [(name, owner, key) for name, functions in PARTS.items() for owner, key in functions]
    before = [vars(owner)[key] for _, owner, key in places]
    try:
        for (name, owner, key), found in zip(places, before, strict=True):
            timed = clock.around(name, getattr(owner, key))
            setattr(owner, key, staticmethod(timed) if isinstance(found, staticmethod) else timed)
        yield clock
    finally:
        for (_, owner, key), found in zip(places, before, strict=True):
            setattr(owner, key, found)


def measure(run: Run, minutes: float | None, steps: int | None, split: str, views: int) -> dict[str, Any]:
    """Train one teacher; see the top of this file."""
    config = run.config.teacher
    config.max_minutes, config.max_steps = minutes, steps
    trainer = new_trainer(run.scene, config, run.fabric)
    trainer.advance()  # compiles
    trainer.seconds = 0.0
    asked = 0
    with watched() as clock:
        while trainer.progress() < 1:
            asked += trainer.rays
            trainer.advance()
    shares = {name: clock.seconds[name] / trainer.seconds for name in PARTS}
    field = trainer.field.eval()
    return {
        "psnr": mean_psnr(field, run, getattr(run.scene, split), views),
        "training_psnr": mean_psnr(field, run, run.scene.train, views),
        "steps": trainer.step,
        "step_ms": 1e3 * trainer.seconds / trainer.step,
        "rays_a_step": asked / trainer.step,
        "shares": {**shares, "rest": 1 - sum(shares.values())},
    }


def mean_psnr(field: RadianceField, run: Run, views: Views, count: int) -> float:
    """Mean PSNR in dB over `count` of `views`, evenly spread."""

    def render(c2w: Tensor, intrinsics: Tensor) -> Tensor:
        seen = render_image(field, c2w, intrinsics, *run.scene.size)
        return torch.cat([seen.rgb, seen.alpha[..., None]], dim=-1) if run.scene.channels == 4 else seen.rgb

    count = min(count, len(views))
    return psnr_over(views.select([i * len(views) // count for i in range(count)]), render)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path, help="folder of a scene")
    parser.add_argument("--arm", nargs=2, action="append", required=True, metavar=("NAME", "OVERRIDES"))
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="training time of each arm")
    budget.add_argument("--steps", type=int, help="training steps of each arm")
    parser.add_argument("--split", choices=("val", "test"), default="test", help="views to measure")
    parser.add_argument("--views", type=int, default=20, help="how many of them")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    options = parser.parse_args()
    kept = options.out / "teachers.json"
    results = json.loads(kept.read_text()) if kept.is_file() else {}
    parts = " | ".join(PARTS)
    print(f"| arm | {options.split} PSNR | training PSNR | steps | ms per step | rays per step | {parts} | rest |")
    print("| --- " * (7 + len(PARTS)) + "|")
    for name, overrides in options.arm:
        if name not in results:
            results[name] = measure(
                Run.open(options.scene, overrides.split()), options.minutes, options.steps, options.split, options.views
            )
            write_json(kept, results)
        r = results[name]
        figures = (
            f"{r['psnr']:.2f} | {r['training_psnr']:.2f} | {r['steps']} | {r['step_ms']:.1f} | {r['rays_a_step']:.0f}"
        )
        shares = " | ".join(f"{100 * share:.0f} %" for share in r["shares"].values())
        print(f"| {name} | {figures} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
