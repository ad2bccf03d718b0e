"""How cost grows: CPU seconds and peak memory along several axes, over a decade or more.

    python benchmarks/scaling.py                    every axis, into runs/scaling/scaling.json; a few minutes
    python benchmarks/scaling.py pseudo model       only these axes

Each case is its own process with one thread. Time is CPU time (user and system), so that other work on the machine
counts little; memory is the peak above what the process had before. docs/scaling.md has the figures.
Linux only.
"""

import argparse
import dataclasses
import functools
import json
import math
import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STEPS = (2, 22)  # of a training; the difference excludes start and end


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cpu_seconds(children: bool = False) -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def noise_views(count: int, size: int, seed: int = 0) -> Any:
    """`count` RGBA views of random pixels from a circle of cameras; images are generated when read."""
    import numpy as np
    import torch

    from nelf.scene import Views

    angles = torch.linspace(0, 2 * math.pi, count + 1)[:-1]
    c2w = torch.zeros(count, 3, 4)
    c2w[:, 0, 0] = c2w[:, 2, 2] = angles.cos()
    c2w[:, 0, 2], c2w[:, 2, 0], c2w[:, 1, 1] = angles.sin(), -angles.sin(), 1.0
    c2w[:, :, 3] = 4 * c2w[:, :, 2]
    lens = torch.tensor([1.4 * size, 1.4 * size, size / 2, size / 2])
    return Views(
        names=tuple(str(i) for i in range(count)), c2w=c2w, intrinsics=lens.expand(count, 4), height=size, width=size,
        read=lambda i: np.random.default_rng([seed, i]).integers(0, 256, (size, size, 4), dtype=np.uint8),
    )  # fmt: skip


def training(
    size: int = 64,
    pseudo: int = 16,
    width: int | None = 48,
    cache_gb: float = 1.0,
    steps: Sequence[int] = STEPS,
    preset: str = "s",
    batch: int = 2,
) -> dict[str, float]:
    """CPU time per step, and peak memory. width: of all levels; None keeps the preset's."""
    import torch

    from nelf.core.devices import DeviceConfig, make_fabric
    from nelf.core.progress import Stop
    from nelf.pipeline import compose_config, typed
    from nelf.student import Mapping, SceneGeometry, count_macs, count_parameters, make_student
    from nelf.train import train

    widths = [f"student.{key}={width}" for key in ("width", "middle_width", "decoder_width") if width is not None]
    config = typed(compose_config(["scene.path=nowhere", f"student={preset}", *widths]))
    settings = dataclasses.replace(
        config.train, max_steps=1, max_minutes=None, batch_size=batch, warmup_steps=0, cache_gb=cache_gb,
        checkpoint_seconds=86_400,
        finetune=dataclasses.replace(config.train.finetune, enabled=False),
    )  # fmt: skip
    views, few = noise_views(pseudo, size), noise_views(2, size, 1)
    torch.manual_seed(0)
    frame = SceneGeometry.around(
        views.c2w, views.intrinsics, (size, size), 4, 2.8, 5.2, torch.zeros(3), 1.2, Mapping.LINEAR
    )
    before, used = peak_mb(), list[float]()
    for count in (1, *steps):  # the first warms up and does not count
        model = make_student(config.student, frame)
        fabric = make_fabric(DeviceConfig(accelerator="cpu"))
        began = cpu_seconds()
        with tempfile.TemporaryDirectory() as folder:
            train(model, views, few, few, dataclasses.replace(settings, max_steps=count), Path(folder), fabric, Stop())
        used.append(cpu_seconds() - began)
    return {
        "ms_per_step": 1e3 * (used[2] - used[1]) / (steps[1] - steps[0]),
        "peak_mb": peak_mb() - before,
        "process_mb": peak_mb(),
        "parameters": count_parameters(model),
        "mmac": count_macs(model) / 1e6,
    }


