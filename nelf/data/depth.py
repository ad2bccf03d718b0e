"""Depth maps beside images: 16-bit grey PNG in steps of `integer_depth_scale`, as instant-ngp reads them, under the key
`depth_file_path` of nerfstudio. Depths are along the view axis; 0 is unknown.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int16, UInt16
from PIL import Image
from torch import Tensor

from nelf.data.images import DECODER_ERRORS, SIXTEEN_BIT_MODES, DepthFile, undecodable
from nelf.data.write import write_png
from nelf.errors import SceneError

FINEST = 65535  # steps that 16 bits can count


def depth_scale(far: float) -> float:
    """World units of one step, such that the farthest depth fits."""
    return far / FINEST


def write_depth(path: Path, depth: Float[np.ndarray, "height width"], scale: float) -> None:
    """Write depths (world units, 0 for unknown) as PNG, atomically."""
    write_depth_steps(path, to_steps(torch.from_numpy(depth), scale).numpy().view(np.uint16))


def to_steps(depth: Float[Tensor, "height width"], scale: float) -> Int16[Tensor, "height width"]:
    """Depths in steps of `scale`: 16 bits without a sign, in the type with one, which every device has."""
    steps = torch.where(depth > 0, (depth / scale).round().clamp(1, FINEST), 0.0).int()
    return torch.where(steps > FINEST // 2, steps - FINEST - 1, steps).short()


def write_depth_steps(path: Path, steps: UInt16[np.ndarray, "height width"]) -> None:
    """Write what `to_steps` gave as PNG, atomically."""
    write_png(path, steps)


@dataclass(frozen=True)
class DepthReader:
    """Gives the depths of view i of one split, float32 [height, width], world units, 0 where unknown. Picklable."""

    scene: str
    files: tuple[DepthFile, ...]
    height: int
    width: int

    def __call__(self, index: int) -> np.ndarray:
        file = self.files[index]
        try:
            with Image.open(file.path) as image:
                if image.mode not in SIXTEEN_BIT_MODES or image.size != (self.width, self.height):
                    raise SceneError(
                        f"scene '{self.scene}': the depth map {file.path} is {image.width}x{image.height}, mode "
                        f"{image.mode}; it must be {self.width}x{self.height} like its image, 16-bit grey"
                    )
                steps = np.asarray(image)
        except (*DECODER_ERRORS, Image.DecompressionBombError) as error:
            raise undecodable(file.path, self.scene, error) from error
        return steps.astype(np.float32) * np.float32(file.scale)
