"""A surface upsampler rebuilt for inference: nelf/student/surface.py with the rays of one image size as constants."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from nelf.export.encoding import Encoding, plane_of
from nelf.export.network import Layout, rebuild
from nelf.student import NeLF
from nelf.student.surface import SurfaceUpsampler


class SurfaceGraph(Encoding):
    """Features of the coarse rays and the pose to an image.

    Where the surface is, and its encoding, are float32 in the graph whatever the rest runs in; a target may choose half
    precision for them (nelf/export/coreml.py).
    """

    def __init__(self, model: NeLF, layout: Layout, dtype: torch.dtype) -> None:
        super().__init__(layout, dtype, octaves=model.config.tail_octaves, points=1)
        upsampler = model.upsampler
        assert isinstance(upsampler, SurfaceUpsampler)
        self.frame = model.frame
        self.finer, self.likelihood, self.mix, self.paint = (
            rebuild(part, layout).to(dtype)
            for part in (
                upsampler.finer,
                nn.Sequential(upsampler.likelihood),
                nn.Sequential(upsampler.mix),
                upsampler.paint,
            )
        )
        u, v = plane_of(model.finer_columns, model.finer_rows, model.frame)
        self.constant("u", self.columns(u))
        self.constant("v", self.rows(v))
        self.constant("center", self.channels(torch.tensor(model.frame.center, dtype=torch.float64)))
        self.constant("fractions", self.channels(upsampler.fractions.double().cpu()))

    def forward(self, features: Float[Tensor, "1 a b c"], pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 d e f"]:
        features = self.finer(features)
        axis = self.layout.value
        likelihood = self.likelihood(features).float().softmax(dim=axis)
        fraction = (likelihood * self.fractions).sum(dim=axis, keepdim=True)
        encoded = self.encode(fraction, pose)
        return self.paint(self.mix(torch.cat([features, encoded], dim=axis)))

    def encode(self, fraction: Float[Tensor, "1 a b c"], pose: Float[Tensor, "1 3 4"]) -> Float[Tensor, "1 d e f"]:
        """The points at a fraction of the way from near to far, one a finer ray: as themselves, sines, cosines."""
        right, up, back, eye = (self.channels(pose[:, :, i]) for i in range(4))
        directions = right * self.u + up * self.v - back
        points = self.frame.points_at(eye - self.center, directions, fraction)
        return self.concatenate(points, *self._doubled(points.sin(), points.cos()))

    def _doubled(self, sine: Tensor, cosine: Tensor) -> list[Tensor]:
        """Sines of all octaves, then cosines, from those of the first: sin 2x = 2 sin x cos x, cos 2x = 1 - 2 sin^2 x.

        A device's sine costs more than all these products, and its argument is small. Its error doubles
        with each octave, as that of a rounded argument would.
        """
        sines, cosines = [sine], [cosine]
        for _ in range(self.octaves - 1):
            sine, cosine = 2 * (sine * cosine), 1 - 2 * (sine * sine)
            sines.append(sine)
            cosines.append(cosine)
        return sines + cosines
