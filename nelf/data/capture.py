"""What a format's loader hands over: listed photos and what the files say, nothing decided yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nelf.data.images import DepthFile
from nelf.data.lens import Lens
from nelf.data.scene import Kind


@dataclass(frozen=True)
class Problem:
    """Something about a scene that a user should know, and what to do about it.

    fatal: `nelf run` refuses the scene for it. command: what to type to mend it, with {scene} for the scene's folder;
    empty where only the user can: with other photos, or other poses.
    """

    what: str
    remedy: str
    fatal: bool = False
    command: str = ""

    def words(self, scene: str, overrides: Sequence[str]) -> list[str]:
        """The command for the scene in this folder, which was looked at with these overrides."""
        words = self.command.split()
        keys = {word.partition("=")[0] for word in words}
        kept = [override for override in overrides if override.partition("=")[0] not in keys]
        where = words.index("{scene}")
        return [*words[:where], scene, *kept, *words[where + 1 :]]

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


@dataclass(frozen=True)
class Frame:
    """One listed photo. It may turn out to be absent.

    where: the place in the scene's files, for messages.
    path: the image relative to the scene's folder; None where the listed name matches no file.
    c2w: float64 [3, 4], OpenGL axes, not yet checked.
    split: train, val, test, or None where the format has no split.
    depth: its depth map relative to the scene's folder; None where there is none whose unit is known.
    """

    where: str
    listed: str
    path: Path | None
    c2w: np.ndarray
    lens: Lens
    split: str | None = None
    depth: DepthFile | None = None


@dataclass
class Capture:
    """Everything that a scene's files say.

    downscale: by how much the images have still to be reduced.
    files: what was read beside images, relative to the scene's folder.
    depth_bounds: [n, 2] nearest and farthest depth of each frame, where the format has them.
    points: [n, 3] reconstructed world points, where the format has them.
    The rest is given only by scenes that nelf wrote, and overrides what the cameras suggest.
    """

    format: str
    frames: Sequence[Frame]
    downscale: int
    files: Sequence[Path] = ()
    depth_bounds: np.ndarray | None = None
    points: np.ndarray | None = None
    kind: Kind | None = None
    near: float | None = None
    far: float | None = None
    center: tuple[float, float, float] | None = None
    radius: float | None = None
    up: tuple[float, float, float] | None = None
    problems: list[Problem] = field(default_factory=list)
