"""What a GPU makes of nelf: seconds to 33 dB, pseudo views a second, student's steps a second, and each kernel's time.

    python benchmarks/gpu.py DATA/nerf_synthetic/lego --out gpu.json              # about 10 minutes on an RTX 4090
    python benchmarks/gpu.py datasets/stilllife --out gpu.json --minutes 4        # a short form, on the embedded scene
    python benchmarks/gpu.py DATA/lego --out gpu.json --only teacher views        # of kernels student teacher views
    python benchmarks/gpu.py datasets/stilllife --out cpu.json --tiny             # does the script run at all

Everything goes through the product's own classes, so that the figures are those of users. The file is written anew
after every part; docs/gpu.md says how to add it there. Times are taken with the device idle at both ends. What could
not be measured stands in the file with its reason. `--tiny` runs on a CPU; its figures mean nothing.
"""

import argparse
import dataclasses
import json
import platform
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nelf import __version__
from nelf.core.files import write_json
from nelf.core.images import over_background
from nelf.core.progress import Stop
from nelf.distill import DistillConfig, distill_in_workers
from nelf.kernels.compile import usable
from nelf.kernels.dispatch import GPU, operations
from nelf.pipeline import Run
from nelf.pipeline.stages import new_student
from nelf.scene import Scene, Views
from nelf.student import count_macs
from nelf.teacher import render_image
from nelf.teacher.stage import new_trainer
from nelf.train import TrainConfig
from nelf.train.batches import Batch
from nelf.train.trainer import StudentTrainer
from tests.kernels.cases import CASES, moved

SHARES = {"kernels": 0.1, "student": 0.25, "teacher": 0.45, "views": 0.2}  # of --minutes
TARGETS = {
    "teacher_s_to_target": {"rtx4090": 60, "h200": 30},
    "distilled_a_second_800x800": {"rtx4090": 25, "h200": 40},
    "student_steps_a_second_20_gmac_batch_8": {"rtx4090": 30, "h200": 80},
    "start_s": {"rtx4090": 10, "h200": 10},
}
"""Estimates, never measured: what the figures are to be held against."""


def settle(device: torch.device) -> None:
    """Wait until the device has done all that it was asked for."""
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).synchronize()


def seconds(work: Callable[[], object], device: torch.device, least: float) -> float:
    """Of one call: the median of five rounds that take about `least` seconds together."""
    for _ in range(3):
        work()
    settle(device)
    began = time.perf_counter()
    work()
    settle(device)
    calls = max(1, int(least / 5 / max(time.perf_counter() - began, 1e-6)))
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(calls):
            work()
        settle(device)
        rounds.append((time.perf_counter() - began) / calls)
    return sorted(rounds)[2]


def machine(device: torch.device) -> dict[str, Any]:
    """What was measured on."""
    about: dict[str, Any] = {
        "nelf": __version__, "torch": torch.__version__, "python": platform.python_version(),
        "system": platform.platform(), "processor": platform.processor(), "threads": torch.get_num_threads(),
        "device": str(device), "kernels": usable(device.type, device.index),
    }  # fmt: skip
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent)
    about["commit"] = commit.stdout.strip() or None
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        capability = f"{found.major}.{found.minor}"
        about |= {"name": found.name, "memory_gb": round(found.total_memory / 1e9, 1), "capability": capability}
        about["cuda"] = torch.version.cuda
    return about


def peak_gb(device: torch.device) -> float | None:
    """Most memory of the device that PyTorch held, since this was last asked; None where it does not count."""
    if device.type != "cuda":
        return None
    most = torch.cuda.max_memory_allocated(device) / 1e9
    torch.cuda.reset_peak_memory_stats(device)
    return round(most, 3)


