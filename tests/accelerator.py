"""What the product does on a device that is not the CPU: a teacher's steps, a render, a student's steps, a validation.

python -m tests.accelerator KIND [PRECISION...]    prints what `tests.pretend` counted, and a line of JSON
"""

import functools
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.strategies import SingleDeviceStrategy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nelf.core.devices import Autocast
from nelf.core.progress import Stop
from nelf.distill.views import stored
from nelf.teacher.field import render_where_it_is
from nelf.teacher.stage import new_trainer
from nelf.train import train
from tests import pretend
from tests.teacher import tiny
from tests.train import tiny as tiny_student

STEPS = 32
START = "start"
STUDENT_STEPS = 8, 8 + STEPS  # of two trainings: the difference is what steps do


class Accelerator(CPUAccelerator):
    """Fabric's, of the pretend device."""

    def setup_device(self, device: torch.device) -> None: ...


def fabric(precision: str) -> Fabric:
    plugins = None if precision == "32-true" else Autocast(precision, "strict")
    return Fabric(strategy=SingleDeviceStrategy(pretend.STRICT, accelerator=Accelerator()), plugins=plugins)


class OnTheCPU(TorchDispatchMode):
    """Counts the elements that CPU operations return, except images, which are decoded there."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: set[int] = {0}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for one in tree_leaves(out):
            if type(one) is torch.Tensor and one.device.type == "cpu" and one.dtype is not torch.uint8:
                self.sizes.add(one.numel())
        return out


class Sections:
    """Counts for each part of the work."""

    def __init__(self) -> None:
        self.counted: dict[str, dict[str, int]] = {}

    def do(self, name: str, work: Callable[[], None]) -> dict[str, int]:
        pretend.counts.clear()
        work()
        kinds = pretend.counts
        self.counted[name] = {
            "refused": sum(found.total() for kind, found in kinds.items() if kind.startswith("refused")),
            "waits": kinds["the host waits"].total(),
            "handed over": kinds["handed over"].total(),
            "operations": kinds["operations"].total(),
        }
        print(f"\n=== {name}\n{pretend.report()}")
        return self.counted[name]


def run(kind: str, precisions: list[str]) -> dict[str, dict[str, int]]:
    scene, sections = tiny.scene(kind), Sections()
    config = tiny.instant_ngp(importance_samples=None if kind == "object" else 24)
    for precision in precisions:
        device = fabric(precision)
        with OnTheCPU() as seen:
            trainer = new_trainer(scene, config, device)
        weights = {parameter.numel() for parameter in trainer.field.parameters()}  # drawn there, whatever the scene
        sections.counted.setdefault(START, {"largest on the CPU": max(seen.sizes - weights)})
        trainer.advance()  # compiles, and draws for the first time from all cells

        def steps(trainer=trainer) -> None:  # type: ignore[no-untyped-def]
            for _ in range(STEPS):
                trainer.advance()

        def render(field=trainer.field.eval(), precision=precision) -> None:  # type: ignore[no-untyped-def]  # noqa: B008
            dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
            view, teacher = scene.train, field if dtype is None else field.with_precision(dtype)
            seen = render_where_it_is(teacher, view.c2w[0], view.intrinsics[0], view.height, view.width)
            stored(seen, scene.channels, scene.far, 1e-3).begin_copy().get()

        def learn(steps, device=device) -> None:  # type: ignore[no-untyped-def]
            config = tiny_student.config(max_steps=steps, batch_size=2, val_every=1000, log_every=1000)
            config.finetune.enabled = False
            views = tiny_student.views
            with tempfile.TemporaryDirectory() as folder:
                given = views(8, 1), views(4, 2), views(3, 3), config, Path(folder), device, Stop()
                train(tiny_student.student(), *given)

        sections.do(f"teacher {precision}", steps)
        sections.do(f"view {precision}", render)
        few, many = (sections.do(f"student {precision}", functools.partial(learn, count)) for count in STUDENT_STEPS)
        sections.counted[f"student {precision}"] = {
            kind: many[kind] - (few[kind] if kind != "refused" else 0) for kind in many
        }
    return sections.counted


def main() -> None:
    torch.set_num_threads(1)
    pretend.FATAL = False
    found = run(sys.argv[1], sys.argv[2:] or ["32-true"])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
