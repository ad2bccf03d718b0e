"""How the cameras stand around what they see: object, forward-facing or unbounded."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.cameras import focus_point
from nelf.data.scene import Kind, Views

PARALLEL = 25.0  # degrees between any optical axis (95 % of them) and their mean in a forward-facing capture
CONVERGING = 20.0  # degrees by which the median camera may look past the focus point
SURROUNDING = 0.6  # mean resultant length of the horizontal directions from focus to cameras; 0 all around, 1 one side
PLAIN_BORDER = 4.0  # 8-bit steps within which the image borders have one colour
LOOK_AT = 8  # images that are decoded to see whether there is any transparency


def find_kind(c2w: Float[Tensor, "n 3 4"], up: Float[Tensor, "3"], train: Views, channels: int) -> tuple[Kind, str]:
    """The kind, and the reason in words."""
    transparent = channels == 4 and _any_transparent(train)
    focus = focus_point(c2w)
    past, resultant = _convergence(c2w, focus), _one_sidedness(c2w, focus, up)
    converges = past < CONVERGING
    if transparent and converges:
        return Kind.OBJECT, "the images have transparent background and the cameras look at one point"
    angle = axis_angle(c2w)
    along, across = camera_spread(c2w)
    if angle < PARALLEL and along <= 2 * across + 1e-6:
        return Kind.FORWARD_FACING, f"the cameras look the same way, within {angle:.0f} degrees, from side by side"
    if converges and resultant < SURROUNDING and _plain_border(train):
        return Kind.OBJECT, "the cameras are all around one point and the images have a plain background"
    if converges:
        sides = "all around" if resultant < SURROUNDING else "on one side of"
        return Kind.UNBOUNDED, f"the cameras are {sides} one point and the images have a real background"
    return Kind.UNBOUNDED, "the cameras look in different directions from inside the scene"


def axis_angle(c2w: Float[Tensor, "n 3 4"]) -> float:
    """Degrees from the mean optical axis within which 95 % of the optical axes lie."""
    axes = -c2w[:, :, 2]
    mean = torch.nn.functional.normalize(axes.mean(0), dim=0)
    cosine = (axes @ mean).clamp(-1, 1)
    return math.degrees(float(torch.quantile(torch.acos(cosine), 0.95)))


def camera_spread(c2w: Float[Tensor, "n 3 4"]) -> tuple[float, float]:
    """Root-mean-square distance of the cameras from their mean, along the mean optical axis and across it."""
    axis = torch.nn.functional.normalize(-c2w[:, :, 2].mean(0), dim=0)
    offset = c2w[:, :, 3] - c2w[:, :, 3].mean(0)
    along = offset @ axis
    across = (offset - along[:, None] * axis).norm(dim=1)
    return float(along.square().mean().sqrt()), float(across.square().mean().sqrt())


def _convergence(c2w: Float[Tensor, "n 3 4"], focus: Float[Tensor, "3"]) -> float:
    """Median angle, in degrees, between where a camera looks and where the focus point is."""
    towards = torch.nn.functional.normalize(focus - c2w[:, :, 3], dim=1)
    cosine = (-c2w[:, :, 2] * towards).sum(1).clamp(-1, 1)
    return math.degrees(float(torch.acos(cosine).median()))


def _one_sidedness(c2w: Float[Tensor, "n 3 4"], focus: Float[Tensor, "3"], up: Float[Tensor, "3"]) -> float:
    offset = c2w[:, :, 3] - focus
    level = torch.nn.functional.normalize(offset - (offset @ up)[:, None] * up, dim=1)
    return float(level.mean(0).norm())


def _some(views: Views) -> list[np.ndarray]:
    count = min(len(views), LOOK_AT)
    return [views.read(round(i * (len(views) - 1) / max(count - 1, 1))) for i in range(count)]


def _any_transparent(views: Views) -> bool:
    return any((image[..., 3] < 255).any() for image in _some(views))


def _plain_border(views: Views) -> bool:
    return float(_borders(views).std(axis=0).max()) <= PLAIN_BORDER


def border_color(views: Views) -> Float[Tensor, "3"]:
    """Colour of the images' borders (median), [0, 1]: what is behind an object photographed without alpha."""
    return torch.from_numpy(np.median(_borders(views), axis=0) / 255).float()


def _borders(views: Views) -> Float[np.ndarray, "pixels 3"]:
    borders = [
        np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])[:, :3].astype(np.float32)
        for image in _some(views)
    ]
    return np.concatenate(borders)
