"""Photos on disk: what their headers say, and their pixels as uint8 RGB or RGBA."""

import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from nelf.data.undistort import Camera, Distortion, Intrinsics, undistort
from nelf.errors import SceneError

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
