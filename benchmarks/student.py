"""Compare students and recipes on equal terms: the same pseudo views, the same wall time (or steps), one machine.

    python benchmarks/student.py runs/lego --minutes 10 --out runs/study \\
        --arm official "student=mobiler2l train=mobiler2l" --arm m "student=m"

RUN has its teacher and pseudo views (`nelf distill SCENE`). An arm is a name and its overrides. All arms train in turns
of `--slice` seconds, so that a slow machine slows all of them. `--minutes` is the whole budget of an arm, fine-tuning
included. With `--calibrate` these are minutes of an idle machine: the step of each arm is timed first (nothing else may
run then), and the arm trains for as many steps as fit, however long they take.

Then each student is measured on the real test views and exported to LiteRT (fp32, two threads), where all are timed in
turns. `--out` gets results.json with the curves, and the printed table. An interrupted benchmark goes on where it
stopped.
"""

import argparse
import dataclasses
import json
import statistics
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nelf import evaluate as evaluation
from nelf.core.errors import Interrupted
from nelf.core.files import write_json
from nelf.core.progress import Stop
from nelf.export import ExportGraph, litert
from nelf.export.targets import TARGETS
from nelf.pipeline import Run, new_student
from nelf.pipeline.stages import rendered_scene
from nelf.runtime import INPUT, open_model
from nelf.scene import Views
from nelf.student import Student, count_macs, count_parameters, load_student, save_student
from nelf.train import train
from nelf.train.batches import BatchLoader, CachedViews, MemoryBudget, Source
from nelf.train.trainer import StudentTrainer

TUNING = 0.05  # share of an arm's minutes for fine-tuning on the photos
WARM_UP = 5
TIMED_STEPS = 30
STUDENT = "student.safetensors"
CALIBRATION = "step_seconds.json"


@dataclass
class Arm:
    """One student with its recipe."""

    name: str
    run: Run
    folder: Path

    @property
    def finished(self) -> bool:
        return (self.folder / STUDENT).is_file()

    def train(self, seconds: float) -> None:
        """Train for about `seconds` more, with the same code as `nelf train`, checkpoints included."""
        scene = self.run.scene
        stop = Stop()
        timer = threading.Timer(seconds, setattr, (stop, "requested", True))
        timer.start()
        try:
            views = rendered_scene(self.run).train
            model = train(
                new_student(self.run, views), views, scene.train, scene.val,
                self.run.config.train, self.folder, self.run.fabric, stop,
            )  # fmt: skip
        except Interrupted:
            return
        finally:
            timer.cancel()
        save_student(self.folder / STUDENT, model)


def step_seconds(run: Run) -> float:
    """Median step time of an untrained student, without the first step."""
    config, pseudo = run.config.train, rendered_scene(run).train
    model = new_student(run, pseudo)
    learner = StudentTrainer(model, config, run.fabric, compiled=run.config.device.compile)
    views = CachedViews(pseudo, model.frame.channels, MemoryBudget(config.cache_gb), model.depth_pixels)
    times = []
    with BatchLoader([Source(views, config.batch_size)], (config.seed, 1)) as feed:
        for number in range(TIMED_STEPS + WARM_UP):
            batch = feed.get(number)
            began = time.perf_counter()
            learner.step(batch, config.rate.at(number, 0.0), (config.seed, 1, number))
            times.append(time.perf_counter() - began)
    return statistics.median(times[WARM_UP:])


def calibrated_step(run: Run, name: str, out: Path) -> float:
    """Seconds per step of an arm; measured once, and kept in `out`."""
    path = out / CALIBRATION
    known: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}
    if name not in known:
        known[name] = step_seconds(run)
        write_json(path, known)
    return known[name]


def arms_of(
    folder: Path, asked: list[tuple[str, str]], minutes: float | None, steps: int | None, out: Path, calibrate: bool
) -> list[Arm]:
    arms = []
    for name, overrides in asked:
        run = Run.open(folder, overrides.split())
        tune = run.config.train.finetune
        if steps is not None:
            budget: dict[str, Any] = {"max_steps": steps, "max_minutes": None}
        elif calibrate:
            assert minutes is not None
            fitting = 60 * minutes / calibrated_step(run, name, out)
            tuning = round(TUNING * fitting) if tune.enabled else 0
            budget = {"max_steps": round(fitting) - tuning, "max_minutes": None}
            if tune.enabled:
                run.config.train.finetune = dataclasses.replace(tune, max_steps=tuning, max_minutes=None)
        else:
            assert minutes is not None
            tuning = TUNING * minutes if tune.enabled else 0.0
            budget = {"max_steps": None, "max_minutes": minutes - tuning}
            if tune.enabled:
                run.config.train.finetune = dataclasses.replace(tune, max_steps=None, max_minutes=tuning)
        run.config.train = dataclasses.replace(run.config.train, **budget)
        arms.append(Arm(name, run, out / name))
    return arms


