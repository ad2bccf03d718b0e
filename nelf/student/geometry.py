"""What a student knows about its scene: image size, depth range, and normalisation of world space to O(1)."""

import dataclasses
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from nelf.core.cameras import mean_pose
from nelf.student.config import Mapping

LONGEST_SIDE = 2**16  # pixels
EXTENT = 1.5  # coordinates are scaled to about [-1.5, 1.5], the extent of NeRF-synthetic objects


@dataclass(frozen=True)
class SceneGeometry:
    """Image size and scene normalisation of one student, as plain numbers, which are stored with its weights.

    height, width, channels: of the images (channels 4 = RGBA).
    intrinsics: fx, fy, cx, cy in pixels, the default for callers that give none (export).
    near, far: depth range along the view axis, world units.
    center: world point that becomes the origin.
    unit: length (world units) that becomes `EXTENT`, at depth 0, or everywhere with linear spacing.
    mapping: value of `Mapping`.
    reference: c2w of the mean camera, 3x4 row by row; only NDC uses it.
    low, high: corners of the box of normalised coordinates that feature tables cover.
    """

    height: int
    width: int
    channels: int
    intrinsics: tuple[float, float, float, float]
    near: float
    far: float
    center: tuple[float, float, float]
    unit: float
    mapping: str
    reference: tuple[float, ...]
    low: tuple[float, ...] = (-EXTENT,) * 3
    high: tuple[float, ...] = (EXTENT,) * 3

    @classmethod
    def around(
        cls,
        c2w: Float[Tensor, "n 3 4"],
        intrinsics: Float[Tensor, "n 4"],
        size: tuple[int, int],
        channels: int,
        near: float,
        far: float,
        center: Float[Tensor, "3"],
        radius: float,
        mapping: Mapping,
        *,
        within_ball: bool = False,
    ) -> "SceneGeometry":
        """Geometry of a scene seen by the cameras `c2w`.

        within_ball: with linear spacing, points lie only at depths where some camera sees the scene's ball; none is
        spent on empty space before and behind it.

        Linear spacing is normalised by the scene's ball (`center`, `radius`). The others use the cameras: the origin is
        their mean, the unit at depth 0 their largest distance from it (plus `near`). With disparity, tables cover the
        box of all that the cameras see: photos that look the same way fill a small part of the cube.
        """
        if mapping is not Mapping.LINEAR:
            positions = c2w[:, :, 3]
            center = positions.mean(0)
            radius = float((positions - center).norm(dim=-1).max()) + near
        elif within_ball:
            depth = ((center - c2w[:, :, 3]) * -c2w[:, :, 2]).sum(-1)
            near, far = max(near, float(depth.min()) - radius), min(far, float(depth.max()) + radius)
        fx, fy, cx, cy = (float(v) for v in intrinsics.double().mean(0))
        x, y, z = (float(v) for v in center)
        frame = cls(
            height=size[0],
            width=size[1],
            channels=channels,
            intrinsics=(fx, fy, cx, cy),
            near=float(near),
            far=float(far),
            center=(x, y, z),
            unit=float(radius),
            mapping=mapping.value,
            reference=tuple(float(v) for v in mean_pose(c2w).flatten()),
        )
        if mapping is not Mapping.DISPARITY:
            return frame
        low, high = _box_of_views(frame, c2w, intrinsics)
        return dataclasses.replace(frame, low=low, high=high)

    def depths(self, count: int) -> Float[Tensor, "count"]:
        """`count` ray parameters (float64) from near to far: depths, or for NDC the line's parameter, 0 to 1."""
        fraction = torch.linspace(0, 1, count, dtype=torch.float64)
        return fraction if self.mapping == Mapping.NDC else self.depth_at(fraction)

    def depth_at(self, fraction: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Depth at a fraction (0 to 1) of the range from near to far, in the spacing of the points; not for NDC."""
        if self.mapping == Mapping.DISPARITY:
            return 1 / (1 / self.near + fraction * (1 / self.far - 1 / self.near))
        return self.near + fraction * (self.far - self.near)

    def fraction_at(self, depth: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Inverse of `depth_at`; depths are clamped to near..far."""
        depth = depth.clamp(self.near, self.far)
        if self.mapping == Mapping.DISPARITY:
            return (1 / depth - 1 / self.near) / (1 / self.far - 1 / self.near)
        return (depth - self.near) / (self.far - self.near)

    def points_at(
        self,
        origins: Float[Tensor, "*#batch"],
        directions: Float[Tensor, "*#batch"],
        fraction: Float[Tensor, "*#batch"],
    ) -> Float[Tensor, "*#batch"]:
        """Normalised points at `depth_at(fraction)` on rays from `origins`, which are positions - center; not for NDC.

        With disparity s, depth is t = 1 / s, and (o + t d) E / (unit + t) = (o s + d) E / (unit s + 1). This takes one
        division (Core ML only approximates reciprocals) and no number too large for half precision.
        """
        if self.mapping == Mapping.DISPARITY:
            disparity = 1 / self.near + fraction * (1 / self.far - 1 / self.near)
            return EXTENT * (origins * disparity + directions) / (self.unit * disparity + 1)
        return (origins + self.depth_at(fraction) * directions) * (EXTENT / self.unit)

    def in_box(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Normalised points as shares of the box that tables cover: 0 to 1 inside."""
        low, high = points.new_tensor(self.low), points.new_tensor(self.high)
        return (points - low) / (high - low)

    def factors(self, depths: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Scale for points at the given depths: (position - center) times this is O(1)."""
        if self.mapping == Mapping.DISPARITY:
            return EXTENT / (self.unit + depths)
        return torch.full_like(depths, EXTENT / self.unit)

    def as_dict(self) -> dict[str, object]:
        """The fields as plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> "SceneGeometry":
        """Inverse of `as_dict`, also after JSON. Raises TypeError or ValueError for other content."""
        names = {field.name for field in dataclasses.fields(cls)}
        if set(values) != names:
            raise ValueError(f"frame has keys {sorted(values)}, expected {sorted(names)}")
        fixed = {k: tuple(float(x) for x in v) if isinstance(v, list | tuple) else v for k, v in values.items()}
        frame = cls(**fixed)  # type: ignore[arg-type]
        lengths = {"intrinsics": 4, "center": 3, "reference": 12, "low": 3, "high": 3}
        if not (
            all(type(size) is int and 1 <= size <= LONGEST_SIDE for size in (frame.height, frame.width))
            and frame.channels in (3, 4)
            and 0 < frame.near < frame.far < math.inf
            and 0 < frame.unit < math.inf
            and all(isinstance(fixed[k], tuple) and len(fixed[k]) == n for k, n in lengths.items())  # type: ignore[arg-type]
            and all(-math.inf < low < high < math.inf for low, high in zip(frame.low, frame.high, strict=True))
        ):
            raise ValueError(f"frame is {values}")
        Mapping(frame.mapping)
        return frame


BOX_MARGIN = 0.05  # of each side of the box: new cameras see a little more than those of the photos


def _box_of_views(
    frame: SceneGeometry, c2w: Float[Tensor, "n 3 4"], intrinsics: Float[Tensor, "n 4"]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The box of normalised points that the cameras see between near and far, with a margin.

    Points move along straight lines as the disparity changes, so the corners of the images bound them all.
    """
    fx, fy, cx, cy = intrinsics.double().unbind(1)
    u = torch.stack([-cx / fx, (frame.width - cx) / fx], dim=1)
    v = torch.stack([cy / fy, -(frame.height - cy) / fy], dim=1)
    right, up, back, eye = c2w.double().unbind(2)
    directions = (
        right[:, None, None] * u[:, :, None, None] + up[:, None, None] * v[:, None, :, None] - back[:, None, None]
    )
    origins = (eye - eye.new_tensor(frame.center))[:, None, None].expand_as(directions)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64, device=c2w.device)
    corners = frame.points_at(origins[..., None, :], directions[..., None, :], ends[:, None]).reshape(-1, 3)
    low, high = corners.amin(0), corners.amax(0)
    margin = BOX_MARGIN * (high - low)
    return tuple((low - margin).tolist()), tuple((high + margin).tolist())
