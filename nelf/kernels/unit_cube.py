"""From world space to the unit cube in which the field lives, and how depths along a ray are spaced.

Three spaces, one a kind of scene:

box          a bounded object: its cube, uniformly. Depths evenly spaced.
contraction  an unbounded place: the ball around the cameras' interest keeps its shape, everything beyond is squashed
             into a shell (mip-NeRF 360, eq. 10, with the maximum norm). Depths even up to the ball, then in disparity.
frustum      forward-facing: perspective division in the mean camera, z in disparity, so that cells have the same size
             in pixels at every depth. Depths evenly spaced in disparity.

Each space is one small vector of numbers (`parameters`) and one function, written twice: in torch as the reference,
for one point in numba for the CPU marcher.
"""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.kernels.dispatch import array, inlined

BOX, CONTRACTION, FRUSTUM = 0, 1, 2
MARGIN = 1.02  # the outermost pixel's footprint must not stick out of the cube
ODD = 45.0  # degrees from the mean optical axis beyond which a forward-facing capture's camera is an odd one out
STEEPEST = 8.0  # tangent that a frustum is widened to at most: 83 degrees


class UnitCubeParams(NamedTuple):
    """A `UnitCubeMapping` as compiled loops take it. values: its parameters."""

    shape: int
    near: float
    far: float
    values: np.ndarray


