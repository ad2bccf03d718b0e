"""Make working pictures of raw photos: one camera, one orientation, at most `size` pixels, alpha from masks."""

import math
import struct
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageFilter

from nelf.capture.photos import FEWEST, RawPhotos, WorkingPhoto, mask_path, picture_path
from nelf.capture.video import sharpness, to_grey
from nelf.core.errors import SceneError, one_line
from nelf.scene import Problem, write_image
from nelf.scene.images import DECODER_ERRORS, Header, Photo, read_header, read_photo
from nelf.scene.lens import NO_DISTORTION

QUARTERS = {3: 2, 6: 3, 8: 1}  # EXIF orientation -> quarter turns counter-clockwise that put the photo upright
LOOKED_AT = 640  # longest side at which sharpness is measured; pictures blurred there cannot be matched
ZOOM = 1.02  # largest ratio of focal lengths between photos of one lens
EXPOSURE_STOPS = 1.0  # that the exposure may change; colours of one thing then differ by a factor of two
OUTLINE = 11  # pixels
NAMED = 4


@dataclass(frozen=True)
class _Looked:
    """A photo with what its header says. None, or an empty name, where EXIF lacks it.

    focal: in pixels of the stored width. camera: its model. exposure: exposure value at ISO 100, one unit a stop.
    """

    number: int
    header: Header
    orientation: int = 1
    focal: float | None = None
    camera: str = ""
    exposure: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.header.width, self.header.height


@dataclass(frozen=True)
class Prepared:
    """The photos of one camera. focal: pixels of the working pictures, None if unknown. size: height, width."""

    photos: list[WorkingPhoto]
    focal: float | None
    size: tuple[int, int]
    problems: list[Problem]


def prepare(
    raw: RawPhotos,
    folder: Path,
    longest: int,
    progress: Callable[[int], None] = lambda done: None,
    skip_others: bool = False,
) -> Prepared:
    """Write the working pictures and masks to `folder`, except those that exist.

    Photos of another size, focal length or camera than most are refused or, with `skip_others`, left out and reported.
    All are turned the way that EXIF asks for in most of them, so that they stay pictures of one camera.
    progress: called with the number of photos done.
    """
    looked = [_look(i, path, raw.name) for i, path in enumerate(raw.photos)]
    chosen, problems = _of_one_camera(looked, raw, skip_others)
    problems += _exposures(chosen, raw)
    turn = Counter(QUARTERS.get(one.orientation, 0) for one in chosen).most_common(1)[0][0]
    width, height = chosen[0].size
    scale = min(1.0, longest / max(width, height))
    width, height = max(1, round(scale * width)), max(1, round(scale * height))
    channels = 4 if any(raw.masks) or any(one.header.alpha for one in chosen) else 3
    photos = []
    for one in chosen:
        name = raw.photos[one.number].stem
        path = picture_path(folder, one.number)
        if path.is_file():
            picture = np.asarray(Image.open(path))
        else:
            plain = Photo(raw.photos[one.number], False, width, height, (1.0, 1.0, 0.0, 0.0), NO_DISTORTION)
            picture = read_photo(plain, channels, raw.name)
            if (mask := raw.masks[one.number]) is not None:
                picture = _masked(picture, mask, raw.name)
            picture = np.ascontiguousarray(np.rot90(picture, turn))
            if channels == 4:
                write_image(mask_path(folder, one.number), _well_inside(picture[..., 3]))
            write_image(path, picture)
        upright = QUARTERS.get(one.orientation, 0) == turn
        photos.append(WorkingPhoto(one.number, name, upright, sharpness(to_grey(picture, LOOKED_AT))))
        progress(len(photos))
    if channels == 4 and any(raw.masks) and (without := sum(raw.masks[one.number] is None for one in chosen)):
        problems.append(
            Problem(f"{without} of {len(chosen)} photos have no mask and count as opaque", "give each photo a mask")
        )
    focal = next((one.focal for one in chosen if one.focal), None)
    turned = turn % 2 == 1
    return Prepared(photos, focal and focal * scale, (width, height) if turned else (height, width), problems)


