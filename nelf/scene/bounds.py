"""Type, depth range and up direction of a scene."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.core.cameras import focus_point
from nelf.core.errors import ConfigError, NelfError, SceneError
from nelf.scene.config import AUTO, FARTHEST, SceneConfig
from nelf.scene.parsed import ParsedScene, Problem
from nelf.scene.scene import SceneBounds, SceneType, Views
from nelf.scene.visual_hull import visual_hull

PARALLEL = 25.0  # degrees between the mean optical axis and 95 % of the axes of a forward-facing capture
CONVERGING = 20.0  # degrees that the median camera may look past the focus point
SURROUNDING = 0.6  # mean resultant length of horizontal directions from focus to cameras; 0: all around, 1: one side
PLAIN_BORDER = 4.0  # 8-bit steps that image borders of one colour may differ by
LOOK_AT = 8  # images decoded to look for transparency


def find_type(
    c2w: Float[Tensor, "n 3 4"], up: Float[Tensor, "3"], train: Views, channels: int
) -> tuple[SceneType, str]:
    """The scene's type, and the reason in words."""
    transparent = channels == 4 and _any_transparent(train)
    focus = focus_point(c2w)
    past, resultant = _convergence(c2w, focus), _one_sidedness(c2w, focus, up)
    converges = past < CONVERGING
    if transparent and converges:
        return SceneType.OBJECT, "the images have transparent background and the cameras look at one point"
    angle = axis_angle(c2w)
    along, across = camera_spread(c2w)
    if angle < PARALLEL and along <= 2 * across + 1e-6:
        return SceneType.FORWARD_FACING, f"the cameras look the same way, within {angle:.0f} degrees, from side by side"
    if converges and resultant < SURROUNDING and _plain_border(train):
        return SceneType.OBJECT, "the cameras are all around one point and the images have a plain background"
    if converges:
        sides = "all around" if resultant < SURROUNDING else "on one side of"
        return SceneType.UNBOUNDED, f"the cameras are {sides} one point and the images have a real background"
    return SceneType.UNBOUNDED, "the cameras look in different directions from inside the scene"


def axis_angle(c2w: Float[Tensor, "n 3 4"]) -> float:
    """Angle in degrees between the mean optical axis and all but the farthest 5 % of the axes."""
    axes = -c2w[:, :, 2]
    mean = torch.nn.functional.normalize(axes.mean(0), dim=0)
    cosine = (axes @ mean).clamp(-1, 1)
    return math.degrees(float(torch.quantile(torch.acos(cosine), 0.95)))


def camera_spread(c2w: Float[Tensor, "n 3 4"]) -> tuple[float, float]:
    """Root-mean-square distance of the cameras from their mean, along the mean optical axis and across it."""
    axis = torch.nn.functional.normalize(-c2w[:, :, 2].mean(0), dim=0)
    offset = c2w[:, :, 3] - c2w[:, :, 3].mean(0)
    along = offset @ axis
    across = (offset - along[:, None] * axis).norm(dim=1)
    return float(along.square().mean().sqrt()), float(across.square().mean().sqrt())


def _convergence(c2w: Float[Tensor, "n 3 4"], focus: Float[Tensor, "3"]) -> float:
    """Median angle, in degrees, between where a camera looks and where the focus point is."""
    towards = torch.nn.functional.normalize(focus - c2w[:, :, 3], dim=1)
    cosine = (-c2w[:, :, 2] * towards).sum(1).clamp(-1, 1)
    return math.degrees(float(torch.acos(cosine).median()))


def _one_sidedness(c2w: Float[Tensor, "n 3 4"], focus: Float[Tensor, "3"], up: Float[Tensor, "3"]) -> float:
    offset = c2w[:, :, 3] - focus
    level = torch.nn.functional.normalize(offset - (offset @ up)[:, None] * up, dim=1)
    return float(level.mean(0).norm())


def _some(views: Views) -> list[np.ndarray]:
    count = min(len(views), LOOK_AT)
    return [views.read(round(i * (len(views) - 1) / max(count - 1, 1))) for i in range(count)]


def _any_transparent(views: Views) -> bool:
    return any((image[..., 3] < 255).any() for image in _some(views))


def _plain_border(views: Views) -> bool:
    return float(_borders(views).std(axis=0).max()) <= PLAIN_BORDER


def border_color(views: Views) -> Float[Tensor, "3"]:
    """Median colour of the images' borders, [0, 1]: the background of an object photographed without alpha."""
    return torch.from_numpy(np.median(_borders(views), axis=0) / 255).float()


def _borders(views: Views) -> Float[np.ndarray, "pixels 3"]:
    borders = [
        np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])[:, :3].astype(np.float32)
        for image in _some(views)
    ]
    return np.concatenate(borders)