def photos(count: int) -> dict[str, float]:
    """Photos of 64x64 on disk: check the scene, then start the teacher with all pixels in one table."""
    from nelf.scene import SceneConfig, load_scene
    from nelf.teacher.training import PixelTable
    from tests import scenes

    with tempfile.TemporaryDirectory() as folder:
        scenes.make_blender_scene(Path(folder) / "scene", size=64, views=(4, 1, 1))
        path = Path(folder) / "scene" / "transforms_train.json"
        content = json.loads(path.read_text())
        for i in range(4, count):  # pixels may repeat, but every file is read
            copy = dict(content["frames"][i % 4], file_path=f"./train/c_{i}")
            source = path.parent / "train" / f"r_{i % 4}.png"
            (path.parent / "train" / f"c_{i}.png").write_bytes(source.read_bytes())
            content["frames"].append(copy)
        path.write_text(json.dumps(content))
        began, before = cpu_seconds(), peak_mb()
        scene = load_scene(SceneConfig(str(Path(folder) / "scene")))
        looked = cpu_seconds() - began
        PixelTable(scene.train)
        return {"look_s": looked, "decode_s": cpu_seconds() - began - looked, "peak_mb": peak_mb() - before}


def workers(count: int) -> dict[str, float]:
    """40 pseudo views of 24x24, shared by `count` processes."""
    from nelf.core.progress import Stop
    from nelf.distill import DistillConfig, distill_in_workers
    from nelf.kernels.unit_cube import UnitCubeMapping
    from nelf.pipeline.stages import teacher_on
    from nelf.teacher.stage import build_field, save_teacher
    from tests.teacher import tiny

    scene = tiny.scene("object")
    with tempfile.TemporaryDirectory() as folder:
        path, config = Path(folder) / "teacher.safetensors", tiny.instant_ngp()
        space = UnitCubeMapping.box(scene.center, scene.radius, scene.near, scene.far)
        save_teacher(path, build_field(config, space, opaque=False), config)
        began = cpu_seconds() + cpu_seconds(children=True)
        distill_in_workers(
            functools.partial(teacher_on, "cpu", path), scene, DistillConfig(views=40, workers=count),
            Path(folder) / "pseudo", {}, Stop(),
        )  # fmt: skip
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024 if count > 1 else 0.0
    used = cpu_seconds() + cpu_seconds(children=True) - began
    return {"cpu_s": used, "peak_mb": count * largest if count > 1 else peak_mb(), "of_one_mb": largest or peak_mb()}


MANY = {"size": 128, "width": 16, "steps": (10, 110)}
"""More than 200 readings of 66 kB images, so that memory leaks show."""
CACHED = {"preset": "m", "width": None, "cache_gb": 1.0}
Case = tuple[Callable[..., dict[str, float]], str, Sequence[int], dict[str, Any]]
AXES: dict[str, Case] = {
    "image": (training, "size", (64, 128, 256), {}),
    "model": (training, "width", (16, 64, 256), {}),
    "pseudo": (training, "pseudo", (100, 1000, 10_000), {**MANY, "cache_gb": 0.001}),
    "pseudo, all cached": (training, "pseudo", (100, 1000), {**MANY, "cache_gb": 4.0}),
    "batch": (training, "batch", (1, 2, 4, 8, 16), {"preset": "m", "width": None, "size": 800, "steps": (1, 2)}),
    "cache": (training, "pseudo", (300, 3000), {**CACHED, "size": 200, "batch": 4, "steps": (50, 800)}),
    "views": (photos, "count", (10, 100, 1000), {}),
    "processes": (workers, "count", (1, 3, 10), {}),
}
"""Axis -> function, the argument that varies, its values, and other arguments."""


def measure(axis: str, value: int) -> dict[str, float]:
    """Run one case in a forked process, so that PyTorch is imported only once; the parent computes nothing."""
    work, key, _, given = AXES[axis]
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_tell, args=(sender, work, {key: value, **given}))
    process.start()
    sender.close()
    try:
        found: dict[str, float] = receiver.recv()
    except EOFError:
        sys.exit(f"scaling: {axis} {value} failed; see its message above")
    process.join()
    return found


def _tell(sender: Any, work: Callable[..., dict[str, float]], given: dict[str, Any]) -> None:
    sender.send(work(**given))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("axes", nargs="*", help=f"some of {', '.join(AXES)}; all otherwise")
    parser.add_argument("--out", type=Path, default=Path("runs/scaling"))
    options = parser.parse_args()
    if unknown := set(options.axes) - set(AXES):
        parser.error(f"unknown axes {sorted(unknown)}; use some of {', '.join(AXES)}")
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    import nelf.pipeline.stages  # noqa: F401 (before the first fork)

    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "scaling.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    for axis in options.axes or AXES:
        results[axis] = {}
        for value in AXES[axis][2]:
            found = results[axis][value] = measure(axis, value)
            print(f"{axis:18s} {value:6d}  " + "  ".join(f"{k} {v:.4g}" for k, v in found.items()), flush=True)
        path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
