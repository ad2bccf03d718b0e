"""Ray encoding: K points a ray, each coordinate as itself, sin and cos at L octaves (MobileR2L, sec. 3.1).

Two forms give the same numbers. `encode_points` is the readable one and takes any points. `encode_separated` uses that
with unnormalised directions every coordinate is an affine function of the pixel, A(u) + B(v), so

    sin(A + B) = sin A cos B + cos A sin B,   cos(A + B) = cos A cos B - sin A sin B

and trigonometry runs on H + W values instead of H x W. Precision then only matters in A and B (float32); the products
are safe in half precision, where the direct form would lose the phase.

Channel order of both: all K*3 coordinates, then sin of all at octave 0..L-1, then cos of all at octave 0..L-1;
inside a group the order is octave, point, axis.
"""

import contextlib

import torch
from jaxtyping import Float
from torch import Tensor

from nelf.rays import Rays
from nelf.student.config import Mapping
from nelf.student.frame import Frame


def exact(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Where phases are computed: float32 whatever autocast says, since half a phase is no phase."""
    return contextlib.nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def encoded_channels(points: int, octaves: int) -> int:
    """Channels that K `points` and L `octaves` give: K * 3 * (1 + 2 L)."""
    return points * 3 * (1 + 2 * octaves)


def encode_points(
    coordinates: Float[Tensor, "batch coords height width"], octaves: int
) -> Float[Tensor, "batch channels height width"]:
    """Direct form: the coordinates, and sin and cos of each times 2^l for l = 0..octaves-1 (no pi)."""
    scaled = torch.cat([coordinates * 2**octave for octave in range(octaves)], dim=1)
    return torch.cat([coordinates, scaled.sin(), scaled.cos()], dim=1)


def ray_points(
    rays: Rays, depths: Float[Tensor, "*#rays points"], frame: Frame
) -> Float[Tensor, "batch coords height width"]:
    """Normalised coordinates of the points at `depths` on rays [batch, height, width, 3]; coords = point, axis."""
    if frame.mapping == Mapping.NDC:
        rays = ndc_rays(rays, frame)
        points = rays.origins[..., None, :] + depths[..., None] * rays.directions[..., None, :]
        return points.flatten(-2).permute(0, 3, 1, 2)
    center = rays.origins.new_tensor(frame.center)
    points = (rays.origins - center)[..., None, :] + depths[..., None] * rays.directions[..., None, :]
    points = points * frame.factors(depths)[..., None]
    return points.flatten(-2).permute(0, 3, 1, 2)


def ndc_rays(rays: Rays, frame: Frame) -> Rays:
    """Rays in the normalised device coordinates of the frame's reference camera (NeRF, appendix C, eq. 25 and 26).

    Parameter 0 lies on the near plane, 1 at infinity. Not affine in the pixel: the step to the near plane divides by
    the direction's depth.
    """
    reference = rays.origins.new_tensor(frame.reference).reshape(3, 4)
    fx, fy = frame.intrinsics[:2]
    scale = rays.origins.new_tensor([-2 * fx / frame.width, -2 * fy / frame.height])
    origin = (rays.origins - reference[:, 3]) @ reference[:, :3]
    direction = rays.directions @ reference[:, :3]
    origin = origin - ((frame.near + origin[..., 2:]) / direction[..., 2:]) * direction
    flat = scale * origin[..., :2] / origin[..., 2:]
    slope = scale * (direction[..., :2] / direction[..., 2:]) - flat
    disparity = 2 * frame.near / origin[..., 2:]
    return Rays(torch.cat([flat, 1 + disparity], dim=-1), torch.cat([slope, -disparity], dim=-1))


def separate(
    c2w: Float[Tensor, "batch 3 4"],
    u: Float[Tensor, "batch width"],
    v: Float[Tensor, "batch height"],
    depths: Float[Tensor, "points"],
    frame: Frame,
) -> tuple[Float[Tensor, "batch coords width"], Float[Tensor, "batch coords height"]]:
    """A(u) and B(v): coordinates are A[..., None, :] + B[..., :, None].

    u, v: image-plane coordinates (x - cx) / fx and -(y - cy) / fy of the grid's columns and rows.
    """
    factors = frame.factors(depths).to(c2w.dtype)
    scaled_depths = (depths * factors.to(depths.dtype)).to(c2w.dtype)
    center = c2w.new_tensor(frame.center)
    origin = (c2w[:, :, 3] - center)[:, None, :] * factors[:, None]  # batch point axis
    across = c2w[:, None, :, 0] * scaled_depths[:, None]
    upwards = c2w[:, None, :, 1] * scaled_depths[:, None]
    forward = origin - c2w[:, None, :, 2] * scaled_depths[:, None]
    a = forward.flatten(1)[:, :, None] + across.flatten(1)[:, :, None] * u[:, None, :]
    b = upwards.flatten(1)[:, :, None] * v[:, None, :]
    return a, b


def encode_separated(
    a: Float[Tensor, "batch coords width"],
    b: Float[Tensor, "batch coords height"],
    octaves: int,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "batch channels height width"]:
    """Separated form of `encode_points`(A + B). The products are formed in `dtype` (default: that of `a`)."""
    dtype = dtype or a.dtype
    scaled_a = torch.cat([a * 2**octave for octave in range(octaves)], dim=1)
    scaled_b = torch.cat([b * 2**octave for octave in range(octaves)], dim=1)
    sin_a, cos_a = (f(scaled_a).to(dtype)[:, :, None, :] for f in (torch.sin, torch.cos))
    sin_b, cos_b = (f(scaled_b).to(dtype)[:, :, :, None] for f in (torch.sin, torch.cos))
    value = a.to(dtype)[:, :, None, :] + b.to(dtype)[:, :, :, None]
    sine = sin_a * cos_b + cos_a * sin_b
    cosine = cos_a * cos_b - sin_a * sin_b
    return torch.cat([value, sine, cosine], dim=1)


def image_plane(
    columns: Float[Tensor, "width"], rows: Float[Tensor, "height"], intrinsics: Float[Tensor, "batch 4"]
) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "batch height"]]:
    """Image-plane coordinates of pixel positions: u of the columns to the right, v of the rows upwards."""
    fx, fy, cx, cy = intrinsics[:, :, None].unbind(1)
    return (columns - cx) / fx, -(rows - cy) / fy
