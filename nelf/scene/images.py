"""Photos and depth maps on disk."""

import posixpath
import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int16
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from nelf.core.errors import SceneError
from nelf.scene.lens import Camera, Distortion, Intrinsics, undistort

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
# What Pillow's decoders raise on damaged files.
DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, OverflowError, IndexError, KeyError)


@dataclass(frozen=True)
class Header:
    """Size of the stored pixels, whether EXIF turns them by 90 degrees, and whether there is alpha."""

    width: int
    height: int
    turned: bool
    alpha: bool


@dataclass(frozen=True)
class DepthFile:
    """A depth map. scale: world units of one step."""

    path: Path
    scale: float


@dataclass(frozen=True)
class Photo:
    """How to read one view: file, EXIF rotation, size after reduction, lens.

    intrinsics: fx, fy, cx, cy at width x height. distortion: all zero for an ideal camera.
    depth: its depth map, if there is one for the image as it is.
    own: the camera that took it, at the size of reading, if another camera is asked for.
    """

    path: Path
    rotate: bool
    width: int
    height: int
    intrinsics: Intrinsics
    distortion: Distortion
    depth: DepthFile | None = None
    own: Camera | None = None

    @property
    def camera(self) -> Camera:
        """Camera of the image as it is read."""
        return Camera(self.width, self.height, self.intrinsics)


@dataclass(frozen=True)
class PhotoReader:
    """Reads view i of one split, uint8 [height, width, channels]. Picklable, no state."""

    scene: str
    photos: tuple[Photo, ...]
    channels: int

    def __call__(self, index: int) -> np.ndarray:
        return read_photo(self.photos[index], self.channels, self.scene)


