"""Interface of students to the rest of nelf: a network from a camera to an image, to be trained and exported.

A student family is a subclass of `Student` with its own configuration, registered in `nelf/student/files.py`.
Nothing outside this package asks which family a student belongs to.
"""

import abc
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nelf.core.optimization import StepRandom
from nelf.student.config import StudentConfig
from nelf.student.deploy import Layout
from nelf.student.geometry import SceneGeometry


class Prediction(NamedTuple):
    """A student's output for some views.

    image: RGB, or RGBA with colour premultiplied by alpha, in [0, 1].
    depth: end of each ray as a fraction of the range from near to far (`SceneGeometry.depth_at`), at the pixels of
    `Student.depth_pixels`; one estimate per level of the network, the finest last. None for students without depth.
    """

    image: Float[Tensor, "batch channels height width"]
    depth: Float[Tensor, "batch levels rows columns"] | None


@dataclass(frozen=True)
class DepthPixels:
    """The pixels at which a student estimates depth: their indices along each axis."""

    rows: Int[np.ndarray, "rows"]
    columns: Int[np.ndarray, "columns"]


class Student(nn.Module, abc.ABC):
    """A neural light field: pose in, image out, one forward pass.

    config: its settings. frame: its image size and scene geometry.
    """

    def __init__(self, config: StudentConfig, frame: SceneGeometry) -> None:
        super().__init__()
        self.config = config
        self.frame = frame

    def forward(
        self,
        c2w: Float[Tensor, "batch 3 4"],
        intrinsics: Float[Tensor, "batch 4"] | None = None,
        jitter: Float[Tensor, "batch rows columns points"] | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """Images of the given cameras. intrinsics: fx, fy, cx, cy in pixels; the geometry's by default."""
        if intrinsics is None:
            intrinsics = c2w.new_tensor(self.frame.intrinsics).expand(c2w.shape[0], 4)
        return self.predict(self.prepare(c2w, intrinsics, jitter)).image

    @abc.abstractmethod
    def prepare(
        self,
        c2w: Float[Tensor, "batch 3 4"],
        intrinsics: Float[Tensor, "batch 4"],
        jitter: Float[Tensor, "batch rows columns points"] | None = None,
    ) -> Float[Tensor, "batch ..."]:
        """Inputs of the network for these cameras. They are float32 even under autocast, and without gradient."""

    @abc.abstractmethod
    def predict(self, rays: Float[Tensor, "batch ..."]) -> Prediction:
        """Image and depth from the result of `prepare`."""

    @abc.abstractmethod
    def deploy(self, layout: Layout, dtype: torch.dtype) -> nn.Module:
        """The network for inference: from one `pose` [1, 3, 4] to the image of the whole grid of rays, in `layout`.

        The grid is larger than the image if the image's size is not a multiple of a cell: see `crop`.
        dtype: of every part for which half precision is enough.
        """

    @property
    @abc.abstractmethod
    def margins(self) -> tuple[int, int]:
        """Rows above and columns left of the image that the grid of rays covers, in pixels."""

    @property
    def depth_pixels(self) -> DepthPixels | None:
        """The pixels at which training needs true depths; None if it needs none."""
        return None

    def draw_jitter(self, draws: StepRandom, batch: int) -> Float[Tensor, "batch rows columns points"] | None:
        """Random position in [0, 1) of each point of `batch` views in its bin; None if points cannot move."""
        return None

    def crop(self, image: Float[Tensor, "batch channels grid_height grid_width"]) -> Tensor:
        """The image without the part of the grid that lies outside it."""
        top, left = self.margins
        return image[:, :, top : top + self.frame.height, left : left + self.frame.width]


def count_parameters(model: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in model.parameters())
