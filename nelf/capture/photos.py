"""Photos without poses: their folder, and working copies."""

from dataclasses import dataclass
from pathlib import Path

from nelf.core.errors import SceneError
from nelf.core.files import sha256
from nelf.scene import FORMATS
from nelf.scene.images import photo_files

MASKS = "masks"
FEWEST = 3  # two photos cannot tell a true position from a wrong one
UNREADABLE = {  # files of phones and cameras, and what to do with them
    **dict.fromkeys((".heic", ".heif"), "export the photos as JPEG (on an iPhone: Camera, Formats, Most Compatible)"),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw"), "develop the raw files to JPEG or PNG"),
    **dict.fromkeys((".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm"), "for a video: nelf data import video FILE"),
}


@dataclass(frozen=True)
class RawPhotos:
    """Files of photos, with masks (None for a photo without one). name: for messages."""

    name: str
    photos: tuple[Path, ...]
    masks: tuple[Path | None, ...]

    def digests(self) -> dict[str, str | None]:
        """SHA-256 of every file that the scene is made from, by file name."""
        files: dict[str, str | None] = {f"{i:06d} {photo.name}": sha256(photo) for i, photo in enumerate(self.photos)}
        masks = {f"{i:06d} mask": sha256(mask) if mask else None for i, mask in enumerate(self.masks)}
        return {**files, **masks}


def is_raw(root: Path) -> bool:
    """Whether `root` holds photos, but poses in no known format."""
    return root.is_dir() and not any(detect(root) for detect, _ in FORMATS.values()) and bool(photo_files(root))


def list_photos(root: Path, name: str | None = None) -> RawPhotos:
    """The photos in `root`, `root`/images or `root`/photos, with their masks in `root`/masks. Raises SceneError."""
    name = name or root.resolve().name
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise SceneError(f"folder of photos {root} {what}; give the folder that holds them")
    photos = photo_files(root)
    if not photos:
        raise SceneError(f"photos '{name}': no PNG, JPEG, WebP or TIFF images in {root}; {_hint(root)}")
    if len(photos) < FEWEST:
        raise SceneError(
            f"photos '{name}': {len(photos)} photo{'s' * (len(photos) > 1)} in {photos[0].parent} cannot show where "
            f"the camera stood; take at least {FEWEST}, 30 to 100 for a good scene, each from another place"
        )
    return RawPhotos(name, tuple(photos), tuple(_mask(root / MASKS, photo) for photo in photos))


def _mask(folder: Path, photo: Path) -> Path | None:
    """masks/IMG_1.png, or COLMAP's masks/IMG_1.jpg.png."""
    candidates = (folder / f"{photo.name}.png", folder / f"{photo.stem}.png", folder / photo.name)
    return next((path for path in candidates if path.is_file()), None)


def _hint(root: Path) -> str:
    for path in sorted(root.iterdir()):
        if (remedy := UNREADABLE.get(path.suffix.lower())) is not None:
            return f"it holds {path.name}: {remedy}"
    return "put the photos there"


@dataclass(frozen=True)
class WorkingPhoto:
    """A photo prepared for COLMAP.

    number: index of the raw photo, which names the working files: users' names may hold anything. upright: whether the
    working picture is turned as its EXIF says. sharpness: see video.py.
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
    """Where the working pictures of a scene are kept."""
    return folder / "pictures"


def masks_folder(folder: Path) -> Path:
    """Where the masks of the working pictures are kept."""
    return folder / "masks"


def picture_path(folder: Path, number: int) -> Path:
    """The file of one working picture."""
    return pictures_folder(folder) / f"{number:06d}.png"


def mask_path(folder: Path, number: int) -> Path:
    """Where COLMAP looks for the mask of a picture."""
    return masks_folder(folder) / f"{number:06d}.png.png"


def has_alpha(folder: Path) -> bool:
    """Whether the working pictures have alpha. If so, and only then, there are masks."""
    return masks_folder(folder).is_dir()
