"""A surface upsampler rebuilt for inference: nelf/student/surface.py with the rays of one image size as constants.

Nothing in it but the softmax of the depths needs more than half precision, and nothing a sine or cosine of a large
tensor, which the Neural Engine has not (nelf/export/fit/rules.py). A surface lies at c + x on its ray, where c is the
point half way from near to far. c is affine in the pixel and known before the network runs, so that its encoding is
separated as that of the coarse rays is.
With k, the mean of the depths counted from the middle, |k| < 1,

    x = k / (1 + q k) (a d + b o)

where d is the direction and o the origin less the frame's center: affine in the pixel, too. The octaves of x follow
from those of a fraction of it, |y| <= 1, for which short polynomials do, by doubling; by the addition theorems they
turn the octaves of c.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.export.encoding import Encoding, SeparatedEncoding, plane_of
from nelf.export.network import Layout, pointwise, rebuild
from nelf.student import Frame, Mapping, NeLF
from nelf.student.frame import EXTENT
from nelf.student.grid import SPACING, FactoredGrid
from nelf.student.surface import DEPTHS, SurfaceUpsampler

SINE = (-0.166666582, 0.00833180344, -0.000194321101)
COSINE = (-0.499999238, 0.0416529378, -0.00135214797)
"""(sin y - y) / y^3 and (cos y - 1) / y^2 in powers of y^2, for |y| <= 1: interpolated in Chebyshev's nodes of y^2."""


class Lines(NamedTuple):
    """What the pose alone says of the finer rays.

    middle: P, C, Q and S of the point half way. columns, rows: their sum is (a d + b o) / 2^halvings.
    """

    middle: tuple[Tensor, Tensor, Tensor, Tensor]
    columns: Float[Tensor, "1 a b c"]
    rows: Float[Tensor, "1 d e f"]