def pseudo_psnr(model: Student, run: Run, count: int = 50) -> float:
    """Mean PSNR over `count` of the pseudo views that it learnt from, which more data could not improve."""
    views = rendered_scene(run).train
    return mean_psnr(model, views.select([i * len(views) // count for i in range(count)]))


def mean_psnr(model: Student, views: Views) -> float:
    """See `psnr_over`."""

    def render(c2w: Tensor, intrinsics: Tensor) -> Tensor:
        with torch.no_grad():
            return model(c2w[None], intrinsics[None])[0].permute(1, 2, 0)

    return psnr_over(views, render)


def psnr_over(views: Views, render: evaluation.Renderer) -> float:
    """Mean PSNR in dB, on white, after rounding to 8 bits, as in `nelf eval`."""
    images = (render(views.c2w[i], views.intrinsics[i]) for i in range(len(views)))
    return statistics.fmean(
        evaluation.psnr(evaluation.to_8bit(image), evaluation.ground_truth(views, i)) for i, image in enumerate(images)
    )


def time_litert(models: dict[str, Student], out: Path, repeats: int) -> dict[str, tuple[float, int]]:
    """Milliseconds per frame (median of `repeats`, in turns) and bytes of each model's fp32 LiteRT file."""
    loaded, sizes = {}, {}
    for name, model in models.items():
        path = out / name / "model.tflite"
        if not path.exists():
            litert.convert(ExportGraph(model, TARGETS["android"].layout), path)
        loaded[name], sizes[name] = open_model(path, torch.get_num_threads()), path.stat().st_size
    pose = {INPUT: torch.eye(3, 4)[None].numpy()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for number in range(WARM_UP + repeats):
        for name, one in loaded.items():
            began = time.perf_counter()
            one.run(pose)
            if number >= WARM_UP:
                times[name].append(1e3 * (time.perf_counter() - began))
    return {name: (statistics.median(times[name]), sizes[name]) for name in models}


def seconds_at(arm: Arm, evaluation: dict[str, Any], options: argparse.Namespace) -> float:
    """When an evaluation was due: on the clock or, with --calibrate, on a machine at rest."""
    if options.calibrate:
        return float(evaluation["step"] * calibrated_step(arm.run, arm.name, options.out))
    return float(evaluation["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with pseudo views")
    parser.add_argument("--arm", nargs=2, action="append", required=True, metavar=("NAME", "OVERRIDES"))
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="wall time of each arm")
    budget.add_argument("--steps", type=int, help="steps of stage 1 of each arm")
    parser.add_argument("--calibrate", action="store_true", help="convert --minutes of an idle machine to steps")
    parser.add_argument("--slice", type=float, default=60.0, help="seconds of each turn")
    parser.add_argument("--repeats", type=int, default=30, help="timed LiteRT frames of each arm")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    options = parser.parse_args()

    arms = arms_of(options.run, options.arm, options.minutes, options.steps, options.out, options.calibrate)
    while waiting := [arm for arm in arms if not arm.finished]:
        for arm in waiting:
            arm.train(options.slice)
    models = {arm.name: load_student(arm.folder / STUDENT) for arm in arms}
    timed = time_litert(models, options.out, options.repeats)
    rows = []
    for arm in arms:
        model = models[arm.name]
        history = json.loads((arm.folder / "history.json").read_text())
        rows.append(
            {
                "arm": arm.name,
                "test_psnr": mean_psnr(model, arm.run.scene.test),
                "pseudo_psnr": pseudo_psnr(model, arm.run),
                "litert_ms": timed[arm.name][0],
                "gmac": count_macs(model) / 1e9,
                "parameters": count_parameters(model),
                "bytes": timed[arm.name][1],
                "steps": history[-1]["step"],
                "curve": [(seconds_at(arm, e, options), e["val_psnr"]) for e in history],
            }
        )
    write_json(options.out / "results.json", {"minutes": options.minutes, "steps": options.steps, "arms": rows})
    print("| arm | test PSNR | pseudo PSNR | LiteRT ms | GMAC | parameters | MB | steps |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for r in rows:
        print(
            f"| {r['arm']} | {r['test_psnr']:.2f} | {r['pseudo_psnr']:.2f} | {r['litert_ms']:.1f} | {r['gmac']:.2f} | "
            f"{r['parameters']:,} | {r['bytes'] / 1e6:.2f} | {r['steps']} |"
        )


if __name__ == "__main__":
    main()
