"""Three numbers at a time, in double precision: the few operations that the reference camera needs."""

import math

Vector = tuple[float, float, float]

PARALLEL = 1e-9
"""Length below which the product of two unit vectors says nothing of a direction."""


def dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def add(a: Vector, b: Vector, scale: float = 1.0) -> Vector:
    """a + scale b."""
    return (a[0] + scale * b[0], a[1] + scale * b[1], a[2] + scale * b[2])


def times(a: Vector, scale: float) -> Vector:
    return (a[0] * scale, a[1] * scale, a[2] * scale)


def length(a: Vector) -> float:
    return math.sqrt(dot(a, a))


def unit(a: Vector, otherwise: Vector) -> Vector:
    """`a` at length 1; `otherwise` where `a` is too short to have a direction."""
    size = length(a)
    return times(a, 1 / size) if size >= PARALLEL else otherwise


def across(up: Vector) -> Vector:
    """Unit vector across `up` (unit length): the axis farthest from it (the first of equals), made perpendicular."""
    sizes = [abs(x) for x in up]
    index = sizes.index(min(sizes))
    axis = (float(index == 0), float(index == 1), float(index == 2))
    return unit(add(axis, up, -dot(axis, up)), axis)


def turned(a: Vector, axis: Vector, angle: float) -> Vector:
    """`a` turned about the unit vector `axis` by `angle` radians, anticlockwise (Rodrigues)."""
    c, s = math.cos(angle), math.sin(angle)
    along = dot(axis, a) * (1 - c)
    side = cross(axis, a)
    return (
        c * a[0] + s * side[0] + along * axis[0],
        c * a[1] + s * side[1] + along * axis[1],
        c * a[2] + s * side[2] + along * axis[2],
    )


def toward(a: Vector, pole: Vector, widest: float) -> Vector:
    """The unit vector `a`, brought to within `widest` radians of the unit vector `pole` by the shortest way."""
    off = add(a, pole, -dot(a, pole))
    if math.atan2(length(off), dot(a, pole)) <= widest:
        return a
    side = unit(off, (0.0, 0.0, 0.0))
    if side == (0.0, 0.0, 0.0):  # opposite: there is no shortest way
        return pole
    return add(times(pole, math.cos(widest)), side, math.sin(widest))


def clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def pose(right: Vector, up: Vector, back: Vector, eye: Vector) -> list[float]:
    """c2w, 3 rows of 4."""
    return [x for i in range(3) for x in (right[i], up[i], back[i], eye[i])]


def upright(back: Vector, up: Vector, eye: Vector) -> list[float]:
    """c2w of the camera at `eye` with backward axis `back` and `up` upwards in its image (unit vectors)."""
    aside = across(up)
    right = unit(cross(up, back), unit(cross(aside, back), aside))
    return pose(right, cross(back, right), back, eye)