OBJECT_SLACK = 1.4  # an object's depths reach this many frustum radii before and behind the focus point
HULL_EXTENT = 1.5  # half the side of the carved cube, in frustum radii
FOCUS_WEIGHT = 0.75  # from LLFF: where the focus depth lies between near and far, in disparity
FAR_UNBOUNDED = 100.0  # far of an unbounded scene, in its radii
NEAR_UNBOUNDED = 0.05
SAMPLED_POINTS = 20_000


@dataclass(frozen=True)
class Range:
    """Depths and the ball of interest, world units and world space."""

    near: float
    far: float
    center: Float[Tensor, "3"]
    radius: float


def decide(
    config: SceneConfig, capture: ParsedScene, c2w: Float[Tensor, "n 3 4"], train: Views, channels: int, scene: str
) -> SceneBounds:
    """Decide type, bounds and up. c2w: the poses of all views, so that the bounds hold for each. Your settings override
    the scene's file."""
    own_up = config.up or capture.up
    up = upward(c2w) if own_up is None else torch.tensor(list(own_up), dtype=torch.float32)
    up = torch.nn.functional.normalize(up, dim=0)
    if config.type != AUTO:
        kind, reason = SceneType(config.type), f"scene.type={config.type}"
    elif capture.type is not None:
        kind, reason = capture.type, "the scene's file says so"
    else:
        kind, reason = find_type(c2w, up, train, channels)
    found = _from_file(capture)
    if found is None:
        if kind is SceneType.OBJECT:
            found = _object_range(c2w, train, channels, capture.problems)
        elif kind is SceneType.FORWARD_FACING:
            found = _forward_facing_range(c2w, train, capture, config)
        else:
            found = _unbounded_range(c2w, train, capture)
    near, far = config.near or capture.near or found.near, config.far or capture.far or found.far
    if near >= far:
        raise _swapped(config, capture, near, far, scene)
    center = found.center if capture.center is None else torch.tensor(capture.center, dtype=torch.float32)
    return SceneBounds(kind, reason, near, far, center, capture.radius or found.radius, up)


def _swapped(config: SceneConfig, capture: ParsedScene, near: float, far: float, scene: str) -> NelfError:
    """Error for near >= far, with the origin of both."""
    names = []
    for key, value in (("near", near), ("far", far)):
        if getattr(config, key) is not None:
            names.append(f"scene.{key}={value:g}")
        else:
            source = "of the scene's file" if getattr(capture, key) is not None else "found from the cameras"
            names.append(f"{key} = {value:g} {source}")
    message = f"scene '{scene}': {names[0]} must be smaller than {names[1]}; "
    if config.near is not None or config.far is not None:
        return ConfigError(f"{message}set both")
    return SceneError(f"{message}correct the file, or set scene.near and scene.far")


def upward(c2w: Float[Tensor, "n 3 4"]) -> Float[Tensor, "3"]:
    """World direction [3] that points up in all views.

    Cameras held upright differ in their right-hand axes, but all of these are level. So up is the direction most nearly
    at right angles to them. If the right-hand axes hardly differ, up is the mean of the cameras' up axes.
    """
    right, mean = c2w[:, :, 0].double(), c2w[:, :, 1].double().mean(0)
    values, vectors = torch.linalg.eigh(right.T @ right / len(right))
    level, spread = float(values[0]), float(values[1])
    normal = vectors[:, 0]
    if spread > 0.1 and level < 0.25 * spread and abs(float(normal @ mean)) > 0.5 * float(mean.norm()):
        mean = normal * torch.sign(normal @ mean)
    if float(mean.norm()) < 1e-3:
        mean = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    return torch.nn.functional.normalize(mean, dim=0).float()


def _from_file(capture: ParsedScene) -> Range | None:
    if capture.near is None or capture.far is None or capture.center is None or capture.radius is None:
        return None
    return Range(capture.near, capture.far, torch.tensor(capture.center, dtype=torch.float32), capture.radius)


def _object_range(c2w: Float[Tensor, "n 3 4"], train: Views, channels: int, problems: list[Problem]) -> Range:
    """From the ball that fits into every frustum. With alpha, center and radius come from the visual hull."""
    center = focus_point(c2w)
    distance = (c2w[:, :, 3] - center).norm(dim=1)
    nearest, farthest = float(distance.min()), float(distance.max())
    if farthest < 1e-6:
        return _one_place(c2w)
    radius = float(distance.median()) * _half_width(train)
    reach = OBJECT_SLACK * radius
    near, far = max(nearest - reach, 0.05 * nearest, 1e-3 * farthest), farthest + reach
    if channels == 3:
        return Range(near, far, center, radius)
    hull = visual_hull(train, center, HULL_EXTENT * radius)
    if hull is None:
        problems.append(
            Problem(
                "the alpha of the training views does not overlap; center and radius are guessed from the cameras",
                "check the alpha and the poses with `nelf data check`",
            )
        )
        return Range(near, far, center, radius)
    depth = ((hull.center - c2w[:, :, 3]) * -c2w[:, :, 2]).sum(1)
    near = min(near, max(float(depth.min()) - hull.radius, 0.05 * nearest))
    return Range(near, max(far, float(depth.max()) + hull.radius), hull.center, hull.radius)


