"""Geometries and cameras for the student's tests."""

from typing import Any

import torch

from nelf.core.cameras import look_at
from nelf.student import Mapping, SceneGeometry


def cameras(count: int, distance: float = 4.0, seed: int = 0) -> torch.Tensor:
    """[count, 3, 4]: random positions on a sphere, looking near the origin, with random roll."""
    generator = torch.Generator().manual_seed(seed)
    eye = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1) * distance
    target = 0.3 * torch.randn(count, 3, generator=generator)
    up = torch.randn(count, 3, generator=generator)
    return look_at(eye, target, up)


def facing(count: int, seed: int = 0) -> torch.Tensor:
    """[count, 3, 4]: side by side, looking along -z with a little tilt."""
    generator = torch.Generator().manual_seed(seed)
    eye = torch.rand(count, 3, generator=generator) * torch.tensor([1.0, 1.0, 0.2])
    target = eye + torch.tensor([0.0, 0.0, -5.0]) + 0.3 * torch.randn(count, 3, generator=generator)
    return look_at(eye, target, torch.tensor([0.0, 1.0, 0.0]))


def frame(mapping: Mapping = Mapping.LINEAR, size: tuple[int, int] = (32, 32), **changes: Any) -> SceneGeometry:
    """An object 2..6 away, or an open scene 1..100 away."""
    bounded = mapping is Mapping.LINEAR
    height, width = size
    values: dict[str, Any] = {
        "channels": 3,
        "near": 2.0 if bounded else 1.0,
        "far": 6.0 if bounded else 100.0,
        "center": torch.zeros(3),
        "radius": 1.5,
    }
    poses = cameras(16) if bounded else facing(16)
    intrinsics = torch.tensor([1.1 * width, 1.2 * width, width / 2 + 0.7, height / 2 - 0.4]).expand(16, 4)
    return SceneGeometry.around(poses, intrinsics, size, mapping=mapping, **{**values, **changes})