@dataclass(frozen=True)
class UnitCubeMapping:
    """shape: BOX, CONTRACTION or FRUSTUM.

    near, far: depth range along the view axis.
    parameters [18]: center (3), radius, knee (depth where even spacing ends), near, mean camera c2w (12).
    """

    shape: int
    near: float
    far: float
    parameters: Float[Tensor, "18"]

    @classmethod
    def box(cls, center: Float[Tensor, "3"], radius: float, near: float, far: float) -> "UnitCubeMapping":
        """Cube of half side `radius` around `center`."""
        return cls(BOX, near, far, _parameters(center, radius * MARGIN, far, near, torch.eye(4)[:3]))

    @classmethod
    def contraction(cls, center: Float[Tensor, "3"], radius: float, near: float, far: float) -> "UnitCubeMapping":
        """Cube of half side `radius` kept, the rest contracted."""
        # Even spacing up to the end of the ball, seen from a camera on its surface; always between near and far.
        knee = min(max(2 * radius, 2 * near), (near + far) / 2)
        return cls(CONTRACTION, near, far, _parameters(center, radius, knee, near, torch.eye(4)[:3]))

    @classmethod
    def frustum(
        cls, c2w: Float[Tensor, "3 4"], tangent: float, cameras: Float[Tensor, "n 3 4"], near: float, far: float
    ) -> "UnitCubeMapping":
        """Frustum of the mean camera `c2w`, widened until it holds what all `cameras` see.

        tangent: of half the larger field of view. The apex lies behind all cameras, so that depths are positive.
        A camera that is turned far from the others is left out: it would widen the frustum until nothing of it is left
        for what the others see.
        """
        axis = c2w[:, 2]
        alike = cameras[cameras[:, :, 2] @ axis > math.cos(math.radians(ODD))]
        cameras = alike if len(alike) else cameras
        offset = cameras[:, :, 3] - c2w[:, 3]
        behind = float((offset @ axis).clamp_min(0).max())
        apex = torch.cat([c2w[:, :3], (c2w[:, 3] + axis * behind)[:, None]], dim=1)
        reach, closest = 0.0, near
        for camera in cameras:  # corners of every view at both ends of the depth range
            for depth in (near, far):
                for x in (-tangent, tangent):
                    for y in (-tangent, tangent):
                        point = camera[:, 3] + camera[:, :3] @ camera.new_tensor([x * depth, y * depth, -depth])
                        local = (point - apex[:, 3]) @ apex[:, :3]
                        reach = max(reach, float((local[:2].abs() / (-local[2]).clamp_min(1e-6)).max()))
                        closest = min(closest, max(float(-local[2]), near / 2))
        reach = min(reach, STEEPEST)
        return cls(FRUSTUM, near, far, _parameters(torch.zeros(3), reach * MARGIN, far, closest / MARGIN, apex))

    def to_cube(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Unit-cube coordinates of world points. Points outside a box or frustum fall outside [0, 1]."""
        p = self.parameters.to(points.device)
        if self.shape == FRUSTUM:
            c2w = p[6:18].reshape(3, 4)
            # No matrix product: autocast would round positions to eight bits.
            local = ((points - c2w[:, 3])[..., None] * c2w[:, :3]).sum(-2)
            depth = (-local[..., 2:]).clamp_min(1e-6)
            return torch.cat([local[..., :2] / (depth * p[3]) * 0.5 + 0.5, p[5] / depth], dim=-1)
        scaled = (points - p[:3]) / p[3]
        if self.shape == BOX:
            return scaled * 0.5 + 0.5
        norm = scaled.abs().amax(dim=-1, keepdim=True).clamp_min(1e-6)
        return torch.where(norm > 1, scaled * (2 - 1 / norm) / norm, scaled) * 0.25 + 0.5

    def from_cube(self, cube: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World points of unit-cube coordinates (inverse of `to_cube` inside the cube)."""
        p = self.parameters.to(cube.device)
        if self.shape == FRUSTUM:
            c2w = p[6:18].reshape(3, 4)
            depth = p[5] / cube[..., 2:].clamp_min(1e-6)
            local = torch.cat([(cube[..., :2] - 0.5) * 2 * depth * p[3], -depth], dim=-1)
            return (local[..., None, :] * c2w[:, :3]).sum(-1) + c2w[:, 3]
        if self.shape == BOX:
            return (cube - 0.5) * 2 * p[3] + p[:3]
        contracted = (cube - 0.5) * 4
        norm = contracted.abs().amax(dim=-1, keepdim=True).clamp(1e-6, 2 - 1e-3)
        return torch.where(norm > 1, contracted / norm / (2 - norm), contracted) * p[3] + p[:3]

    def depth(self, s: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Depth at the ray parameter s in [0, 1]."""
        if self.shape == BOX:
            return self.near + s * (self.far - self.near)
        if self.shape == FRUSTUM:
            return 1 / (1 / self.near + s * (1 / self.far - 1 / self.near))
        knee = self.parameters[4]
        even = self.near + 2 * s * (knee - self.near)
        return torch.where(s < 0.5, even, 1 / (1 / knee + (2 * s - 1).clamp_min(0) * (1 / self.far - 1 / knee)))

    @functools.cached_property
    def packed(self) -> Float[Tensor, "20"]:
        """Everything but the shape, for kernels: parameters, near, far."""
        ends = [torch.full((1,), value, device=self.parameters.device) for value in (self.near, self.far)]
        return torch.cat([self.parameters, *ends])

    @property
    def for_loops(self) -> UnitCubeParams:
        """The mapping as compiled loops take it."""
        return UnitCubeParams(self.shape, self.near, self.far, array(self.parameters))

    def to(self, device: torch.device | str) -> "UnitCubeMapping":
        """The same mapping on a device."""
        return UnitCubeMapping(self.shape, self.near, self.far, self.parameters.to(device))


def _parameters(
    center: Float[Tensor, "3"], radius: float, knee: float, near: float, c2w: Float[Tensor, "3 4"]
) -> Float[Tensor, "18"]:
    return torch.cat([center.float(), torch.tensor([radius, knee, near]), c2w.flatten().float()])


@inlined
def depth_at(s: float, cube: UnitCubeParams) -> float:
    """`UnitCubeMapping.depth` for one value."""
    near, far, knee = cube.near, cube.far, cube.values[4]
    if cube.shape == BOX:
        return near + s * (far - near)
    if cube.shape == FRUSTUM:
        return 1 / (1 / near + s * (1 / far - 1 / near))
    if s < 0.5:
        return near + 2 * s * (knee - near)
    return 1 / (1 / knee + (2 * s - 1) * (1 / far - 1 / knee))


@inlined
def cube_at(x: float, y: float, z: float, cube: UnitCubeParams) -> tuple[float, float, float]:
    """`UnitCubeMapping.to_cube` for one point."""
    p = cube.values
    if cube.shape == FRUSTUM:
        x, y, z = x - p[9], y - p[13], z - p[17]
        lx = x * p[6] + y * p[10] + z * p[14]
        ly = x * p[7] + y * p[11] + z * p[15]
        depth = max(-(x * p[8] + y * p[12] + z * p[16]), 1e-6)
        return lx / (depth * p[3]) * 0.5 + 0.5, ly / (depth * p[3]) * 0.5 + 0.5, p[5] / depth
    x, y, z = (x - p[0]) / p[3], (y - p[1]) / p[3], (z - p[2]) / p[3]
    if cube.shape == BOX:
        return x * 0.5 + 0.5, y * 0.5 + 0.5, z * 0.5 + 0.5
    norm = max(abs(x), max(abs(y), abs(z)))
    squash = (2 - 1 / norm) / norm if norm > 1 else 1.0
    return x * squash * 0.25 + 0.5, y * squash * 0.25 + 0.5, z * squash * 0.25 + 0.5
