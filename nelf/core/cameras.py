"""Camera poses and intrinsics. Axes, pixel centres and units: docs/conventions.md.

`c2w` is [..., 3, 4], camera to world, OpenGL axes (x right, y up, looks along -z).
`intrinsics` is [..., 4]: fx, fy, cx, cy in pixels, with pixel centres at +0.5.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

RIGID_TOLERANCE = 1e-2  # transforms.json of phones carries six digits, and scales drift by a few parts in a thousand


def look_at(
    eye: Float[Tensor, "*batch 3"], target: Float[Tensor, "*batch 3"], up: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3 4"]:
    """Pose of a camera at `eye` that looks at `target` (world space) with `up` upwards in the image.

    When you look along `up`, some upright image is chosen.
    """
    backward = torch.nn.functional.normalize(eye - target, dim=-1)
    right = torch.linalg.cross(up.expand_as(backward), backward)
    degenerate = right.norm(dim=-1, keepdim=True) < 1e-6
    other = torch.where(up.abs().argmin(dim=-1, keepdim=True) == torch.arange(3, device=up.device), 1.0, 0.0).expand_as(
        backward
    )
    right = torch.where(degenerate, torch.linalg.cross(other, backward), right)
    right = torch.nn.functional.normalize(right, dim=-1)
    return torch.stack([right, torch.linalg.cross(backward, right), backward, eye], dim=-1)


def focus_point(c2w: Float[Tensor, "n 3 4"]) -> Float[Tensor, "3"]:
    """World point [3] nearest to all optical axes, in least squares.

    Nearly parallel axes leave the point undetermined along them. Then the offset from the mean camera centre has
    minimum norm.
    """
    origin, axis = c2w[:, :, 3].double(), c2w[:, :, 2].double()
    axis = axis / axis.norm(dim=-1, keepdim=True)
    projector = torch.eye(3, dtype=torch.float64) - axis[:, :, None] * axis[:, None, :]
    mean = origin.mean(0)
    rhs = (projector @ (origin - mean)[:, :, None]).sum(0)
    offset = torch.linalg.lstsq(projector.sum(0), rhs, rcond=1e-6, driver="gelsd").solution[:, 0]
    return (mean + offset).float()


def is_rigid(c2w: Float[Tensor, "3 4"]) -> bool:
    """Whether the pose is finite and its left 3x3 part a rotation (orthonormal, right-handed) within tolerance."""
    if not bool(torch.isfinite(c2w).all()):
        return False
    rotation = c2w[:, :3].double()
    return bool(bend(rotation) < RIGID_TOLERANCE) and bool(torch.linalg.det(rotation) > 0)  # huge numbers give NaN


def bend(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Largest deviation of R R^T from the identity."""
    return (rotation @ rotation.mT - torch.eye(3, dtype=rotation.dtype)).abs().amax((-1, -2))


def orthonormalize(c2w: Float[Tensor, "*batch 3 4"]) -> Float[Tensor, "*batch 3 4"]:
    """The pose with its rotation replaced by the nearest true rotation (polar decomposition by SVD)."""
    u, _, vh = torch.linalg.svd(c2w[..., :3].double())
    return torch.cat([(u @ vh).to(c2w.dtype), c2w[..., 3:]], dim=-1)


def mean_pose(c2w: Float[Tensor, "n 3 4"]) -> Float[Tensor, "3 4"]:
    """Camera at the mean position that looks along the mean axis, upright as the cameras are on average."""
    backward = torch.nn.functional.normalize(c2w[:, :, 2].mean(0), dim=0)
    right = torch.nn.functional.normalize(torch.linalg.cross(c2w[:, :, 1].mean(0), backward), dim=0)
    return torch.stack([right, torch.linalg.cross(backward, right), backward, c2w[:, :, 3].mean(0)], dim=1)