def read_header(path: Path, scene: str) -> Header:
    """Read an image's header without decoding it. Raises SceneError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged EXIF; the pixels may be fine
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                width, height = image.size
                # For a PNG, Pillow would decode all pixels to look for EXIF after them.
                exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
                turned = exif.get(ExifTags.Base.Orientation) in QUARTER_TURNS
                return Header(width, height, turned, _has_alpha(image))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise SceneError(
                f"scene '{scene}': {path} claims more pixels than the allowed {Image.MAX_IMAGE_PIXELS}; "
                "use a smaller image"
            ) from error
        except DECODER_ERRORS as error:
            raise undecodable(path, scene, error) from error


def read_photo(photo: Photo, channels: int, scene: str) -> np.ndarray:
    """Decode, rotate, reduce (area average) and undistort one photo, and resample it to the camera asked for.

    Returns uint8 [height, width, channels]. Colours are averaged premultiplied, so that transparent pixels do not
    bleed in. Raises SceneError.
    """
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(photo.path) as image:
            upright = ImageOps.exif_transpose(image) if photo.rotate else image
            pixels = _to_bytes(upright, channels)
    except (*DECODER_ERRORS, Image.DecompressionBombError) as error:
        raise undecodable(photo.path, scene, error) from error
    own = photo.own or photo.camera
    resize = pixels.shape[:2] != (own.height, own.width)
    resample = any(photo.distortion) or own != photo.camera
    if not resize and not resample:
        return pixels
    values = pixels.astype(np.float32)
    if channels == 4:
        values[..., :3] *= values[..., 3:] / 255
    if resize:
        values = _area_average(values, own.width, own.height)
    if resample:
        values = undistort(values, photo.distortion, own.intrinsics, photo.camera)
    if channels == 4:
        values[..., :3] *= 255 / np.maximum(values[..., 3:], 0.5)  # below half a step, alpha is stored as 0
    return np.asarray(values.round().clip(0, 255), dtype=np.uint8)


def undecodable(path: Path, scene: str, error: Exception) -> SceneError:
    """Error for a file that is not a readable image."""
    if isinstance(error, FileNotFoundError):
        reason = "it does not exist"
    elif isinstance(error, PermissionError):
        reason = "permission denied"
    elif isinstance(error, UnidentifiedImageError):
        reason = "it is not an image in a known format"
    else:
        reason = str(error).split("\n")[0] or type(error).__name__
    return SceneError(
        f"scene '{scene}': cannot read the image {path}: {reason}. Use PNG or JPEG, 8 or 16 bits, RGB, RGBA or grey; "
        "replace the file or remove its frame"
    )


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ALPHA_MODES or "transparency" in image.info


def _to_bytes(image: Image.Image, channels: int) -> np.ndarray:
    if image.mode in SIXTEEN_BIT_MODES:
        grey = np.asarray(image).astype(np.float32) / 257
        pixels = np.repeat(grey.round().clip(0, 255).astype(np.uint8)[..., None], 3, axis=-1)
        if channels == 4:
            pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=-1)
        return pixels
    if image.mode == "F":
        raise ValueError("it holds floating-point values")
    if channels == 3 and _has_alpha(image):
        image = image.convert("RGBA")
    return np.array(image.convert("RGB" if channels == 3 else "RGBA"))


def _area_average(values: np.ndarray, width: int, height: int) -> np.ndarray:
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), Image.Resampling.BOX))
        for plane in np.moveaxis(values, -1, 0)
    ]
    return np.stack(planes, axis=-1)


_SPELLINGS = tuple(spelling for s in IMAGE_SUFFIXES for spelling in (s, s.upper()))


def find_image(root: Path, listed: str, where: str) -> Path | None:
    """The file that a scene lists as `listed`, relative to `root`; None if it does not exist.

    The list may omit the suffix or give another one (after images were converted, 000.JPG for 000.jpg). Names that
    leave the folder are refused; absolute ones may lead into it.
    """
    name = _inside(root, listed)
    if name.startswith(("/", "../")) or name in ("..", ".") or re.match("[A-Za-z]:", name) or "\0" in name:
        raise SceneError(
            f"{where} names {listed!r}, which is outside the scene's folder; "
            "paths must be relative to the folder and stay inside it"
        )
    try:
        if (root / name).is_file():
            return Path(name)
        for candidate in _spellings(name):
            if (root / candidate).is_file():
                return Path(candidate)
    except OSError:  # a name longer than the file system allows
        return None
    return None


def _inside(root: Path, listed: str) -> str:
    """The name relative to `root`, if it lies inside."""
    name = posixpath.normpath(listed.replace("\\", "/"))
    for folder in (root.absolute(), root.resolve()):
        if name.startswith(f"{folder.as_posix()}/"):
            return name.removeprefix(f"{folder.as_posix()}/")
    return name


def _spellings(name: str) -> list[str]:
    """The name with each known suffix, added or replacing its own; other spellings of its own come first."""
    stem, suffix = posixpath.splitext(name)
    names = [name + spelling for spelling in _SPELLINGS]
    if suffix.lower() in IMAGE_SUFFIXES:
        nearest = sorted(_SPELLINGS, key=lambda spelling: spelling.lower() != suffix.lower())
        names += [stem + spelling for spelling in nearest]
    return names


def list_images(folder: Path) -> list[Path]:
    """Image files directly in `folder`, by name. Dead links count, since their photo is missing."""
    found = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    return sorted(p for p in found if p.is_file() or not p.exists())


def photo_files(root: Path) -> list[Path]:
    """Photos in `root`, `root`/images or `root`/photos: the first of these folders that has any."""
    for folder in (root, root / "images", root / "photos"):
        if folder.is_dir() and (found := list_images(folder)):
            return found
    return []


def image_folders(root: Path) -> dict[int, Path]:
    """`images` and `images_N` in `root`, by reduction factor (1 for `images`)."""
    found = {}
    for folder in root.iterdir():
        match = re.fullmatch(r"images(?:_([1-9]\d*))?", folder.name)
        if match and folder.is_dir():
            found[int(match[1] or 1)] = folder
    return dict(sorted(found.items()))


def pick_image_folder(root: Path, downscale: int, scene: str) -> tuple[Path, int]:
    """The folder to read for a total reduction by `downscale`, and the remaining reduction.

    Takes the smallest images that are large enough. Without full-size images, downscale = 1 means the largest ones.
    """
    folders = image_folders(root)
    if not folders:
        raise SceneError(f"scene '{scene}': there is no folder images or images_N in {root}; put the photos there")
    if downscale == 1:
        return next(iter(folders.values())), 1
    usable = [factor for factor in folders if downscale % factor == 0]
    if not usable:
        names = ", ".join(folder.name for folder in folders.values())
        allowed = ", ".join(f"{factor}" for factor in folders)
        raise SceneError(
            f"scene '{scene}': scene.downscale={downscale} counts from full size, but there is only {names}; "
            f"use a multiple of {allowed}, or 1 for the largest images"
        )
    return folders[max(usable)], downscale // max(usable)


FINEST = 65535  # the largest 16-bit number


def depth_scale(far: float) -> float:
    """World units per step that let 16 bits reach the farthest depth."""
    return far / FINEST


def to_steps(depth: Float[Tensor, "height width"], scale: float) -> Int16[Tensor, "height width"]:
    """Depths in steps of `scale`. They are unsigned 16-bit values stored as int16, which every device has."""
    steps = torch.where(depth > 0, (depth / scale).round().clamp(1, FINEST), 0.0).int()
    return torch.where(steps > FINEST // 2, steps - FINEST - 1, steps).short()


@dataclass(frozen=True)
class DepthReader:
    """Reads the depths of view i of one split, float32 [height, width], world units, 0 if unknown. Picklable."""

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
