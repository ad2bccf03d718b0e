"""A ball seen from the upper hemisphere as in-memory views, a tiny student for it, and a short configuration."""

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nelf.core.devices import DeviceConfig, make_fabric
from nelf.core.progress import Stop
from nelf.scene import Views
from nelf.student import Mapping, SceneGeometry, Student
from nelf.train import FinetuneConfig, TrainConfig, train
from tests.scenes import CAMERA_DISTANCE, FIELD_OF_VIEW, hemisphere_poses, render, to_bytes
from tests.student.small import small_student

SIZE = 16
FOCAL = 0.5 * SIZE / math.tan(0.5 * FIELD_OF_VIEW)


@functools.cache
def images(count: int, seed: int, channels: int) -> np.ndarray:
    """uint8 [count, SIZE, SIZE, channels]."""
    poses = hemisphere_poses(count, seed)
    return np.stack([to_bytes(render(p, FOCAL, SIZE, SIZE, room=channels == 3), alpha=channels == 4) for p in poses])


def views(count: int, seed: int = 0, channels: int = 4) -> Views:
    """`count` views whose `read` takes them from memory."""
    return Views(
        names=tuple(f"r_{i}" for i in range(count)),
        c2w=torch.from_numpy(hemisphere_poses(count, seed)[:, :3]).float(),
        intrinsics=torch.tensor([FOCAL, FOCAL, SIZE / 2, SIZE / 2]).expand(count, 4),
        height=SIZE,
        width=SIZE,
        read=lambda i: images(count, seed, channels)[i],
    )


def student(channels: int = 4, family: str = "hierarchical", **changes: Any) -> Student:
    """The same initial weights each time."""
    seen = views(8, channels=channels)
    frame = SceneGeometry.around(
        seen.c2w,
        seen.intrinsics,
        (SIZE, SIZE),
        channels,
        near=CAMERA_DISTANCE - 1.2,
        far=CAMERA_DISTANCE + 1.2,
        center=torch.zeros(3),
        radius=1.2,
        mapping=Mapping.LINEAR,
    )
    return small_student(frame, family, **changes)


def config(**changes: Any) -> TrainConfig:
    """Twelve steps of stage 1 and six of stage 2, by steps, so that nothing depends on the clock."""
    tune = FinetuneConfig(max_steps=6, max_minutes=None, val_every=2, warmup_steps=1)
    values: dict[str, Any] = {
        "max_steps": 12,
        "max_minutes": None,
        "batch_size": 4,
        "lr": 5e-3,
        "warmup_steps": 3,
        "ema_decay": 0.9,
        "log_every": 3,
        "val_every": 5,
        "checkpoint_seconds": 86_400.0,
        "finetune": tune,
    }
    return TrainConfig(**{**values, **changes})


def run(folder: Path, model: Student | None = None, stop: Stop | None = None, **changes: Any) -> Student:
    """`train` on the CPU with 24 pseudo, 8 real and 3 validation views; `changes` to configuration or `train`."""
    given = {k: changes.pop(k) for k in ("pseudo", "real", "val", "clock", "config", "compiled") if k in changes}
    model = model or student()
    channels = model.frame.channels
    return train(
        model,
        given.pop("pseudo", views(24, 1, channels)),
        given.pop("real", views(8, 2, channels)),
        given.pop("val", views(3, 3, channels)),
        given.pop("config", None) or config(**changes),
        folder,
        make_fabric(DeviceConfig(accelerator="cpu")),
        stop or Stop(),
        **given,
    )


def same_weights(a: Student, b: Student) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
