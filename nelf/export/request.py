"""What an export is given beside the network, and what a converter is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


@dataclass
class BundleContext:
    """What the scene and the run know. World space is the scene's; poses are c2w with OpenGL axes.

    kind: object, forward-facing or unbounded.
    up: world direction that is upwards for the viewer. focus: world point that a viewer circles around.
    near, far: depths along the view axis. background: RGB, 0 to 1, that alpha is to be composited over.
    train: poses that training saw; the bundle's region is what they cover.
    golden, golden_names: held-out poses and a name for each, fit for a file name. golden_photos: name to what a camera
    saw there, uint8 [height, width, 3] over `background`, for those where one was.
    calibration: some of the training views with their photos; int8 needs them.
    provenance: anything JSON that says where the weights come from: checkpoint (SHA-256), config.
    """

    name: str
    kind: str
    up: Float[Tensor, "3"]
    focus: Float[Tensor, "3"]
    near: float
    far: float
    background: tuple[float, float, float]
    train: Float[Tensor, "n 3 4"]
    golden: Float[Tensor, "views 3 4"]
    golden_names: tuple[str, ...]
    golden_photos: Mapping[str, Tensor] = field(default_factory=dict)
    calibration: Photos | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


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
