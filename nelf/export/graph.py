"""Input of a converter: the student as a graph from pose to image, and settings of the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.student import Layout, Student
from nelf.student.deploy import TO_LAST


class ExportGraph(nn.Module):
    """Maps `pose` [1, 3, 4] to `image` [1, height, width, channels], both float32.

    dtype: of everything after the trigonometry. BatchNorm is folded, so the student must be trained or loaded.
    """

    def __init__(
        self, model: Student, layout: Layout = Layout.CHANNELS_FIRST, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.layout = layout
        self.network = model.deploy(layout, dtype)
        self.top, self.left = model.margins
        self.height, self.width = model.frame.height, model.frame.width
        self.eval().requires_grad_(False)

    def forward(self, pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 height width channels"]:
        image = self.network(pose)
        if self.layout is Layout.CHANNELS_FIRST:
            image = image.permute(TO_LAST)
        if image.shape[1:3] != (self.height, self.width):
            image = image[:, self.top : self.top + self.height, self.left : self.left + self.width]
        return image.float()


class PixelGraph(ExportGraph):
    """Maps `pose` [1, 3, 4] to `image` [1, 3, height, width]: RGB in whole numbers from 0 to 255, float32.

    For runtimes that return a picture, which has no alpha: images with alpha are composited over `background`. The
    numbers are whole, so it does not matter whether the runtime rounds or truncates.
    """

    background: Tensor

    def __init__(self, model: Student, background: tuple[float, float, float]) -> None:
        super().__init__(model)
        self.register_buffer("background", torch.tensor(background).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 3 height width"]:
        image = self.network(pose)
        if image.shape[2:] != (self.height, self.width):
            image = image[:, :, self.top : self.top + self.height, self.left : self.left + self.width]
        if image.shape[1] == 4:
            image = image[:, :3] + (1 - image[:, 3:]) * self.background
        return (image.clamp(0, 1) * 255).round()


@dataclass(frozen=True)
class CalibrationViews:
    """Poses with their photos.

    c2w: world space, OpenGL axes. images: one per pose, uint8 [height, width, 3], on white.
    """

    c2w: Float[Tensor, "n 3 4"]
    images: tuple[Tensor, ...] = ()


@dataclass
class BundleContext:
    """What scene and run know. World space is the scene's; poses are c2w with OpenGL axes.

    scene_type: object, forward-facing or unbounded.
    up: world direction that points up for the viewer. focus: world point that a viewer orbits.
    near, far: depths along the view axis. background: RGB, 0 to 1, behind images with alpha.
    train: training poses; they define the bundle's region.
    golden, golden_names: held-out poses, and a name for each that can name a file. golden_photos: name to photo, uint8
    [height, width, 3] over `background`, for poses that have one.
    calibration: some training views with photos, for int8.
    tile_views: poses by which tiles are chosen; None: the training poses.
    provenance: JSON values that tell where the weights come from: checkpoint (SHA-256), config.
    """

    name: str
    scene_type: str
    up: Float[Tensor, "3"]
    focus: Float[Tensor, "3"]
    near: float
    far: float
    background: tuple[float, float, float]
    train: Float[Tensor, "n 3 4"]
    golden: Float[Tensor, "views 3 4"]
    golden_names: tuple[str, ...]
    golden_photos: Mapping[str, Tensor] = field(default_factory=dict)
    calibration: CalibrationViews | None = None
    tile_views: Float[Tensor, "n 3 4"] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


Conversions = dict[tuple[str, ...], Any]
"""What converters made of one model, for the precisions that begin with the same file. Keys begin with the runtime."""


@dataclass(frozen=True)
class Request:
    """One model file to write.

    calibration: training views that set the ranges of 8-bit activations and decide which layers need more precision.
    allowed_drop: dB of PSNR that quantised layers may lose on them.
    image_output: whether the output is an image of the system (ios) instead of a tensor.
    conversions: shared by all requests for one model, so that each conversion happens once.
    """

    graph: ExportGraph
    precision: str
    path: Path
    calibration: CalibrationViews
    allowed_drop: float = 0.1
    ios_deployment: str = "16"
    image_output: bool = False
    conversions: Conversions = field(default_factory=dict)


@dataclass(frozen=True)
class PartRequest:
    """One part of a program to write.

    graph: returns its outputs by name, `outputs` in this order. samples: inputs by name, in the graph's order, for each
    size that the file takes (`Target.sizes`).
    """

    graph: nn.Module
    precision: str
    path: Path
    samples: Sequence[Mapping[str, Tensor]]
    outputs: Sequence[str]
    ios_deployment: str = "16"
