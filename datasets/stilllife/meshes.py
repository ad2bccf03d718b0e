"""Curves and the meshes swept along them: surfaces of revolution, tubes and leaves. World units, z up."""

import mitsuba as mi
import numpy as np


def mesh(name, positions, normals, uv, shape, bsdf):
    """Mitsuba mesh of a grid of vertices.

    positions, normals: [rows * columns, 3]; uv: [rows * columns, 2]; shape: (rows, columns).
    """
    rows, columns = shape
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    right, below = corner + 1, corner + columns
    faces = np.concatenate([np.stack([corner, right, below], 1), np.stack([right, below + 1, below], 1)])
    props = mi.Properties()
    props["bsdf"] = mi.load_dict(bsdf)
    result = mi.Mesh(name, len(positions), len(faces), props, True, True)
    params = mi.traverse(result)
    params["vertex_positions"] = positions.astype(np.float32).ravel()
    params["vertex_normals"] = normals.astype(np.float32).ravel()
    params["vertex_texcoords"] = uv.astype(np.float32).ravel()
    params["faces"] = faces.astype(np.uint32).ravel()
    params.update()
    return result


def spline(knots, samples):
    """Catmull-Rom curve through `knots` [K, D], evenly sampled in parameter: [samples, D]."""
    p = np.asarray(knots, float)
    p = np.concatenate([[2 * p[0] - p[1]], p, [2 * p[-1] - p[-2]]])
    at = np.linspace(0, len(p) - 3 - 1e-9, samples)
    i, t = at.astype(int), (at % 1)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def lathe(name, profile, centre, bsdf, planar_uv=None, turns=96):
    """Surface of revolution about the z axis through `centre`.

    profile: [P, 2] of (radius, height), walked with the outside on the right (foot to lip). UV is
    (angle, arc length), or the xy plane where `planar_uv` gives the radius that maps to [0, 1].
    """
    tangent = np.gradient(profile, axis=0)
    outward = np.stack([tangent[:, 1], -tangent[:, 0]], 1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True) + 1e-12
    angle = np.linspace(0, 2 * np.pi, turns + 1)
    around = np.stack([np.cos(angle), np.sin(angle)], 1)

    def spin(radius_height):
        flat = radius_height[:, None, :1] * around[None]
        height = np.broadcast_to(radius_height[:, None, 1:], (*flat.shape[:2], 1))
        return np.concatenate([flat, height], 2).reshape(-1, 3)

    local = spin(profile)
    if planar_uv:
        uv = 0.5 + 0.5 * local[:, :2] / planar_uv
    else:
        length = np.cumsum(np.r_[0, np.linalg.norm(np.diff(profile, axis=0), axis=1)])
        uv = np.stack(np.meshgrid(angle / (2 * np.pi), length / length[-1]), 2).reshape(-1, 2)
    return mesh(name, local + np.asarray(centre), spin(outward), uv, (len(profile), turns + 1), bsdf)


def tube(name, knots, radius, bsdf, sides=14, samples=40):
    """Closed round tube along the spline through `knots` [K, 3]; radius runs from radius[0] to radius[1]."""
    path = spline(knots, samples)
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.cross(tangent, [0.31, 0.87, 0.38])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    up = np.cross(side, tangent)
    angle = np.linspace(0, 2 * np.pi, sides + 1)[None, :, None]
    normals = np.cos(angle) * side[:, None] + np.sin(angle) * up[:, None]
    positions = path[:, None] + normals * np.linspace(*radius, samples)[:, None, None]
    ends = np.broadcast_to(path[[0, -1], None], (2, sides + 1, 3))
    facing = np.broadcast_to(tangent[[0, -1], None] * [[[-1]], [[1]]], (2, sides + 1, 3))
    positions = np.concatenate([ends[:1], positions, ends[1:]]).reshape(-1, 3)
    normals = np.concatenate([facing[:1], normals, facing[1:]]).reshape(-1, 3)
    return mesh(name, positions, normals, np.zeros((len(positions), 2)), (samples + 2, sides + 1), bsdf)


def leaf(name, base, direction, length, width, bsdf):
    """Pointed leaf from `base` along `direction` ([3] each): it droops towards the tip, folded at the rib."""
    forward = np.asarray(direction, float) / np.linalg.norm(direction)
    side = np.cross(forward, [0, 0, 1.0])
    side /= np.linalg.norm(side)
    up = np.cross(side, forward)
    t, s = np.meshgrid(np.linspace(0, 1, 17), np.linspace(-1, 1, 7), indexing="ij")
    half = 0.5 * width * np.sin(np.pi * t**0.8) ** 0.8
    lift = 0.35 * np.abs(s) * half - 0.28 * length * t**2
    positions = np.asarray(base) + t[..., None] * length * forward
    positions = positions + (s * half)[..., None] * side + lift[..., None] * up
    normals = np.cross(np.gradient(positions, axis=1), np.gradient(positions, axis=0))
    normals[0], normals[-1] = normals[1], normals[-2]
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    uv = np.zeros((t.size, 2))
    return mesh(name, positions.reshape(-1, 3), normals.reshape(-1, 3), uv, t.shape, bsdf)
