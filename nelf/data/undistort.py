"""Images of an ideal (pinhole) camera from those of OpenCV's distortion model (k1, k2, k3, p1, p2)."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.rays import pixel_grid

Distortion = tuple[float, float, float, float, float]
Intrinsics = tuple[float, float, float, float]
SHARE_SIDE = 128  # pixels along the longer side at which shares of an image are measured


@dataclass(frozen=True)
class Camera:
    """Size in pixels, and fx, fy, cx, cy at that size."""

    width: int
    height: int
    intrinsics: Intrinsics

    def reduced(self, width: int, height: int) -> "Camera":
        """The same camera with fewer pixels."""
        x, y = width / self.width, height / self.height
        fx, fy, cx, cy = self.intrinsics
        return Camera(width, height, (fx * x, fy * y, cx * x, cy * y))


def distort(plane: Float[Tensor, "*points 2"], distortion: Distortion) -> Float[Tensor, "*points 2"]:
    """Where the lens puts a point of the ideal image plane; both normalised (x right, y down, focal length 1).

    OpenCV documentation, "Camera Calibration and 3D Reconstruction", eq. of x'' and y''.
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
    """Whether the model maps two directions inside the image to one pixel, as wrong coefficients do."""
    edge = torch.stack(
        torch.meshgrid(torch.linspace(0, width, 33), torch.linspace(0, height, 33), indexing="xy"), dim=-1
    )
    moved = distort(_to_plane(edge, intrinsics), distortion)
    along_x, along_y = moved[:-1, 1:] - moved[:-1, :-1], moved[1:, :-1] - moved[:-1, :-1]
    return bool((along_x[..., 0] * along_y[..., 1] - along_x[..., 1] * along_y[..., 0] <= 0).any())


def outside_share(distortion: Distortion, intrinsics: Intrinsics, width: int, height: int) -> float:
    """Share of the ideal image's pixels that the photo does not show (they repeat its border)."""
    camera, scale = Camera(width, height, intrinsics), min(1.0, SHARE_SIDE / max(width, height))
    coarse = camera.reduced(max(1, round(scale * width)), max(1, round(scale * height)))
    return float((_sampling_grid(distortion, coarse, coarse).abs() > 1).any(-1).float().mean())


def inner_box(distortion: Distortion, intrinsics: Intrinsics, width: int, height: int) -> tuple[int, int, int, int]:
    """left, top, right, bottom of a rectangle of the ideal image that the photo shows whole; greed makes it large."""
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

    intrinsics: of `image`. ideal: the camera whose image is wanted, at the same place; by default one of the same size
    and intrinsics. Pixels beyond the photo's border repeat the border. An image with alpha must come premultiplied.
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
    """Where in the photo of camera `own` each ideal pixel is found, in grid_sample's units (-1 and 1: outer edges)."""
    plane = distort(_to_plane(pixel_grid(ideal.height, ideal.width), ideal.intrinsics), distortion)
    fx, fy, cx, cy = own.intrinsics
    photo = plane * torch.tensor([fx, fy]) + torch.tensor([cx, cy])
    return 2 * photo / torch.tensor([own.width, own.height]) - 1


def _to_plane(pixels: Float[Tensor, "*points 2"], intrinsics: Intrinsics) -> Float[Tensor, "*points 2"]:
    fx, fy, cx, cy = intrinsics
    return (pixels - torch.tensor([cx, cy])) / torch.tensor([fx, fy])