def _forward_facing_range(
    c2w: Float[Tensor, "n 3 4"], train: Views, capture: ParsedScene, config: SceneConfig
) -> Range:
    """Depths from settings, file or reconstructed points. The ball is what one camera sees at the focus depth."""
    own_near, own_far = config.near or capture.near, config.far or capture.far
    axis = torch.nn.functional.normalize(-c2w[:, :, 2].mean(0), dim=0)
    if capture.depth_bounds is not None:
        near, far = 0.9 * float(capture.depth_bounds[:, 0].min()), float(capture.depth_bounds[:, 1].max())
    elif (depths := _point_depths(c2w, train, capture)) is not None:
        near, far = 0.9 * float(torch.quantile(depths, 0.005)), 1.1 * float(torch.quantile(depths, 0.995))
    else:
        near, far = _guessed_depths(c2w, axis)
        guessed = {k: v for k, v, own in (("near", near, own_near), ("far", far, own_far)) if own is None}
        if guessed:
            capture.problems.append(
                Problem(
                    f"the depth of the scene is unknown; {' and '.join(f'{k} {v:.3g}' for k, v in guessed.items())} "
                    f"{'are' if len(guessed) > 1 else 'is'} guessed from the cameras",
                    f"set {' and '.join(f'scene.{k}' for k in guessed)}",
                )
            )
    near, far = own_near or near, own_far or far
    depth = 1 / ((1 - FOCUS_WEIGHT) / near + FOCUS_WEIGHT / far)
    return Range(near, far, c2w[:, :, 3].mean(0) + depth * axis, depth * _half_width(train))


def _guessed_depths(c2w: Float[Tensor, "n 3 4"], axis: Float[Tensor, "3"]) -> tuple[float, float]:
    """Near and far of forward-facing cameras that look along `axis`, around the point where their axes meet."""
    focus = float((focus_point(c2w) - c2w[:, :, 3].mean(0)) @ axis)
    across = camera_spread(c2w)[1]
    if focus <= across:  # parallel axes do not meet
        focus = max(10 * across, 1e-3)
    return 0.3 * focus, 10 * focus


def _unbounded_range(c2w: Float[Tensor, "n 3 4"], train: Views, capture: ParsedScene) -> Range:
    """The ball around the focus point that reaches the median camera; everything else is outside it."""
    origin = c2w[:, :, 3]
    center = focus_point(c2w)
    ahead = float((((center - origin) * -c2w[:, :, 2]).sum(1) > 0).float().mean())
    if ahead < 0.75:  # the cameras look outwards or everywhere: center the ball on the cameras
        center = origin.mean(0)
    radius = float((origin - center).norm(dim=1).median())
    if radius < 1e-6:
        return _one_place(c2w)
    near, far = NEAR_UNBOUNDED * radius, FAR_UNBOUNDED * radius
    depths = _point_depths(c2w, train, capture)
    if depths is not None:
        near = min(max(0.5 * float(torch.quantile(depths, 0.001)), 0.2 * near), 10 * near)
        far = max(far, 2 * float(torch.quantile(depths, 0.999)))
    return Range(near, far, center, radius)


def _one_place(c2w: Float[Tensor, "n 3 4"]) -> Range:
    """For cameras at one place, which `check.problems` refuses: the size of the scene is unknown."""
    return Range(0.05, 100.0, c2w[:, :, 3].mean(0), 1.0)


def _half_width(views: Views) -> float:
    """Tangent of half the field of view along the longer side (median over the views)."""
    fx, fy = views.intrinsics[:, 0].median(), views.intrinsics[:, 1].median()
    return 0.5 * max(views.width / float(fx), views.height / float(fy))


def _point_depths(c2w: Float[Tensor, "n 3 4"], train: Views, capture: ParsedScene) -> Float[Tensor, "m"] | None:
    """Depths at which cameras see reconstructed points, or None without points."""
    if capture.points is None:
        return None
    step = math.ceil(len(capture.points) * len(c2w) / (SAMPLED_POINTS * 50))
    points = torch.from_numpy(capture.points[::step]).float()
    points = points[(points.abs() <= FARTHEST).all(1)]
    camera = torch.einsum("mnc,nck->mnk", points[:, None] - c2w[:, :, 3], c2w[:, :, :3])
    depth = -camera[..., 2]
    slope = camera[..., :2].abs() / depth.clamp_min(1e-9)[..., None]
    fx, fy = (float(train.intrinsics[:, i].median()) for i in (0, 1))
    limit = torch.tensor([0.5 * train.width / fx, 0.5 * train.height / fy])
    seen = depth[(depth > 0) & (slope < limit).all(-1)]
    if len(seen) < 100:
        return None
    return seen[:: math.ceil(len(seen) / 1_000_000)]
