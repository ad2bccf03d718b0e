"""Coarse visual hull of an object from the alpha of its views (Laurentini 1994): where anything can be at all.

Conservative: a cell is removed only if a view sees it and shows nothing over the cell's whole footprint.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nelf.scene.scene import Views

CELLS = (32, 64)  # resolution of the first pass, and of the second in the box that remains
VIEWS = 60  # views used, evenly spread
MASK_SIDE = 200  # larger masks are reduced to about this, keeping every visible pixel
VISIBLE = 4  # alpha, in 8-bit steps, of a visible pixel
SEEN_BY = 0.3  # share of the views that must see a cell; fewer hardly test it


@dataclass(frozen=True)
class Hull:
    """Ball that holds all kept cells, around the middle of their box; world space."""

    center: Float[Tensor, "3"]
    radius: float


def visual_hull(views: Views, center: Float[Tensor, "3"], extent: float) -> Hull | None:
    """Carve the cube `center` +- `extent` with the views' alpha. None when nothing is left."""
    masks = _masks(views)
    low, high = center - extent, center + extent
    for cells in CELLS:
        size = (high - low) / cells
        half = float(size.norm()) / 2
        points = _grid(low, size, cells)
        points = points[_kept(views, masks, points, half)]
        if len(points) == 0:
            return None
        low, high = points.amin(0) - size / 2, points.amax(0) + size / 2
    middle = (low + high) / 2
    radius = float((points - middle).norm(dim=1).max()) + half
    return Hull(middle, radius)


def carve(views: Views, points: Float[Tensor, "n 3"], half: float) -> Bool[Tensor, "n"]:
    """Mask [n] of the cells that no view rules out. points: cell centres, world space; half: half diagonal of a cell.
    Computed on the device of `points`."""
    kept = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    kept[_kept(views, _masks(views), points, half)] = True
    return kept


def _masks(views: Views) -> dict[int, Bool[Tensor, "height width"]]:
    """Visible pixels of the views used, by view index."""
    count = min(len(views), VIEWS)
    chosen = sorted({round(i * (len(views) - 1) / max(count - 1, 1)) for i in range(count)})
    return {i: _mask(views.read(i)) for i in chosen}


def _mask(image: np.ndarray) -> Bool[Tensor, "height width"]:
    visible = torch.from_numpy(image[..., 3] >= VISIBLE)
    factor = max(1, max(visible.shape) // MASK_SIDE)
    if factor == 1:
        return visible
    pooled = torch.nn.functional.max_pool2d(visible[None].float(), factor, ceil_mode=True)
    return pooled[0] > 0


def _grid(low: Float[Tensor, "3"], size: Float[Tensor, "3"], cells: int) -> Float[Tensor, "n 3"]:
    steps = torch.arange(cells) + 0.5
    return low + torch.cartesian_prod(steps, steps, steps) * size


def _kept(
    views: Views, masks: dict[int, Bool[Tensor, "_ _"]], points: Float[Tensor, "n 3"], half: float
) -> Int[Tensor, "kept"]:
    """Indices of the cells that no view rules out. half: half diagonal of a cell.

    If a view's mask does not touch the image's border, the whole object is in sight. Then the view also rules out cells
    outside the image.
    """
    device = points.device
    kept = torch.arange(len(points), device=device)
    seen = torch.zeros(len(points), dtype=torch.int32, device=device)
    for view, mask in masks.items():
        mask, c2w, intrinsics = mask.to(device), views.c2w[view].to(device), views.intrinsics[view]
        if len(points) == 0:
            break
        height, width = mask.shape
        factor = max(1, max(views.height, views.width) // MASK_SIDE)
        cropped = bool(mask[0].any() | mask[-1].any() | mask[:, 0].any() | mask[:, -1].any())
        camera = (points - c2w[:, 3]) @ c2w[:, :3]
        depth = -camera[:, 2]
        tested = depth > 2 * half
        safe = depth.clamp_min(2 * half)
        fx, fy, cx, cy = (intrinsics / factor).tolist()
        x, y = cx + fx * camera[:, 0] / safe, cy - fy * camera[:, 1] / safe
        inside = tested & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        if not bool(inside.any()):
            continue
        # One dilation for all cells of the view: the footprint of the nearest visible cell.
        reach = math.ceil(max(fx, fy) * half / (float(depth[inside].min()) - half)) + 1
        dilated = _dilate(mask, min(reach, max(height, width)))
        shows = dilated[y.long().clamp(0, height - 1), x.long().clamp(0, width - 1)]
        beside = (x < -reach) | (x >= width + reach) | (y < -reach) | (y >= height + reach)
        keep = ~tested | (~inside | shows if cropped else shows & ~beside)
        seen += inside if cropped else tested
        points, kept, seen = points[keep], kept[keep], seen[keep]
    return kept[seen >= max(1, math.ceil(SEEN_BY * len(masks)))]


def _dilate(mask: Bool[Tensor, "height width"], reach: int) -> Bool[Tensor, "height width"]:
    """Grow by `reach` pixels along both axes (a square): test whether the window around a pixel sums above 0."""
    padded = torch.nn.functional.pad(mask.to(torch.int32), [reach + 1, reach, reach + 1, reach])
    total = padded.cumsum(0).cumsum(1)
    side = 2 * reach + 1
    return (total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]) > 0
