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
    """Size of the stored pixels, whether EXIF turns them by a quarter, and whether there is alpha."""

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
    """How to get one view's pixels: file, EXIF rotation, size after reduction, lens.

    intrinsics: fx, fy, cx, cy at width x height. distortion: all zero for an ideal camera.
    depth: its depth map, where there is one that fits the image as it is.
    own: the camera that took it, at the size to which the file is reduced, where that is not the one asked for here.
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
        """That of the image as it is read."""
        return Camera(self.width, self.height, self.intrinsics)


@dataclass(frozen=True)
class PhotoReader:
    """Gives view i of one split, uint8 [height, width, channels]. Picklable, no state."""

    scene: str
    photos: tuple[Photo, ...]
    channels: int

    def __call__(self, index: int) -> np.ndarray:
        return read_photo(self.photos[index], self.channels, self.scene)


def read_header(path: Path, scene: str) -> Header:
    """Look at an image without decoding it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EXIF that is damaged; the pixels may be fine
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(path) as image:
                width, height = image.size
                # Pillow would decode a whole PNG to look for EXIF after the pixels.
                exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
                turned = exif.get(ExifTags.Base.Orientation) in QUARTER_TURNS
                return Header(width, height, turned, _has_alpha(image))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise SceneError(
                f"scene '{scene}': {path} claims more pixels than the {Image.MAX_IMAGE_PIXELS} that are accepted; "
                "replace it by a smaller image"
            ) from error
        except DECODER_ERRORS as error:
            raise undecodable(path, scene, error) from error


def read_photo(photo: Photo, channels: int, scene: str) -> np.ndarray:
    """Decode, rotate, reduce (area average) and undistort one photo, and bring it to the camera that is asked for.

    Gives uint8 [height, width, channels].

    Averages and samples are taken of premultiplied colours, so that what is transparent does not bleed in.
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
        values[..., :3] *= 255 / np.maximum(values[..., 3:], 0.5)  # below half a step the stored alpha is 0
    return np.asarray(values.round().clip(0, 255), dtype=np.uint8)


def undecodable(path: Path, scene: str, error: Exception) -> SceneError:
    """The one line about a file that is not the image it should be."""
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
    """The file that a scene lists as `listed`, relative to `root`; None when there is none.

    The suffix may be left out, and the file may have another one than the list says (images that were converted,
    000.JPG for 000.jpg). A name that leaves the folder is refused; an absolute one may lead into it.
    """
    name = _inside(root, listed)
    if name.startswith(("/", "../")) or name in ("..", ".") or re.match("[A-Za-z]:", name) or "\0" in name:
        raise SceneError(
            f"{where} names {listed!r}, which is outside of the scene's folder; "
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
    """The name relative to `root` where it can be given so."""
    name = posixpath.normpath(listed.replace("\\", "/"))
    for folder in (root.absolute(), root.resolve()):
        if name.startswith(f"{folder.as_posix()}/"):
            return name.removeprefix(f"{folder.as_posix()}/")
    return name


def _spellings(name: str) -> list[str]:
    """The name with each known suffix, and where it has one, with each other: its own in other letters first."""
    stem, suffix = posixpath.splitext(name)
    names = [name + spelling for spelling in _SPELLINGS]
    if suffix.lower() in IMAGE_SUFFIXES:
        nearest = sorted(_SPELLINGS, key=lambda spelling: spelling.lower() != suffix.lower())
        names += [stem + spelling for spelling in nearest]
    return names


def list_images(folder: Path) -> list[Path]:
    """Image files directly in `folder`, by name; links that lead nowhere too, since a photo is missing there."""
    found = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    return sorted(p for p in found if p.is_file() or not p.exists())


def photo_files(root: Path) -> list[Path]:
    """Photos that lie in `root` itself, in `root`/images or in `root`/photos: the first of these that has any."""
    for folder in (root, root / "images", root / "photos"):
        if folder.is_dir() and (found := list_images(folder)):
            return found
    return []


def image_folders(root: Path) -> dict[int, Path]:
    """`images` and `images_N` in `root` by the factor that they are reduced by (1 for `images`)."""
    found = {}
    for folder in root.iterdir():
        match = re.fullmatch(r"images(?:_([1-9]\d*))?", folder.name)
        if match and folder.is_dir():
            found[int(match[1] or 1)] = folder
    return dict(sorted(found.items()))


def pick_image_folder(root: Path, downscale: int, scene: str) -> tuple[Path, int]:
    """The folder to read for a total reduction by `downscale`, and by how much its images are still to be reduced.

    The smallest images that are not too small win. Without full-size images, downscale = 1 means the largest there.
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
            f"scene '{scene}': scene.downscale={downscale} counts from full size, and there is only {names}; "
            f"use a multiple of {allowed}, or 1 for the largest images there are"
        )
    return folders[max(usable)], downscale // max(usable)


FINEST = 65535  # steps that 16 bits can count


def depth_scale(far: float) -> float:
    """World units of one step, such that the farthest depth fits."""
    return far / FINEST


def to_steps(depth: Float[Tensor, "height width"], scale: float) -> Int16[Tensor, "height width"]:
    """Depths in steps of `scale`: 16 bits without a sign, in the type with one, which every device has."""
    steps = torch.where(depth > 0, (depth / scale).round().clamp(1, FINEST), 0.0).int()
    return torch.where(steps > FINEST // 2, steps - FINEST - 1, steps).short()


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
