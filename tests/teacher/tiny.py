"""Tiny scenes, and teachers that learn them in seconds."""

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
from nelf.teacher import InstantNGPConfig, NeRFConfig, TeacherConfig, render_image
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
    """The same scene for all tests, in its own folder."""
    folder = Path(tempfile.mkdtemp(prefix=f"nelf-{kind}-")) / kind
    MAKERS[kind](folder)
    found = load_scene(SceneConfig(str(folder)), ("train", "val", "test"))
    assert found.type.value == ("object" if kind == "plain" else kind)
    return found


def instant_ngp(**changes: Any) -> InstantNGPConfig:
    """About 10 ms per step."""
    values: dict[str, Any] = {
        "max_minutes": None, "max_steps": 20, "samples_per_step": 8192, "max_rays_per_step": 1024, "num_levels": 4,
        "log2_hashmap_size": 12, "base_resolution": 8, "max_resolution": 32, "width": 16, "occupancy_resolution": 32,
        "march_steps": 64,
    }  # fmt: skip
    return InstantNGPConfig(**{**values, **changes})


def proposing(**changes: Any) -> InstantNGPConfig:
    """A fixed number of samples, drawn where the density grid expects the ray to end."""
    return instant_ngp(**{"importance_samples": 8, **changes})


def deferred(**changes: Any) -> InstantNGPConfig:
    """`proposing`, with one colour for each ray."""
    return proposing(**{"deferred_color": True, **changes})


def nerf(**changes: Any) -> NeRFConfig:
    """An MLP of two layers."""
    values: dict[str, Any] = {
        "max_minutes": None, "max_steps": 10, "max_rays_per_step": 64, "lr": 5e-3,
        "depth": 2, "width": 32, "coarse_samples": 16, "fine_samples": 16,
    }  # fmt: skip
    return NeRFConfig(**{**values, **changes})


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
    """The error of every training step of a teacher within the block."""
    errors: list[float] = []
    advance = Trainer.advance

    def noting(trainer: Trainer) -> None:
        trainer.error = float("nan")  # so that it is this step's alone, not an average
        advance(trainer)
        errors.append(trainer.error)

    with mock.patch.object(Trainer, "advance", noting):
        yield errors
