"""A world that people find their way in: z up, what is looked at in the origin, cameras about one unit away."""

import numpy as np
import torch
from jaxtyping import Float

from nelf.cameras import focus_point
from nelf.data.bounds import upward

LEAST_AHEAD = 0.75  # share of cameras that must have the focus point in front of them for it to be what they look at


def world_frame(
    c2w: Float[np.ndarray, "n 3 4"], upright: list[bool], points: Float[np.ndarray, "m 3"]
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"], float]:
    """Rotation, origin and scale of the new world: new = scale * rotation @ (old - origin).

    Up is what the upright cameras agree on, and becomes +z; the mean right-hand direction becomes +x. The origin is
    where the cameras look; where they look nowhere in common, the median of the points. The median camera gets
    distance 1.
    """
    chosen = np.flatnonzero(upright) if any(upright) else np.arange(len(c2w))
    up = upward(torch.from_numpy(c2w[chosen]).float()).double().numpy()
    right = c2w[chosen, :, 0].mean(0)
    right -= (right @ up) * up
    if np.linalg.norm(right) < 1e-3:  # all around: any camera's will do, and the first is the first tomorrow, too
        right = c2w[chosen[0], :, 0] - (c2w[chosen[0], :, 0] @ up) * up
    if np.linalg.norm(right) < 1e-6:
        right = np.cross(up, [0.0, 1.0, 0.0] if abs(up[1]) < 0.9 else [1.0, 0.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(up, right), up])
    origin = looked_at(c2w, points)
    distance = float(np.median(np.linalg.norm(c2w[:, :, 3] - origin, axis=1)))
    return rotation, origin, 1.0 / max(distance, 1e-12)


def looked_at(c2w: Float[np.ndarray, "n 3 4"], points: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "3"]:
    """The focus point if it lies before the cameras and among the points, else the points' median."""
    focus = focus_point(torch.from_numpy(c2w).float()).double().numpy()
    if not len(points):
        return focus
    ahead = ((focus - c2w[:, :, 3]) * -c2w[:, :, 2]).sum(1) > 0
    low, high = np.quantile(points, [0.02, 0.98], axis=0)
    among = bool(((focus >= low) & (focus <= high)).all())
    return focus if ahead.mean() >= LEAST_AHEAD and among else np.median(points, axis=0)


def moved(
    c2w: Float[np.ndarray, "n 3 4"], frame: tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"], float]
) -> Float[np.ndarray, "n 3 4"]:
    """The poses in the new world."""
    rotation, origin, scale = frame
    centers = scale * (c2w[:, :, 3] - origin) @ rotation.T
    return np.concatenate([rotation @ c2w[:, :, :3], centers[:, :, None]], axis=2)
