"""Images of an ideal (pinhole) camera from those of OpenCV's distortion model (k1, k2, k3, p1, p2)."""

import functools

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.rays import pixel_grid

Distortion = tuple[float, float, float, float, float]
Intrinsics = tuple[float, float, float, float]


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
    return float((_sampling_grid(distortion, intrinsics, width, height).abs() > 1).any(-1).float().mean())


def inner_box(distortion: Distortion, intrinsics: Intrinsics, width: int, height: int) -> tuple[int, int, int, int]:
    """left, top, right, bottom of a rectangle of the ideal image that the photo shows whole; greed makes it large."""
    outside = (_sampling_grid(distortion, intrinsics, width, height).abs() > 1).any(-1).numpy()
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


def undistort(image: np.ndarray, distortion: Distortion, intrinsics: Intrinsics) -> np.ndarray:
    """The ideal camera's image, float32 [height, width, channels], same size and intrinsics; bicubic sampling.

    Pixels beyond the photo's border repeat the border. An image with alpha must come premultiplied.
    """
    height, width = image.shape[:2]
    grid = _sampling_grid(distortion, intrinsics, width, height)
    source = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)).permute(2, 0, 1)
    sampled = torch.nn.functional.grid_sample(
        source[None], grid[None], mode="bicubic", padding_mode="border", align_corners=False
    )[0]
    lowest, highest = source.amin(), source.amax()
    return np.ascontiguousarray(sampled.clamp(lowest, highest).permute(1, 2, 0).numpy())


@functools.lru_cache(maxsize=1)
def _sampling_grid(
    distortion: Distortion, intrinsics: Intrinsics, width: int, height: int
) -> Float[Tensor, "height width 2"]:
    """Where in the photo each ideal pixel is found, in grid_sample's units (-1 and 1: the outer edges)."""
    plane = distort(_to_plane(pixel_grid(height, width), intrinsics), distortion)
    fx, fy, cx, cy = intrinsics
    photo = plane * torch.tensor([fx, fy]) + torch.tensor([cx, cy])
    return 2 * photo / torch.tensor([width, height]) - 1


def _to_plane(pixels: Float[Tensor, "*points 2"], intrinsics: Intrinsics) -> Float[Tensor, "*points 2"]:
    fx, fy, cx, cy = intrinsics
    return (pixels - torch.tensor([cx, cy])) / torch.tensor([fx, fy])
