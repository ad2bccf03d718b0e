"""What every student is to the rest of nelf: a network from a camera to an image that trainers and exporters can use.

A student family is one subclass of `Student` with a configuration of its own, entered in `nelf/student/families.py`.
Nothing outside of this package asks which family it is. `nelf/student/constant_color` is the smallest example.
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
    """What a student says of some views.

    image: RGB, or RGBA with colour premultiplied by alpha, in [0, 1].
    depth: where each ray ends, as the fraction of the way from near to far (`SceneGeometry.depth_at`), for the pixels
    of `Student.depth_pixels`; one estimate for each level of the network, the finest last. None for students without.
    """

    image: Float[Tensor, "batch channels height width"]
    depth: Float[Tensor, "batch levels rows columns"] | None


@dataclass(frozen=True)
class DepthPixels:
    """The pixels at which a student says how deep the scene is: one index an axis."""

    rows: Int[np.ndarray, "rows"]
    columns: Int[np.ndarray, "columns"]


class Student(nn.Module, abc.ABC):
    """A neural light field: pose in, image out, one forward pass.

    config: what it is made of. frame: its image size and scene.
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
        """Images of the given cameras. intrinsics: fx, fy, cx, cy in pixels; those of the frame by default."""
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
        """What is known of the cameras' rays before any weight: float32 whatever autocast says, without gradient."""

    @abc.abstractmethod
    def predict(self, rays: Float[Tensor, "batch ..."]) -> Prediction:
        """Image and depth from what `prepare` gave."""

    @abc.abstractmethod
    def deploy(self, layout: Layout, dtype: torch.dtype) -> nn.Module:
        """The network for one pose at inference: `pose` [1, 3, 4] to the image of the whole grid of rays, in `layout`.

        The grid is larger than the image where the image's size is no multiple of a cell: see `crop`.
        dtype: of everything for which half precision is enough.
        """

    @property
    @abc.abstractmethod
    def margins(self) -> tuple[int, int]:
        """Rows above and columns to the left of the image that the grid of rays has beyond it, in pixels."""

    @property
    def depth_pixels(self) -> DepthPixels | None:
        """Where training has to know depths; None: nowhere."""
        return None

    def draw_jitter(self, draws: StepRandom, batch: int) -> Float[Tensor, "batch rows columns points"] | None:
        """How far in [0, 1) each point of `batch` views lies in its bin, drawn; None where nothing can be moved."""
        return None

    def crop(self, image: Float[Tensor, "batch channels grid_height grid_width"]) -> Tensor:
        """The image without what the grid of rays has beyond it."""
        top, left = self.margins
        return image[:, :, top : top + self.frame.height, left : left + self.frame.width]


def count_parameters(model: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in model.parameters())
