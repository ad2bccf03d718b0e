"""What a converter is asked for."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from nelf.export.graph import ExportGraph


@dataclass(frozen=True)
class Photos:
    """Poses, and what a camera saw there.

    c2w: OpenGL axes, in world space. images: one a pose, uint8 [height, width, 3], on white.
    """

    c2w: Float[Tensor, "n 3 4"]
    images: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Request:
    """One model file to be written.

    calibration: training views by which the ranges of 8-bit activations are found and layers go down the ladder.
    allowed_drop: dB of PSNR on those that quantised layers may cost.
    image_output: whether the output is to be a picture of the system's (ios) instead of a tensor.
    """

    graph: ExportGraph
    precision: str
    path: Path
    calibration: Photos
    allowed_drop: float = 0.1
    ios_deployment: str = "16"
    image_output: bool = False