def widest_gap(
    c2w: Float[Tensor, "n 3 4"], center: Float[Tensor, "3"], up: Float[Tensor, "3"]
) -> tuple[tuple[int, int], float]:
    """Two neighbouring cameras around `center`, counter-clockwise as seen from `up`, and the degrees between them.

    No two neighbours are farther apart, and no camera stands between them.
    """
    right, down = seen_from_above(up)
    level = (c2w[:, :, 3] - center) @ torch.stack([right, -down]).T
    azimuth = torch.rad2deg(torch.atan2(level[:, 1], level[:, 0]))
    order = azimuth.argsort(stable=True)
    gaps = torch.cat([azimuth[order[1:]], azimuth[order[:1]] + 360]) - azimuth[order]
    widest = int(gaps.argmax())
    return (int(order[widest]), int(order[(widest + 1) % len(order)])), float(gaps[widest])


def seen_from_above(up: Float[Tensor, "3"]) -> Float[Tensor, "2 3"]:
    """World directions that point right and down in a drawing of the ground seen from above."""
    least = torch.eye(3)[int(up.abs().argmin())]
    right = torch.nn.functional.normalize(least - (least @ up) * up, dim=0)
    return torch.stack([right, torch.linalg.cross(right, up)])


def see_the_same(c2w: Float[Tensor, "n 3 4"], half_view: Float[Tensor, "n"]) -> Bool[Tensor, "n n"]:
    """Whether two cameras can see one thing: they look the same way, at each other, or their axes meet ahead.

    half_view: radians from the optical axis to the corner of each image. Walls are unknown.
    """
    origin, axis = c2w[:, :, 3].double(), -c2w[:, :, 2].double()
    cosine = (axis @ axis.T).clamp(-1, 1)
    same_way = torch.acos(cosine) < half_view[:, None] + half_view
    apart = origin[:, None] - origin  # [i, j]: from j to i
    along, across = (apart * axis[:, None]).sum(-1), (apart * axis).sum(-1)
    slant = (1 - cosine.square()).clamp_min(1e-9)
    first, second = (cosine * across - along) / slant, (across - cosine * along) / slant
    gap = (apart + first[..., None] * axis[:, None] - second[..., None] * axis).norm(dim=-1)
    wide = torch.tan(half_view.clamp(max=1.4)).double()
    distance = apart.norm(dim=-1).clamp_min(1e-9)
    sees = -along / distance > torch.cos(half_view.double())[:, None]
    return same_way | (sees & sees.T) | ((first > 0) & (second > 0) & (gap < wide[:, None] * first + wide * second))


@dataclass(frozen=True)
class Rays:
    """A batch of rays in world space: the point at depth t is `origins + t * directions`."""

    origins: Float[Tensor, "*rays 3"]
    directions: Float[Tensor, "*rays 3"]

    def __len__(self) -> int:
        return self.origins.shape[0]

    def __getitem__(self, index: slice | Tensor) -> "Rays":
        return Rays(self.origins[index], self.directions[index])

    def flatten(self) -> "Rays":
        """The same rays as [n, 3]."""
        return Rays(self.origins.reshape(-1, 3), self.directions.reshape(-1, 3))

    def to(self, device: torch.device | str) -> "Rays":
        """The same rays on a device."""
        return Rays(self.origins.to(device), self.directions.to(device))


def pixel_grid(height: int, width: int, device: torch.device | str = "cpu") -> Float[Tensor, "height width 2"]:
    """Coordinates (x, y) of all pixel centres: x = column + 0.5, y = row + 0.5, y downwards."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device) + 0.5, torch.arange(width, device=device) + 0.5, indexing="ij"
    )
    return torch.stack([x, y], dim=-1)


def rays_through(
    pixels: Float[Tensor, "*rays 2"], c2w: Float[Tensor, "*#rays 3 4"], intrinsics: Float[Tensor, "*#rays 4"]
) -> Rays:
    """Rays through image points `pixels` (x right, y down, in pixels) of the given cameras."""
    focal, centre = intrinsics[..., :2], intrinsics[..., 2:]
    plane = (pixels - centre) / focal
    camera = torch.stack([plane[..., 0], -plane[..., 1], -torch.ones_like(plane[..., 0])], dim=-1)
    directions = (c2w[..., :3] @ camera[..., None])[..., 0]
    return Rays(c2w[..., 3].expand_as(directions), directions)


def image_rays(c2w: Float[Tensor, "3 4"], intrinsics: Float[Tensor, "4"], height: int, width: int) -> Rays:
    """Rays through every pixel centre of one image: [height, width, 3]."""
    return rays_through(pixel_grid(height, width, c2w.device), c2w, intrinsics)