def psnr(field: Any, views: Views, count: int) -> float:
    """Mean over `count` views, evenly spread, on white."""
    values = []
    for i in [(2 * k + 1) * len(views) // (2 * count) for k in range(min(count, len(views)))]:
        seen = render_image(field, views.c2w[i], views.intrinsics[i], views.height, views.width)
        error = seen.rgb + (1 - seen.alpha[..., None]) - over_background(views.image(i).float() / 255)
        values.append(-10 * torch.log10(error.square().mean()))
    return float(torch.stack(values).mean())


def teacher(run: Run, limit: float, target: float, tiny: bool) -> tuple[dict[str, Any], Any]:
    """Training time, start included, until test views have `target` dB; looked at every twelfth of `limit`.

    The learning rate falls to its end at `limit`: a smaller one says what a shorter training reaches.
    """
    scene, device = run.scene, run.fabric.device
    smaller = {"batch": 4096, "levels": 4, "log2_entries": 14, "steps": 64} if tiny else {}
    config = dataclasses.replace(run.config.teacher, minutes=limit / 60, iterations=None, **smaller)
    began = time.perf_counter()
    trainer = new_trainer(scene, config, run.fabric)
    trainer.advance()
    settle(device)
    start = time.perf_counter() - began
    curve, spent, reached = list[list[float]](), start, None
    while reached is None and (not curve or spent < limit):
        slice_began = time.perf_counter()
        while time.perf_counter() - slice_began < limit / 12:
            trainer.advance()
        settle(device)
        spent += time.perf_counter() - slice_began
        found = psnr(trainer.field.eval(), scene.test, 2 if tiny else 20)
        curve.append([round(spent, 2), trainer.step, round(found, 2)])
        trainer.field.train()
        reached = spent if found >= target else None
    figures = {
        "config": dataclasses.asdict(config), "start_s": start, "target_db": target, "reached_s": reached,
        "steps_a_second": (trainer.step - 1) / max(spent - start, 1e-9), "curve_s_steps_db": curve,
        "peak_gb": peak_gb(device),
    }  # fmt: skip
    return figures, trainer.field.eval()


def views(field: Any, scene: Scene, count: int, least: float) -> dict[str, Any]:
    """Pseudo views a second: rendering alone, and with everything that `nelf distill` does to a view."""
    poses, device = scene.train, field.device
    one = lambda: render_image(field, poses.c2w[0], poses.intrinsics[0], poses.height, poses.width)  # noqa: E731
    alone = seconds(one, device, least)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        config, made_by = DistillConfig(views=count), {"teacher": "benchmark"}
        distill_in_workers(lambda: field, scene, config, Path(folder), made_by, Stop())
        whole = (time.perf_counter() - began) / count
    return {
        "size": [poses.height, poses.width],
        "rendered_a_second": 1 / alone,
        "distilled_a_second": 1 / whole,
        "peak_gb": peak_gb(device),
    }


def student(run: Run, preset: str, precision: str, batch: int, least: float) -> dict[str, Any]:
    """Training steps a second, on one batch that is already decoded."""
    overrides = [*run.overrides, f"student={preset}", f"device.precision={precision}"]
    run = Run.compose(overrides, ("train", "test"))
    scene, model, device = run.scene, new_student(run), run.fabric.device
    macs, wanted = count_macs(model), model.depth_pixels()
    learner = StudentTrainer(model, TrainConfig(batch=batch), run.fabric)
    images = torch.randint(0, 256, (batch, scene.channels, *scene.size), dtype=torch.uint8)
    depths = None
    if wanted is not None:
        shape = batch, len(wanted.rows), len(wanted.columns)
        depths = torch.full(shape, (scene.near + scene.far) / 2)
    views = scene.train
    given = Batch(views.c2w[:1].expand(batch, 3, 4), views.intrinsics[:1].expand(batch, 4), images, depths)
    a_step = seconds(lambda: learner.step(given, 1e-4, (0, 1, 0)), device, least)
    return {
        "preset": preset, "gmac": macs / 1e9, "batch": batch, "precision": precision, "steps_a_second": 1 / a_step,
        "tflops": 6 * batch * macs / a_step / 1e12, "peak_gb": peak_gb(device),
    }  # fmt: skip


def kernels(device: torch.device, least: float) -> dict[str, Any]:
    """Milliseconds of every operation's kernel, and of its plain form, on the inputs of the tests."""
    forms = operations("cpu" if device.type == "cpu" else GPU)
    times: dict[str, Any] = {}
    for name, case in CASES.items():
        inputs = [moved(value, device) for value in case.inputs]
        form = forms.get(case.operation)
        with torch.no_grad():
            kernel = seconds(lambda form=form, inputs=inputs: form(*inputs), device, least) if form else None
            plain = seconds(lambda case=case, inputs=inputs: case.reference(*inputs), device, least)
        times[name] = {"kernel_ms": kernel and 1e3 * kernel, "plain_ms": 1e3 * plain}
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=list(SHARES), default=list(SHARES))
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--target", type=float, default=33.0, help="dB of the teacher")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all parts together, about")
    parser.add_argument("--tiny", action="store_true", help="seconds instead of minutes; the figures mean nothing")
    options = parser.parse_args()
    run = Run.open(options.scene, [f"device.accelerator={options.accelerator}"], ("train", "test"))
    device, budget = run.fabric.device, 0.5 if options.tiny else options.minutes
    results: dict[str, Any] = {
        "machine": machine(device), "scene": run.scene.name, "size": list(run.scene.size), "tiny": options.tiny,
        "targets_estimated": TARGETS, "not_measured": {},
    }  # fmt: skip

    def measure(part: str, work: Callable[[], Any]) -> Any:
        """What `work` gives goes into the file; where it fails, its reason does."""
        print(f"{part} ...", flush=True)
        try:
            results[part] = work()
        except Exception as error:
            traceback.print_exc()
            results["not_measured"][part] = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        write_json(options.out, results)
        return results.get(part)

    def least(part: str, rounds: int) -> float:
        return max(0.05, 60 * budget * SHARES[part] / rounds)

    if "kernels" in options.only:
        measure("kernels", lambda: kernels(device, least("kernels", 3 * len(CASES))))
    if "student" in options.only:
        presets = ("s",) if options.tiny else ("m", "l")
        arms = ("32-true",) if device.type == "cpu" else ("32-true", "bf16-mixed", "16-mixed")
        for preset in presets:
            for precision in arms:
                arguments = run, preset, precision, 2 if options.tiny else 8
                time_ = least("student", 2 * len(presets) * len(arms))
                measure(f"student_{preset}_{precision}", lambda a=arguments, t=time_: student(*a, t))
    fields: list[Any] = []
    if {"teacher", "views"} & set(options.only):

        def train() -> dict[str, Any]:
            limit = 6.0 if options.tiny else 60 * budget * SHARES["teacher"]
            figures, field = teacher(run, limit, options.target, options.tiny)
            fields.append(field)
            return figures

        measure("teacher", train)
    if "views" in options.only and fields:
        count = 2 if options.tiny else 60
        measure("views", lambda: views(fields[0], run.scene, count, least("views", 4)))
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
