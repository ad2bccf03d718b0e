"""Working files of an import, and what is known of each photo. They outlive an interruption, not the import."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkingPhoto:
    """number: of the raw photo; working files are named after it, since no name of a user's breaks a number.

    upright: whether the working picture is turned as its own EXIF says. sharpness: see sharpness.py.
    """

    number: int
    name: str
    upright: bool
    sharpness: float

    @property
    def file(self) -> str:
        """Name of the working picture, as COLMAP knows it."""
        return f"{self.number:06d}.png"


def pictures_folder(folder: Path) -> Path:
    return folder / "pictures"


def masks_folder(folder: Path) -> Path:
    return folder / "masks"


def picture_path(folder: Path, number: int) -> Path:
    return pictures_folder(folder) / f"{number:06d}.png"


def mask_path(folder: Path, number: int) -> Path:
    """Where COLMAP looks for the mask of a picture."""
    return masks_folder(folder) / f"{number:06d}.png.png"


def has_alpha(folder: Path) -> bool:
    """Whether the working pictures have alpha: then, and only then, there are masks."""
    return masks_folder(folder).is_dir()