def _look(number: int, path: Path, name: str) -> _Looked:
    header = read_header(path, name)
    found: dict[str, Any] = {}
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            exif = image.getexif() if image.format != "PNG" or "exif" in image.info else Image.Exif()
            found["orientation"] = int(exif.get(ExifTags.Base.Orientation) or 1)
            found["camera"] = one_line(exif.get(ExifTags.Base.Model) or "", 40)
            taken = exif.get_ifd(ExifTags.IFD.Exif)
            in_35mm = taken.get(ExifTags.Base.FocalLengthIn35mmFilm)
            if in_35mm and 5 <= float(in_35mm) <= 2000:
                found["focal"] = float(in_35mm) / 36 * max(header.width, header.height)
            seconds, f_number = taken.get(ExifTags.Base.ExposureTime), taken.get(ExifTags.Base.FNumber)
            iso = taken.get(ExifTags.Base.ISOSpeedRatings)
            if seconds and f_number and iso:
                exposure = math.log2(100 * float(f_number) ** 2 / (float(seconds) * float(iso)))
                found["exposure"] = exposure if math.isfinite(exposure) else None
    except (*DECODER_ERRORS, TypeError, ZeroDivisionError, struct.error):
        pass  # damaged EXIF; the pixels may be fine
    return _Looked(number, header, **found)


def _exposures(chosen: Sequence[_Looked], raw: RawPhotos) -> list[Problem]:
    """A problem if EXIF says that the camera chose its exposure anew for each photo."""
    known = sorted((one.exposure, raw.photos[one.number].name) for one in chosen if one.exposure is not None)
    if not known or known[-1][0] - known[0][0] <= EXPOSURE_STOPS:
        return []
    stops = known[-1][0] - known[0][0]
    what = f"the camera changed its exposure by {stops:.1f} stops, from {known[0][1]} to {known[-1][1]}"
    return [Problem(what, "lock exposure, focus and white balance (AE/AF lock) before the first photo")]


def _of_one_camera(looked: Sequence[_Looked], raw: RawPhotos, skip_others: bool) -> tuple[list[_Looked], list[Problem]]:
    problems = []

    def leave_out(others: Sequence[_Looked], what: str) -> None:
        what = f"{_photos_are(others, raw)} {what}"
        if not skip_others:
            remedy = "remove them, or pass photos.skip_others=true to leave them out"
            raise SceneError(f"photos '{raw.name}': {what}; {remedy}")
        problems.append(Problem(what, "they are left out"))

    size = Counter(one.size for one in looked).most_common(1)[0][0]
    same = [one for one in looked if one.size == size]
    if len(same) < len(looked):
        others = [one for one in looked if one.size != size]
        first = others[0].size
        leave_out(
            others,
            f"{first[0]}x{first[1]} pixels and most are {size[0]}x{size[1]}: frames of a video, crops, turned, or of "
            "another camera",
        )
    models = Counter(one.camera for one in same if one.camera)
    usual = models.most_common(1)[0][0] if models else ""
    if strangers := [one for one in same if one.camera and one.camera != usual]:
        same = [one for one in same if one not in strangers]
        leave_out(strangers, f"of another camera ({strangers[0].camera}) than most ({usual})")
    focal = Counter(round(one.focal) for one in same if one.focal).most_common(1)
    if focal:
        zoomed = [one for one in same if one.focal and not 1 / ZOOM < one.focal / focal[0][0] < ZOOM]
        if zoomed:
            same = [one for one in same if one not in zoomed]
            leave_out(zoomed, "of another focal length: do not zoom")
    if len(same) < FEWEST:
        raise SceneError(
            f"photos '{raw.name}': only {len(same)} of {len(looked)} photos have one size and focal length; "
            f"take at least {FEWEST}, better 30 to 100, with one camera and without zoom"
        )
    return same, problems


def _photos_are(some: Sequence[_Looked], raw: RawPhotos) -> str:
    names = [raw.photos[one.number].name for one in some]
    listed = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"{len(names)} photo{'s' * (len(names) > 1)} ({listed}) {'are' if len(names) > 1 else 'is'}"


def _well_inside(alpha: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """White where features may be: opaque, and away from the outline, which looks different from each side."""
    opaque = Image.fromarray(np.where(alpha == 255, 255, 0).astype(np.uint8)).filter(ImageFilter.MinFilter(OUTLINE))
    return np.repeat(np.asarray(opaque)[..., None], 3, axis=-1)


def _masked(picture: UInt8[np.ndarray, "height width 4"], path: Path, name: str) -> UInt8[np.ndarray, "height width 4"]:
    """The picture with its alpha limited by the mask: white stays, black goes."""
    height, width = picture.shape[:2]
    header = read_header(path, name)
    slack = 0.01 * max(header.width * height, header.height * width)
    if abs(header.width * height - header.height * width) > slack:
        raise SceneError(
            f"photos '{name}': the mask {path} is {header.width}x{header.height}, another aspect ratio than its photo; "
            "a mask covers the whole photo as stored: white is kept, black goes"
        )
    mask = read_photo(Photo(path, False, width, height, (1.0, 1.0, 0.0, 0.0), NO_DISTORTION), 3, name)
    alpha = np.minimum(picture[..., 3:], mask[..., :1])
    return np.concatenate([picture[..., :3], alpha], axis=-1)