class SurfaceGraph(Encoding):
    """Features of the coarse rays and `lines` of the pose to an image."""

    def __init__(self, model: NeLF, layout: Layout, dtype: torch.dtype) -> None:
        super().__init__(layout, dtype, octaves=model.config.tail_octaves, points=1)
        upsampler, frame = model.upsampler, model.frame
        assert isinstance(upsampler, SurfaceUpsampler)
        self.finer, self.likelihood, self.mix, self.paint = (
            rebuild(part, layout).to(dtype)
            for part in (
                upsampler.finer,
                nn.Sequential(upsampler.likelihood),
                nn.Sequential(upsampler.mix),
                upsampler.paint,
            )
        )
        self.grid = None if upsampler.grid is None else GridGraph(upsampler.grid, layout, dtype)
        half_way = frame.depth_at(torch.tensor([0.5], dtype=torch.float64))
        grid = model.finer_columns, model.finer_rows
        self.middle = SeparatedEncoding(frame, *grid, half_way, self.octaves, layout, dtype)
        u, v = plane_of(*grid, frame)
        self.bend, along, across = _offset(frame, float(half_way))
        longest = along * float((1 + u.square().max() + v.square().max()).sqrt()) + across * frame.unit
        self.halvings = max(0, math.ceil(math.log2(longest / (1 - abs(self.bend)))))
        self.constant("u", self.columns(u))
        self.constant("v", self.rows(v))
        self.constant("center", self.channels(torch.tensor(frame.center, dtype=torch.float64)))
        self.along, self.across = along / 2**self.halvings, -across / 2**self.halvings
        numbers = torch.arange(DEPTHS, dtype=torch.float64)
        self.constant("numbers", self.channels((2 * numbers - (DEPTHS - 1)) / DEPTHS))  # exact in half precision

    def lines(self, pose: Float[Tensor, "1 3 4"]) -> Lines:
        right, up, back, eye = (self.channels(pose[:, :, i]) for i in range(4))
        columns = right * self.along * self.u - back * self.along
        if self.across:
            columns = columns + (eye - self.center) * self.across
        return Lines(self.middle.factors_of(pose), columns, up * self.along * self.v)

    def forward(self, features: Float[Tensor, "1 a b c"], lines: Lines) -> Float[Tensor, "1 d e f"]:
        features = self.finer(features)
        axis = self.layout.value
        likelihood = self.likelihood(features).float().softmax(dim=axis)
        k = (likelihood * self.numbers).sum(dim=axis, keepdim=True)
        return self.paint(self.mix(torch.cat([features, self.encode(k, lines)], dim=axis)))

    def encode(self, k: Float[Tensor, "1 a b c"], lines: Lines) -> Float[Tensor, "1 d e f"]:
        """The points at `k`, one a finer ray: as themselves, sines, cosines, features of their places."""
        if self.bend:
            k = k / (1 + self.bend * k)
        y = k * (lines.columns + lines.rows)
        p, c, q, s = lines.middle
        middle = p * c + q * s
        octaves = 3 * self.octaves
        coordinates, sine, cosine = middle.split([3, octaves, octaves], dim=self.layout.value)
        sines, cosines = self._octaves(y)
        coordinates = coordinates + y * 2**self.halvings
        known = [coordinates, sine * cosines + cosine * sines, cosine * cosines - sine * sines]
        if self.grid is not None:
            known.append(self.grid(coordinates))
        return self.concatenate(*known)

    def _octaves(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Sines and cosines of all octaves of x = 2^halvings y: sin 2x = 2 sin x cos x, cos 2x = 1 - 2 sin^2 x."""
        square = y * y
        sine, cosine = y + y * (square * _polynomial(SINE, square)), 1 + square * _polynomial(COSINE, square)
        octaves = [(sine, cosine)]
        for _ in range(self.halvings + self.octaves - 1):
            sine, cosine = 2 * (sine * cosine), 1 - 2 * (sine * sine)
            octaves.append((sine, cosine))
        sines, cosines = zip(*octaves[self.halvings :], strict=True)
        return self.concatenate(*sines), self.concatenate(*cosines)


class GridGraph(nn.Module):
    """A FactoredGrid as convolutions alone: one spreads coordinates over the nodes, three take the hat functions.

    Differences from near nodes are exact in half precision. A subtraction of constants would do the same, but
    broadcasts are what LiteRT's GPU delegate has got wrong silently (github.com/tensorflow/tensorflow/issues/61594).
    """

    def __init__(self, grid: FactoredGrid, layout: Layout, dtype: torch.dtype) -> None:
        super().__init__()
        self.axis, self.dtype = layout.value, dtype
        nodes = grid.nodes.cpu().float()
        self.spread = pointwise(torch.eye(3).repeat_interleave(len(nodes), dim=0), layout, -nodes.repeat(3))
        functions = grid.functions.detach().cpu().float() / SPACING
        self.functions = nn.ModuleList(pointwise(values, layout).to(dtype) for values in functions)

    def forward(self, points: Float[Tensor, "1 a b c"]) -> Float[Tensor, "1 d e f"]:
        distances = self.spread(points.clamp(-EXTENT, EXTENT)).abs()
        hats = (SPACING - distances).relu().to(self.dtype)
        along = hats.chunk(3, dim=self.axis)
        x, y, z = (function(hat) for function, hat in zip(self.functions, along, strict=True))
        return x * y * z


def _offset(frame: Frame, half_way: float) -> tuple[float, float, float]:
    """q, a and -b of this module's formula, the latter two positive.

    With linear mapping x = E/U (t - t') d, t' being half way. With disparity, s = 1/t, the two points' difference is
    x = E (s - s') (o - U d) / ((U s + 1) (U s' + 1)), from nelf/student/frame.py. k is 2 (DEPTHS - 1) / DEPTHS times as
    far from 0 as the fraction of the way is from 1/2.
    """
    reach = DEPTHS / (2 * (DEPTHS - 1))
    if frame.mapping == Mapping.LINEAR:
        return 0.0, EXTENT / frame.unit * (frame.far - frame.near) * reach, 0.0
    shrink = frame.unit / half_way + 1
    bend = frame.unit * (1 / frame.far - 1 / frame.near) * reach / shrink
    return bend, -EXTENT * bend / shrink, -EXTENT * bend / (shrink * frame.unit)


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    constant, linear, *higher = coefficients
    if not higher:
        return x * linear + constant
    return x * _polynomial((linear, *higher), x) + constant
