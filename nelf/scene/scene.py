"""Scene: images, cameras, bounds and splits. Captures and pseudo datasets share this type."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from nelf.scene.config import SceneType as SceneType  # a part of what a scene is


@dataclass(frozen=True)
class Views:
    """The posed images of one split, decoded on demand.

    names: one per view, the image's name without folder and suffix, unique in the split.
    read: reads view i as stored pixels, uint8 [height, width, 3 or 4], straight alpha, undistorted and resized.
    read_depth: reads the depths of view i along the view axis, float32 [height, width], world units, 0 if unknown. None
    if the scene has no depth.
    """

    names: tuple[str, ...]
    c2w: Float[Tensor, "n 3 4"]
    intrinsics: Float[Tensor, "n 4"]
    height: int
    width: int
    read: Callable[[int], np.ndarray]
    read_depth: Callable[[int], np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> UInt8[Tensor, "height width channels"]:
        """One view as stored."""
        return torch.from_numpy(self.read(index))

    def images(self) -> UInt8[Tensor, "n height width channels"]:
        """All views in one table, decoded on all cores."""
        first = self.image(0)
        table = torch.empty(len(self), *first.shape, dtype=torch.uint8)
        table[0] = first

        def fill(index: int) -> None:
            table.numpy()[index] = self.read(index)

        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="views") as threads:
            for _ in threads.map(fill, range(1, len(self))):
                pass
        return table

    def select(self, indices: list[int]) -> "Views":
        """The views at `indices`, in that order."""
        return dataclasses.replace(
            self,
            names=tuple(self.names[i] for i in indices),
            c2w=self.c2w[indices],
            intrinsics=self.intrinsics[indices],
            read=functools.partial(_read_selected, self.read, tuple(indices)),
            read_depth=self.read_depth and functools.partial(_read_selected, self.read_depth, tuple(indices)),
        )


def _read_selected(read: Callable[[int], np.ndarray], indices: tuple[int, ...], index: int) -> np.ndarray:
    return read(indices[index])


@dataclass(frozen=True)
class SceneBounds:
    """Type of a scene, and where its content lies.

    near, far: depths along the view axis, in world units, that enclose the scene in every view.
    center, radius: ball of interest (world space): the object, or what an unbounded scene's cameras look at.
    up: world direction that points up for the viewer, unit length.
    channels: 3 (RGB) or 4 (RGBA, straight alpha).
    files: all sources of the views, images and poses, relative to root.
    problems: what you should know, one line each with its remedy. type_reason: why it has this type, for people.
    """

    type: SceneType
    type_reason: str
    near: float
    far: float
    center: Float[Tensor, "3"]
    radius: float
    up: Float[Tensor, "3"]


@dataclass(frozen=True)
class Scene(SceneBounds):
    """Posed images of one place, and its bounds.

    channels: 3 (RGB) or 4 (RGBA, straight alpha).
    files: all sources of the views, images and poses, relative to root.
    problems: what you should know, one line each with its remedy.
    """

    name: str
    root: Path
    format: str
    splits: Mapping[str, Views]
    channels: int
    files: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def train(self) -> Views:
        """Views to learn from."""
        return self.splits["train"]

    @property
    def val(self) -> Views:
        """Views that choose the weights."""
        return self.splits["val"]

    @property
    def test(self) -> Views:
        """Views that are measured at the end."""
        return self.splits["test"]

    @property
    def size(self) -> tuple[int, int]:
        """height, width of every image."""
        return self.train.height, self.train.width
