"""View directions as real spherical harmonics up to degree 3 (16 values), as in Müller et al. 2022, sec. 5.3."""

import torch
from jaxtyping import Float
from torch import Tensor

CHANNELS = 16


def encode_directions(directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 16"]:
    """Harmonics of `directions`, which need not have unit length."""
    x, y, z = torch.nn.functional.normalize(directions, dim=-1).unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    return torch.stack(
        [
            torch.full_like(x, 0.28209479),
            -0.48860251 * y, 0.48860251 * z, -0.48860251 * x,
            1.09254843 * x * y, -1.09254843 * y * z, 0.31539157 * (3 * zz - 1), -1.09254843 * x * z,
            0.54627421 * (xx - yy),
            -0.59004359 * y * (3 * xx - yy), 2.89061144 * x * y * z, -0.45704579 * y * (5 * zz - 1),
            0.37317633 * z * (5 * zz - 3), -0.45704579 * x * (5 * zz - 1), 1.44530572 * z * (xx - yy),
            -0.59004359 * x * (xx - 3 * yy),
        ],
        dim=-1,
    )  # fmt: skip
