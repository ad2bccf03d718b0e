"""Tiny scenes and teachers that learn them in seconds."""

import contextlib
import functools
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from nelf.core.devices import DeviceConfig, make_fabric
from nelf.core.images import over_background
from nelf.core.progress import Stop
from nelf.scene import Scene, SceneConfig, Views, load_scene
from nelf.teacher import HashGridConfig, TeacherConfig, VanillaConfig, render_image
from nelf.teacher.field import RadianceField
from nelf.teacher.stage import teach
from nelf.teacher.training import Trainer
from tests.scenes import make_blender_scene, make_llff_scene, make_nerfstudio_scene, make_plain_scene

BACKDROP = (255, 250, 230)
MAKERS = {
    "object": functools.partial(make_blender_scene, size=24, views=(12, 2, 3)),
    "plain": functools.partial(make_plain_scene, color=BACKDROP, size=24, views=(12, 2, 3)),
    "unbounded": functools.partial(make_nerfstudio_scene, size=16, width=24, views=12),
    "forward-facing": functools.partial(make_llff_scene, size=20, width=28, views=12),
}


@functools.cache
def scene(kind: str) -> Scene:
    """The same scene for all tests, in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix=f"nelf-{kind}-")) / kind
    MAKERS[kind](folder)
    found = load_scene(SceneConfig(str(folder)), ("train", "val", "test"))
    assert found.kind.value == ("object" if kind == "plain" else kind)
    return found


def hashgrid(**changes: Any) -> HashGridConfig:
    """About 10 ms a step."""
    values: dict[str, Any] = {
        "minutes": None, "iterations": 20, "batch": 8192, "max_rays": 1024, "levels": 4, "log2_entries": 12,
        "coarsest": 8, "finest": 32, "width": 16, "occupancy": 32, "steps": 64,
    }  # fmt: skip
    return HashGridConfig(**{**values, **changes})


def vanilla(**changes: Any) -> VanillaConfig:
    """An MLP of two layers."""
    values: dict[str, Any] = {
        "minutes": None, "iterations": 10, "max_rays": 64, "lr": 5e-3,
        "depth": 2, "width": 32, "coarse": 16, "fine": 16,
    }  # fmt: skip
    return VanillaConfig(**{**values, **changes})


def train(kind: str, config: TeacherConfig, folder: Path, stop: Stop | None = None) -> RadianceField:
    """`teach` on the CPU."""
    return teach(scene(kind), config, folder, make_fabric(DeviceConfig(accelerator="cpu")), stop or Stop())


def mean_psnr(field: RadianceField, views: Views) -> tuple[float, float]:
    """PSNR over white of all pixels of `views`, and the mean absolute error of alpha."""
    squared, alpha_error = [], []
    for i in range(len(views)):
        seen = render_image(field, views.c2w[i], views.intrinsics[i], views.height, views.width)
        truth = views.image(i).float() / 255
        squared.append((seen.rgb + (1 - seen.alpha[..., None]) - over_background(truth)).square().mean())
        alpha = truth[..., 3] if truth.shape[-1] == 4 else torch.ones(seen.alpha.shape)
        alpha_error.append((seen.alpha - alpha).abs().mean())
    return -10 * math.log10(float(torch.stack(squared).mean())), float(torch.stack(alpha_error).mean())


@contextlib.contextmanager
def noted_errors() -> Iterator[list[float]]:
    """The error of every step that a teacher is trained for during the block."""
    errors: list[float] = []
    advance = Trainer.advance

    def noting(trainer: Trainer) -> None:
        trainer.error = float("nan")  # so that it is this step's alone, not an average
        advance(trainer)
        errors.append(trainer.error)

    with mock.patch.object(Trainer, "advance", noting):
        yield errors
