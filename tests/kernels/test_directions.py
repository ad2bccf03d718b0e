"""Spherical harmonics: known values, and orthonormal over the sphere."""

import math

import torch

from nelf.kernels.hash_encoding import CHANNELS, encode_directions


def test_known_values() -> None:
    """Sloan, Efficient Spherical Harmonic Evaluation, 2013, table of the polynomial forms, towards +z."""
    found = encode_directions(torch.tensor([[0.0, 0.0, 2.0]]))[0]  # the length does not matter
    expected = torch.zeros(CHANNELS)
    for degree in range(4):  # towards the pole only m = 0 is left: sqrt((2l + 1) / 4 pi)
        expected[degree * degree + degree] = math.sqrt((2 * degree + 1) / (4 * math.pi))
    assert torch.allclose(found, expected, atol=1e-6)


def test_orthonormal() -> None:
    # Directions of a spiral with equal areas: the quadrature is far better than that of random ones.
    count = 20_000
    z = 1 - 2 * (torch.arange(count, dtype=torch.float64) + 0.5) / count
    angle = torch.arange(count, dtype=torch.float64) * math.pi * (3 - math.sqrt(5))
    side = (1 - z * z).sqrt()
    values = encode_directions(torch.stack([side * angle.cos(), side * angle.sin(), z], dim=1))
    gram = values.T @ values * (4 * math.pi / count)
    assert torch.allclose(gram, torch.eye(CHANNELS, dtype=torch.float64), atol=1e-3)
