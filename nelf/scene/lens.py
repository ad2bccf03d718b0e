"""Intrinsics of photos, and removal of OpenCV's lens distortion."""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.core.cameras import pixel_grid

LONGEST_SIDE = 1e6  # pixels
FOCAL_SHARE = (0.01, 1e4)  # of the image's side: fields of view from 178 to 0.006 degrees
CENTER_SHARE = 10.0  # of the image's side: the principal point of a cropped photo may lie outside the image
STRONGEST = 1e6  # a tele lens has large distortion coefficients: they multiply powers of a small angle
NO_DISTORTION = (0.0, 0.0, 0.0, 0.0, 0.0)


class LensError(ValueError):
    """Intrinsics that cannot be used. The message says why and what is allowed; the caller adds the place."""


@dataclass(frozen=True)
class Lens:
    """Intrinsics of one photo; None for what the file does not give.

    focal_x, focal_y, center_x, center_y: pixels of an image of `width` x `height`.
    angle_x, angle_y: full fields of view in radians, used if there is no focal length.
    distortion: k1, k2, k3, p1, p2 of OpenCV's model.
    """

    focal_x: float | None = None
    focal_y: float | None = None
    center_x: float | None = None
    center_y: float | None = None
    width: float | None = None
    height: float | None = None
    angle_x: float | None = None
    angle_y: float | None = None
    distortion: tuple[float, float, float, float, float] = NO_DISTORTION


def fit_lens(lens: Lens, width: int, height: int, turned: bool) -> tuple[tuple[float, float, float, float], bool]:
    """fx, fy, cx, cy for the photo's pixels, and whether to apply its EXIF rotation.

    width, height: of the stored pixels. turned: EXIF turns the photo by 90 degrees.
    Intrinsics that fit the stored pixels win, whatever EXIF says: COLMAP and tools built on it use stored pixels. The
    rotation is applied if only the turned photo fits. Raises LensError.
    """
    fits = _fits(lens, width, height)
    sized = lens.width is not None and lens.height is not None
    if not turned and sized and not fits:
        raise LensError(
            f"is {width}x{height}, but its intrinsics are for {lens.width:g}x{lens.height:g}, another aspect ratio; "
            "give the intrinsics of the image as it is"
        )
    if fits or not turned:
        return _scaled(lens, width, height), False
    if not _fits(lens, height, width):
        raise LensError(
            f"is {width}x{height} ({height}x{width} after its EXIF rotation), but its intrinsics are for "
            f"{lens.width:g}x{lens.height:g}, another aspect ratio; give the intrinsics of the image as it is"
        )
    return _scaled(lens, height, width), True


def _fits(lens: Lens, width: int, height: int) -> bool:
    if lens.width and lens.height:
        scale = math.sqrt(width * height / (lens.width * lens.height))
        slack = max(1.0, 0.01 * min(width, height))  # resizing rounds each side
        return abs(lens.width * scale - width) <= slack and abs(lens.height * scale - height) <= slack
    if lens.center_x is not None and lens.center_y is not None and width != height:
        upright = math.hypot(lens.center_x - width / 2, lens.center_y - height / 2)
        turned = math.hypot(lens.center_x - height / 2, lens.center_y - width / 2)
        return upright <= turned
    return True


def _scaled(lens: Lens, width: int, height: int) -> tuple[float, float, float, float]:
    own_width, own_height = lens.width or float(width), lens.height or float(height)
    focal_x = _focal(lens.focal_x, lens.angle_x, own_width)
    focal_y = _focal(lens.focal_y, lens.angle_y, own_height)
    focal_x, focal_y = focal_x or focal_y, focal_y or focal_x
    if focal_x is None or focal_y is None:
        raise LensError("has no focal length; give fl_x (pixels) or camera_angle_x (radians)")
    center_x = own_width / 2 if lens.center_x is None else lens.center_x
    center_y = own_height / 2 if lens.center_y is None else lens.center_y
    x, y = width / own_width, height / own_height
    focal_x, focal_y, center_x, center_y = focal_x * x, focal_y * y, center_x * x, center_y * y
    low, high = FOCAL_SHARE
    if not (low * width <= focal_x <= high * width and low * height <= focal_y <= high * height):
        raise LensError(
            f"has focal lengths ({focal_x:g}, {focal_y:g}) for an image of {width}x{height} pixels; "
            f"they must be {low:g} to {high:g} times its sides"
        )
    if not (abs(center_x) <= CENTER_SHARE * width and abs(center_y) <= CENTER_SHARE * height):
        raise LensError(
            f"has the principal point ({center_x:g}, {center_y:g}) for an image of {width}x{height} pixels; "
            f"it must be within {CENTER_SHARE:g} times its sides"
        )
    return focal_x, focal_y, center_x, center_y


def _focal(focal: float | None, angle: float | None, side: float) -> float | None:
    if focal is None and angle is not None:
        focal = 0.5 * side / math.tan(0.5 * angle)
    return focal


def check_lens(lens: Lens) -> Lens:
    """Return the lens. Raises LensError if one of its numbers cannot be right."""
    for key, label, low, high in (
        ("focal_x", "focal length fl_x", 0.0, math.inf),  # fit_lens checks its range: it depends on the image's size
        ("focal_y", "focal length fl_y", 0.0, math.inf),
        ("width", "image width w", 1.0, LONGEST_SIDE),
        ("height", "image height h", 1.0, LONGEST_SIDE),
    ):
        value = getattr(lens, key)
        if value is not None and not (0 < value < math.inf and low <= value <= high):
            allowed = f", {low:g} to {high:g}" if high < math.inf else ""
            raise LensError(f"has {label} = {value:g}; it must be a positive number of pixels{allowed}")
    for key, label in (("angle_x", "camera_angle_x"), ("angle_y", "camera_angle_y")):
        value = getattr(lens, key)
        if value is not None and not 0 < value < math.pi:
            raise LensError(f"has {label} = {value:g}; it must be between 0 and pi (radians)")
    for key, label in (("center_x", "cx"), ("center_y", "cy")):
        value = getattr(lens, key)
        if value is not None and not math.isfinite(value):
            raise LensError(f"has {label} = {value}; it must be a finite number of pixels")
    if not all(abs(value) <= STRONGEST for value in lens.distortion):
        raise LensError(f"has distortion {lens.distortion}; the coefficients must be finite, at most {STRONGEST:g}")
    if not any(lens.distortion):
        lens = replace(lens, distortion=NO_DISTORTION)
    return lens


