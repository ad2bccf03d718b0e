"""Small students whose weights give pictures with contrast, and cameras for them."""

from typing import Any

import torch
from torch import Tensor, nn

from nelf.core.cameras import look_at
from nelf.evaluate import to_8bit
from nelf.export import BundleContext, CalibrationViews
from nelf.student import Mapping, SceneGeometry, Student
from tests.student.small import small_student, with_contrast

SIZE = (21, 28)  # the height is no multiple of 8


def around(count: int, seed: int = 0) -> Tensor:
    """Cameras on a sphere of radius 4, looking about the origin: [count, 3, 4]."""
    generator = torch.Generator().manual_seed(seed)
    eye = 4 * nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return look_at(eye, 0.2 * torch.randn(count, 3, generator=generator), torch.tensor([0.0, 0.0, 1.0]))


def ahead(count: int, seed: int = 0) -> Tensor:
    """Cameras side by side that look roughly along -z: [count, 3, 4]."""
    generator = torch.Generator().manual_seed(seed)
    eye = 0.3 * torch.randn(count, 3, generator=generator)
    target = torch.tensor([0.0, 0.0, -4.0]) + 0.5 * torch.randn(count, 3, generator=generator)
    return look_at(eye, target, torch.tensor([0.0, 1.0, 0.0]))


def student(
    family: str = "hierarchical",
    mapping: str = "linear",
    channels: int = 3,
    size: tuple[int, int] = SIZE,
    **changes: Any,
) -> Student:
    """A student in eval mode. changes: to its configuration."""
    poses = around(16) if mapping == "linear" else ahead(16)
    height, columns = size
    intrinsics = torch.tensor([0.9 * columns, 0.95 * columns, columns / 2 + 0.7, height / 2 - 0.3])
    frame = SceneGeometry.around(
        poses,
        intrinsics.expand(len(poses), 4),
        size,
        channels,
        2.0 if mapping == "linear" else 1.0,
        6.0,
        torch.tensor([0.1, 0.05, -0.1]),
        1.5,
        Mapping(mapping),
    )
    return with_contrast(small_student(frame, family, **changes), poses)


def usual() -> Student:
    """The default preset's structure, RGBA."""
    return student(channels=4)


@torch.no_grad()
def photos(model: Student, poses: Tensor, noise: float = 0.05) -> CalibrationViews:
    """Photos: the student's pictures on white, with an error of realistic size."""
    generator = torch.Generator().manual_seed(0)
    images = []
    for pose in poses:
        image = model(pose[None])[0].permute(1, 2, 0)
        images.append(to_8bit(image + noise * torch.randn(image.shape, generator=generator)))
    return CalibrationViews(poses, tuple(images))


def context(mapping: str = "linear", name: str = "stilllife", model: Student | None = None) -> BundleContext:
    """Context of such a student's run; with photos if `model` is given."""
    poses = around if mapping == "linear" else ahead
    golden, names = poses(8, seed=1), tuple(f"r_{i}" for i in range(8))
    return BundleContext(
        name=name,
        scene_type="object" if mapping == "linear" else "forward-facing",
        up=torch.tensor([0.0, 0.0, 1.0]) if mapping == "linear" else torch.tensor([0.0, 1.0, 0.0]),
        focus=torch.zeros(3),
        near=2.0,
        far=6.0,
        background=(1.0, 1.0, 1.0),
        train=poses(16),
        golden=golden,
        golden_names=names,
        golden_photos={} if model is None else dict(zip(names, photos(model, golden).images, strict=True)),
        calibration=None if model is None else photos(model, poses(8, seed=5)),
        provenance={"checkpoint": "0" * 64, "config": {"train": {"steps": 1}}},
    )
