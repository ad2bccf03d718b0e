"""Encodings of rays, each with its deployed form."""

import abc
import contextlib
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.core.cameras import Rays
from nelf.student.config import Mapping
from nelf.student.deploy import Layout
from nelf.student.geometry import SceneGeometry


def exact(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Context that computes in float32 even under autocast: phases need the precision."""
    return contextlib.nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def encoded_channels(points: int, octaves: int) -> int:
    """Channels of K `points` and L `octaves`: K * 3 * (1 + 2 L)."""
    return points * 3 * (1 + 2 * octaves)


def encode_points(
    coordinates: Float[Tensor, "batch coords height width"], octaves: int
) -> Float[Tensor, "batch channels height width"]:
    """Direct form: the coordinates, and sin and cos of each times 2^l for l = 0..octaves-1 (no pi)."""
    scaled = torch.cat([coordinates * 2**octave for octave in range(octaves)], dim=1)
    return torch.cat([coordinates, scaled.sin(), scaled.cos()], dim=1)


def ray_points(
    rays: Rays, depths: Float[Tensor, "*#rays points"], frame: SceneGeometry
) -> Float[Tensor, "batch coords height width"]:
    """Normalised coordinates of the points at `depths` on rays [batch, height, width, 3]; coords = (point, axis)."""
    if frame.mapping == Mapping.NDC:
        rays = ndc_rays(rays, frame)
        points = rays.origins[..., None, :] + depths[..., None] * rays.directions[..., None, :]
        return points.flatten(-2).permute(0, 3, 1, 2)
    center = rays.origins.new_tensor(frame.center)
    points = (rays.origins - center)[..., None, :] + depths[..., None] * rays.directions[..., None, :]
    points = points * frame.factors(depths)[..., None]
    return points.flatten(-2).permute(0, 3, 1, 2)


def ndc_rays(rays: Rays, frame: SceneGeometry) -> Rays:
    """Rays in normalised device coordinates of the geometry's reference camera (NeRF, appendix C, eq. 25 and 26).

    Parameter 0 lies on the near plane, 1 at infinity. Not affine in the pixel: the shift to the near plane divides by
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
    frame: SceneGeometry,
) -> tuple[Float[Tensor, "batch coords width"], Float[Tensor, "batch coords height"]]:
    """A(u) and B(v), whose sum A[..., None, :] + B[..., :, None] gives the coordinates.

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
    """Separated form of `encode_points`(A + B). Products are computed in `dtype` (default: that of `a`)."""
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
    """Image-plane coordinates of pixel positions: u of columns (to the right), v of rows (upwards)."""
    fx, fy, cx, cy = intrinsics[:, :, None].unbind(1)
    return (columns - cx) / fx, -(rows - cy) / fy


class Encoding(nn.Module, abc.ABC):
    """Common part of all forms: octaves, and the position of each axis in the layout."""

    def __init__(
        self,
        frame: SceneGeometry,
        columns: Float[Tensor, "width"],
        rows: Float[Tensor, "height"],
        depths: Float[Tensor, "points"],
        octaves: int,
        layout: Layout,
        dtype: torch.dtype,
    ) -> None:
        """columns, rows: the grid's pixel positions.

        depths: of the points of every ray, float64; with NDC they are parameters of the line, 0 to 1.
        """
        super().__init__()
        self.layout = layout
        self.octaves = octaves
        self.coordinates = 3 * len(depths)
        self.dtype = dtype
        u, v = plane_of(columns, rows, frame)
        self.constant("scales", _at(2.0 ** torch.arange(self.octaves), 2))
        self.constant("u", self.columns(u))
        self.constant("v", self.rows(v))
        self.keep_constants(frame, depths)

    @abc.abstractmethod
    def keep_constants(self, frame: SceneGeometry, depths: Float[Tensor, "points"]) -> None:
        """Keep the buffers of this form."""

    def __getattr__(self, name: str) -> Any:  # buffers, which nn.Module types as Tensor | Module
        return super().__getattr__(name)

    def constant(self, name: str, value: Float[Tensor, "*any"]) -> None:
        """Keep `value` as a float32 buffer."""
        self.register_buffer(name, value.float().contiguous(), persistent=False)

    def channels(self, values: Float[Tensor, "*any"]) -> Float[Tensor, "1 a b c"]:
        """Values along the channel axis."""
        return values.reshape((1, -1, 1, 1) if self.layout is Layout.CHANNELS_FIRST else (1, 1, 1, -1))

    def columns(self, values: Float[Tensor, "width"]) -> Float[Tensor, "1 a b c"]:
        """One value a column, along the width in the chosen layout."""
        return values.reshape((1, 1, 1, -1) if self.layout is Layout.CHANNELS_FIRST else (1, 1, -1, 1))

    def rows(self, values: Float[Tensor, "height"]) -> Float[Tensor, "1 a b c"]:
        """One value a row, along the height in the chosen layout."""
        return values.reshape((1, 1, -1, 1) if self.layout is Layout.CHANNELS_FIRST else (1, -1, 1, 1))

    def all_octaves(self, values: Float[Tensor, "1 1 points 3"]) -> Float[Tensor, "1 a b c"]:
        """Values times 2^l for every octave l, along the channel axis; exact, since these are powers of two."""
        return self.channels(values.reshape(1, 1, 1, -1) * self.scales)

    def concatenate(self, *tensors: Tensor) -> Tensor:
        """Concatenate along the channel axis, in the dtype of the network that follows."""
        return torch.cat([tensor.to(self.dtype) for tensor in tensors], dim=self.layout.value)

    def first_octave(self, values: Float[Tensor, "1 a b c"]) -> Float[Tensor, "1 d e f"]:
        """The part of `all_octaves` that belongs to l = 0."""
        return values.narrow(self.layout.value, 0, self.coordinates)


class SeparatedEncoding(Encoding):
    """`encode_separated` as P C + Q S, where P and Q depend only on the column, C and S only on the row:

        P = [A, sin A, cos A]   C = [1, cos B, cos B]   Q = [1, cos A, -sin A]   S = [B, sin B, sin B]

    Only two products and a sum run at the size of the grid, and nothing is concatenated there.
    """

    def keep_constants(self, frame: SceneGeometry, depths: Float[Tensor, "points"]) -> None:
        factors = frame.factors(depths)
        self.constant("factors", _at(factors, 2))
        self.constant("scaled_depths", _at(depths * factors, 2))
        self.constant("center", _at(torch.tensor(frame.center, dtype=torch.float64), 3))
        self.constant("one", self.channels(torch.ones(self.coordinates)))

    def forward(self, pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 a b c"]:
        p, c, q, s = self.factors_of(pose)
        return p * c + q * s

    def factors_of(self, pose: Float[Tensor, "1 3 4"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """P, C, Q and S."""
        right, up, back, eye = (pose[:, :, i].reshape(1, 1, 1, 3) for i in range(4))
        start = (eye - self.center) * self.factors - back * self.scaled_depths  # [1, 1, points, 3]
        across, upwards = (self.all_octaves(x * self.scaled_depths) for x in (right, up))
        a = self.all_octaves(start) + across * self.u
        b = upwards * self.v
        sin_a, cos_a, sin_b, cos_b = a.sin(), a.cos(), b.sin(), b.cos()
        one_a, one_b = (self.one.expand_as(self.first_octave(x)) for x in (a, b))
        p = self.concatenate(self.first_octave(a), sin_a, cos_a)
        c = self.concatenate(one_b, cos_b, cos_b)
        q = self.concatenate(one_a, cos_a, -sin_a)
        s = self.concatenate(self.first_octave(b), sin_b, sin_b)
        return p, c, q, s


class NdcEncoding(Encoding):
    """Direct form for normalised device coordinates, which are not affine in the pixel.

    With the reference camera's axes, ray direction d and origin o, NeRF's appendix C (eq. 25, 26) gives at parameter t,
    after o was shifted to the near plane,

        x = scale (t g - (1 - t) (o_x - (n + o_z) g) / n)   with g = d_x / d_z,    z = 2 t - 1

    so x is affine in g, y likewise in d_y / d_z, and z is constant. Only the two quotients need the whole grid.
    """

    def keep_constants(self, frame: SceneGeometry, depths: Float[Tensor, "points"]) -> None:
        reference = torch.tensor(frame.reference, dtype=torch.float64).reshape(3, 4)
        t = depths
        near = frame.near
        fx, fy = frame.intrinsics[:2]
        scale = torch.tensor([-2 * fx / frame.width, -2 * fy / frame.height, 0.0], dtype=torch.float64)
        self.constant("to_reference", reference[:, :3].T.reshape(1, 1, 3, 3))
        self.constant("origin", _at(reference[:, :3].T @ reference[:, 3], 3))
        # Per point and axis: coordinate = fixed + by_eye * o + (slope + by_depth * o_z) * quotient.
        weight = _at(t, 2)
        self.constant("fixed", (2 * weight - 1) * _at(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), 3))
        self.constant("by_eye", -(1 - weight) / near * _at(scale, 3))
        self.constant("slope", torch.ones_like(weight) * _at(scale, 3))
        self.constant("by_depth", (1 - weight) / near * _at(scale, 3))
        self.constant("only_x", _at(torch.tensor([1.0, 0.0, 0.0]), 3))
        self.constant("only_y", _at(torch.tensor([0.0, 1.0, 0.0]), 3))

    def forward(self, pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 a b c"]:
        right, up, back, eye = self._in_reference(pose)
        eye = eye - self.origin
        dx, dy, dz = (self._direction(*(x.narrow(3, i, 1) for x in (right, up, back))) for i in range(3))
        start = self.all_octaves(self.fixed + self.by_eye * eye)
        slope = self.slope + self.by_depth * eye.narrow(3, 2, 1)
        by_x, by_y = self.all_octaves(slope * self.only_x), self.all_octaves(slope * self.only_y)
        points = start + by_x * (dx / dz) + by_y * (dy / dz)
        return self.concatenate(self.first_octave(points), points.sin(), points.cos())

    def _in_reference(self, pose: Float[Tensor, "1 3 4"]) -> list[Float[Tensor, "1 1 1 3"]]:
        """The pose's four columns along the axes of the reference camera."""
        rows = pose.reshape(1, 1, 3, 4)
        turned = sum(self.to_reference.narrow(3, i, 1) * rows.narrow(2, i, 1) for i in range(3))
        return [turned.narrow(3, i, 1).reshape(1, 1, 1, 3) for i in range(4)]

    def _direction(self, right: Tensor, up: Tensor, back: Tensor) -> Tensor:
        return right * self.u + up * self.v - back


def _at(values: Float[Tensor, "n"], axis: int) -> Float[Tensor, "1 a b c"]:
    """Reshape values to lie along one of four axes."""
    return values.reshape([-1 if i == axis else 1 for i in range(4)])


def plane_of(
    columns: Float[Tensor, "width"], rows: Float[Tensor, "height"], frame: SceneGeometry
) -> tuple[Float[Tensor, "width"], Float[Tensor, "height"]]:
    """Image-plane coordinates of pixel positions: columns (to the right) and rows (upwards); float64."""
    fx, fy, cx, cy = frame.intrinsics
    return (columns.double().cpu() - cx) / fx, -(rows.double().cpu() - cy) / fy
