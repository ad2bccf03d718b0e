"""Ways between two rotations. Matrices [3, 3], double precision; the algebra is Rodrigues' formula and its inverse."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def from_vector(vector: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """Rotation about `vector` by its length in radians."""
    x, y, z = vector.unbind()
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
    angle = float(vector.norm())
    if angle == 0:
        return torch.eye(3, dtype=vector.dtype)
    first, second = math.sin(angle) / angle, 2 * (math.sin(angle / 2) / angle) ** 2
    return torch.eye(3, dtype=vector.dtype) + first * cross + second * (cross @ cross)


def to_vector(rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "3"]:
    """Axis times angle, angle in [0, pi]. By way of the quaternion, exact also near pi (Shepperd 1978)."""
    m = rotation
    trace = m[0, 0] + m[1, 1] + m[2, 2]
    squares = torch.stack([trace, m[0, 0], m[1, 1], m[2, 2]])
    largest = int(squares.argmax())
    if largest == 0:
        q = torch.stack([1 + trace, m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    else:
        i = largest - 1
        j, k = (i + 1) % 3, (i + 2) % 3
        q = torch.zeros(4, dtype=m.dtype)
        q[0] = m[k, j] - m[j, k]
        q[1 + i] = 1 + 2 * m[i, i] - trace
        q[1 + j] = m[i, j] + m[j, i]
        q[1 + k] = m[i, k] + m[k, i]
    q = q / q.norm()
    if q[0] < 0:
        q = -q
    sine = q[1:].norm()
    if float(sine) == 0:
        return torch.zeros(3, dtype=m.dtype)
    return q[1:] * (2 * torch.atan2(sine, q[0]) / sine)


def slerp(a: Float[Tensor, "3 3"], b: Float[Tensor, "3 3"], t: float) -> Float[Tensor, "3 3"]:
    """Rotation at share t of the shortest way from a to b; t may lie outside [0, 1]. Exactly a when a equals b."""
    return a if bool((a == b).all()) else a @ from_vector(t * to_vector(a.T @ b))


def angle_between(a: Float[Tensor, "3 3"], b: Float[Tensor, "3 3"]) -> float:
    """Angle of the rotation from a to b, in radians."""
    return float(angle_of_difference((a - b).norm()))


def angle_of_difference(difference: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Angle, in radians, between two rotations whose difference has this Frobenius norm: 2 sqrt(2) sin(angle / 2)."""
    return 2 * torch.asin((difference / math.sqrt(8)).clamp(max=1.0))