Distortion = tuple[float, float, float, float, float]
Intrinsics = tuple[float, float, float, float]
SHARE_SIDE = 128  # pixels of the longer side when shares of an image are measured


@dataclass(frozen=True)
class Camera:
    """Size in pixels, and fx, fy, cx, cy at that size."""

    width: int
    height: int
    intrinsics: Intrinsics

    def reduced(self, width: int, height: int) -> "Camera":
        """The same camera at another image size."""
        x, y = width / self.width, height / self.height
        fx, fy, cx, cy = self.intrinsics
        return Camera(width, height, (fx * x, fy * y, cx * x, cy * y))


def distort(plane: Float[Tensor, "*points 2"], distortion: Distortion) -> Float[Tensor, "*points 2"]:
    """Map points of the ideal image plane through the lens; both normalised (x right, y down, focal length 1).

    OpenCV documentation, "Camera Calibration and 3D Reconstruction", equations of x'' and y''.
    """
    k1, k2, k3, p1, p2 = distortion
    x, y = plane.unbind(-1)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return torch.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        dim=-1,
    )


@functools.lru_cache(maxsize=16)
def folds(distortion: Distortion, intrinsics: Intrinsics, width: int, height: int) -> bool:
    """Whether the model maps two directions inside the image to one pixel. Wrong coefficients do."""
    edge = torch.stack(
        torch.meshgrid(torch.linspace(0, width, 33), torch.linspace(0, height, 33), indexing="xy"), dim=-1
    )
    moved = distort(_to_plane(edge, intrinsics), distortion)
    along_x, along_y = moved[:-1, 1:] - moved[:-1, :-1], moved[1:, :-1] - moved[:-1, :-1]
    return bool((along_x[..., 0] * along_y[..., 1] - along_x[..., 1] * along_y[..., 0] <= 0).any())


def outside_share(distortion: Distortion, intrinsics: Intrinsics, width: int, height: int) -> float:
    """Share of the ideal image's pixels that the photo does not show. They repeat its border."""
    camera, scale = Camera(width, height, intrinsics), min(1.0, SHARE_SIDE / max(width, height))
    coarse = camera.reduced(max(1, round(scale * width)), max(1, round(scale * height)))
    return float((_sampling_grid(distortion, coarse, coarse).abs() > 1).any(-1).float().mean())


def inner_box(distortion: Distortion, intrinsics: Intrinsics, width: int, height: int) -> tuple[int, int, int, int]:
    """Rectangle (left, top, right, bottom) of the ideal image that lies fully inside the photo; found greedily."""
    camera = Camera(width, height, intrinsics)
    outside = (_sampling_grid(distortion, camera, camera).abs() > 1).any(-1).numpy()
    left, top, right, bottom = 0, 0, width, height
    while right - left > 1 and bottom - top > 1:
        inside = outside[top:bottom, left:right]
        shares = [inside[:, 0].mean(), inside[0].mean(), inside[:, -1].mean(), inside[-1].mean()]
        if max(shares) == 0:
            break
        worst = int(np.argmax(shares))
        left, top = left + (worst == 0), top + (worst == 1)
        right, bottom = right - (worst == 2), bottom - (worst == 3)
    return left, top, right, bottom


def undistort(
    image: np.ndarray, distortion: Distortion, intrinsics: Intrinsics, ideal: Camera | None = None
) -> np.ndarray:
    """The image of an ideal camera, float32 [height, width, channels]; bicubic sampling.

    intrinsics: of `image`. ideal: the wanted camera at the same place; by default of the same size and intrinsics.
    Pixels outside the photo repeat its border. An image with alpha must come premultiplied.
    """
    height, width = image.shape[:2]
    own = Camera(width, height, intrinsics)
    grid = _sampling_grid(distortion, own, ideal or own)
    source = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)).permute(2, 0, 1)
    sampled = torch.nn.functional.grid_sample(
        source[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False
    )[0]
    lowest, highest = source.amin(), source.amax()
    return np.ascontiguousarray(sampled.clamp(lowest, highest).permute(1, 2, 0).numpy())


@functools.lru_cache(maxsize=1)
def _sampling_grid(distortion: Distortion, own: Camera, ideal: Camera) -> Float[Tensor, "height width 2"]:
    """Position of each ideal pixel in the photo of camera `own`, in grid_sample's units (-1 and 1: outer edges)."""
    plane = distort(_to_plane(pixel_grid(ideal.height, ideal.width), ideal.intrinsics), distortion)
    fx, fy, cx, cy = own.intrinsics
    photo = plane * torch.tensor([fx, fy]) + torch.tensor([cx, cy])
    return 2 * photo / torch.tensor([own.width, own.height]) - 1


def _to_plane(pixels: Float[Tensor, "*points 2"], intrinsics: Intrinsics) -> Float[Tensor, "*points 2"]:
    fx, fy, cx, cy = intrinsics
    return (pixels - torch.tensor([cx, cy])) / torch.tensor([fx, fy])
