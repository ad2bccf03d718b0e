"""Loss curves of teachers and a student with a given number of processes.

python -m tests.parallel FOLDER PROCESSES SHARES    writes FOLDER/curves.json; Fabric starts the other processes

SHARES: of the whole batch, per process; PROCESSES x SHARES is the same in all compared runs.
"""

import json
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from lightning_fabric import Fabric

from nelf.core.devices import DeviceConfig, make_fabric
from nelf.core.progress import Stop
from nelf.teacher.stage import teach
from nelf.train import train
from nelf.train.log import TrainingLog
from tests.teacher import tiny as tiny_teacher
from tests.train import tiny as tiny_student

Curves = dict[str, list[float]]


def curves(folder: Path, fabric: Fabric, shares: int) -> Curves:
    """Loss of every step: two teachers, and a student over both of its stages."""
    return {
        # Fewer samples than fill the batch, so that max_rays alone says how many rays there are.
        "instant_ngp": _teacher(
            fabric,
            tiny_teacher.instant_ngp(samples_per_step=1 << 18, max_rays_per_step=256 * shares),
            folder / "instant_ngp",
        ),
        "proposing": _teacher(
            fabric,
            tiny_teacher.proposing(max_steps=20, lr=0.1, samples_per_step=1 << 18, max_rays_per_step=64 * shares),
            folder / "proposing",
        ),
        "nerf": _teacher(fabric, tiny_teacher.nerf(max_rays_per_step=32 * shares), folder / "nerf"),
        "student": _student(fabric, shares, folder / "student"),
    }


def _teacher(fabric: Fabric, config: Any, folder: Path) -> list[float]:
    with tiny_teacher.noted_errors() as losses:
        teach(tiny_teacher.scene("object"), config, folder, fabric, Stop())
    return losses


def _student(fabric: Fabric, shares: int, folder: Path) -> list[float]:
    losses: list[float] = []

    def note(journal: TrainingLog, step: int, **values: float) -> None:
        if "loss" in values:
            losses.append(values["loss"])

    config = tiny_student.config(batch_size=2 * shares, log_every=1)
    with mock.patch.object(TrainingLog, "scalars", note):
        views = tiny_student.views
        train(tiny_student.student(), views(24, 1), views(8, 2), views(3, 3), config, folder, fabric, Stop())
    return losses


def main() -> None:
    folder, count, shares = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    fabric = make_fabric(DeviceConfig(accelerator="cpu", devices=count, precision="32-true"))
    fabric.launch()
    torch.set_num_threads(1)
    found = curves(folder, fabric, shares)
    if fabric.is_global_zero:
        (folder / "curves.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
