"""Views and fake models for the tests of nelf.evaluate: smooth colour patterns, and the same with noise."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from nelf.core.cameras import look_at
from nelf.scene.scene import Views


def make_views(count: int = 5, height: int = 40, width: int = 48, channels: int = 4) -> Views:
    """Views of colour waves, each with another phase, on a ring of cameras. With alpha: a soft-edged disc."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    images = []
    for i in range(count):
        planes = [0.5 + 0.5 * np.sin(7 * x + 5 * c * y + i + c) for c in range(3)]
        if channels == 4:
            planes.append(np.clip(4 - 10 * np.hypot(x - 0.5, y - 0.5), 0, 1))
        images.append(np.round(255 * np.stack(planes, axis=-1)).astype(np.uint8))
    angle = torch.arange(count) * (2 * math.pi / count)
    eye = torch.stack([3 * angle.cos(), 3 * angle.sin(), torch.ones(count)], dim=-1)
    c2w = look_at(eye, torch.zeros_like(eye), torch.tensor([0.0, 0.0, 1.0]))
    intrinsics = torch.tensor([50.0, 50.0, width / 2, height / 2]).repeat(count, 1)
    return Views(tuple(f"r_{i}" for i in range(count)), c2w, intrinsics, height, width, images.__getitem__)


def noisy_model(views: Views, noise: float) -> Callable[[Tensor, Tensor], Tensor]:
    """A model that returns the nearest view's true picture, premultiplied, plus noise that grows by view."""

    def render(c2w: Tensor, intrinsics: Tensor) -> Tensor:
        i = int((views.c2w - c2w).abs().sum(dim=(1, 2)).argmin())
        image = views.image(i).float() / 255
        if image.shape[-1] == 4:
            image = torch.cat([image[..., :3] * image[..., 3:], image[..., 3:]], dim=-1)
        random = torch.Generator().manual_seed(i)
        return image + noise * (1 + i) * torch.randn(image.shape, generator=random)

    return render
