"""What went wrong in a capture, and how to shoot it better."""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage

from nelf.capture.prepare import Prepared
from nelf.capture.structure_from_motion import Evidence, Solution
from nelf.capture.video import BLURRED, block_motion, sharpness, to_grey
from nelf.core.cameras import widest_gap
from nelf.scene import Problem, SceneType, Views
from nelf.scene.contact_sheet import WIDE_GAP

FEW_PHOTOS = 20
FEW_FEATURES = 500  # in a photo with plain surfaces, or blur
RELATED = 30  # matches that fit one motion; COLMAP needs so many to place a photo
SMALL_ANGLE = 3.0  # degrees; below this, an error of 0.1 degrees makes depths wrong by a tenth
LARGE_ERROR = 1.5  # pixels of reprojection error
NAMED = 4


def of_photos(prepared: Prepared) -> list[Problem]:
    """Problems known before poses are estimated."""
    found = list(prepared.problems)
    blurred = [photo.name for photo in prepared.photos if photo.sharpness < BLURRED]
    if blurred:
        found.append(
            Problem(
                f"{_some(blurred, 'photo')} blurred",
                "retake them: more light, hold still, wait for the focus; or remove them",
            )
        )
    if len(prepared.photos) < FEW_PHOTOS:
        found.append(Problem(f"{len(prepared.photos)} photos are few", "take 30 to 100, each a step from the last"))
    return found


def why_nothing(prepared: Prepared, evidence: Evidence) -> str:
    """Why no two photos match, and what to do."""
    count = len(prepared.photos)
    plain = int((evidence.features < FEW_FEATURES).sum())
    blurred = sum(photo.sharpness < BLURRED for photo in prepared.photos)
    if blurred > count / 2:
        return f"{blurred} of {count} photos are blurred; take sharp ones: more light, hold still, wait for the focus"
    if plain > count / 2:
        return (
            f"{plain} of {count} photos show hardly any detail (fewer than {FEW_FEATURES} features); "
            "bring structure into the picture: a patterned cloth, a newspaper, more of the room"
        )
    related = int((evidence.inliers >= RELATED).any(axis=1).sum())
    if related < count / 2:
        return (
            f"{count - related} of {count} photos match no other photo; "
            "take them closer together, so that neighbours share two thirds of what they show"
        )
    return (
        "the camera hardly moved between matching photos, so nothing shows how far away things are; "
        "walk around the scene instead of turning on the spot"
    )


def of_solution(prepared: Prepared, evidence: Evidence, solution: Solution) -> list[Problem]:
    """What to shoot better: photos without a pose, and how precise the other poses are."""
    found = _not_placed(prepared, evidence, solution)
    if solution.others:
        sizes = ", ".join(map(str, solution.others))
        found.append(
            Problem(
                f"the photos fall into {1 + len(solution.others)} parts that do not overlap; only the largest, "
                f"{len(solution.placed)} photos, is used (others: {sizes})",
                "take photos that lead from one part to the other in small steps",
            )
        )
    if solution.angle < SMALL_ANGLE:
        found.append(
            Problem(
                f"rays to the same point differ by only {solution.angle:.1f} degrees: too little parallax",
                "move sideways between photos, by a tenth of the distance to the scene; do not turn on the spot",
            )
        )
    if solution.error > LARGE_ERROR:
        found.append(
            Problem(
                f"points are seen {solution.error:.1f} pixels from where they should be",
                "keep the scene still (people, leaves, screens), hold the phone still, do not zoom",
            )
        )
    return found


def of_circle(kind: SceneType, c2w: Float[torch.Tensor, "n 3 4"], names: Sequence[str]) -> list[Problem]:
    """Gaps in a circle of cameras. World: z up, the point of interest at the origin."""
    if kind is SceneType.FORWARD_FACING:
        return []
    start, width = widest_gap(c2w, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    if not WIDE_GAP <= width < 180:  # a gap of half a circle is a choice
        return []
    first, second = names[start[0]], names[start[1]]
    what = f"no photo over {width:.0f} degrees of the circle, between {first} and {second}"
    return [Problem(what, "take photos there, every 10 degrees or so")]


LOOKED_AT = 640  # longest side of the pictures that are compared, pixels
MOST_LOOKED_AT = 60  # views, evenly spread
CLOSE = 12.0  # degrees between a view and its neighbours; beyond that they show too little in common
BLOCK = 48  # pixels
FEWEST_PIXELS = 3 * BLOCK  # of the shorter side: the blocks of smaller pictures say too little
FEW_BLOCKS = 8
OFF_LINE = 4.0  # pixels between a block and where the poses allow it
MOVED = 0.2  # share of a view's blocks that are off in both neighbours: something moved
JUMP = 0.5  # stops between what two neighbours show of the same things
SOFT = 0.7  # sharpness, as a share of the scene's median, below which a view is blurred


@dataclass(frozen=True)
class _View:
    """A view reduced to grey. focal, middle: of its intrinsics, in reduced pixels, x and y."""

    grey: Float[np.ndarray, "height width"]
    c2w: Float[np.ndarray, "3 4"]
    focal: Float[np.ndarray, "2"]
    middle: Float[np.ndarray, "2"]

    def point(self, pixels: Float[np.ndarray, "*n 2"], depth: float) -> Float[np.ndarray, "*n 3"]:
        """World points at `depth` behind image points."""
        x, y = np.moveaxis((pixels - self.middle) / self.focal, -1, 0)
        return depth * np.stack([x, -y, -np.ones_like(x)], axis=-1) @ self.c2w[:, :3].T + self.c2w[:, 3]

    def pixel(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"]:
        """Where world points are seen; not finite behind the camera."""
        local = (points - self.c2w[:, 3]) @ self.c2w[:, :3]
        ahead = np.where(local[..., 2:] < 0, -local[..., 2:], np.nan)
        return local[..., :2] * [1.0, -1.0] / ahead * self.focal + self.middle


def check_views(views: Views, center: Float[torch.Tensor, "3"]) -> list[Problem]:
    """Blurred views, jumps of exposure and things that moved, seen by comparing each view with its two neighbours.

    center: the point of interest. The views keep their poses: what the pictures say against these is a problem too.
    """
    most = min(len(views), MOST_LOOKED_AT)
    chosen = [i * len(views) // most for i in range(most)]
    c2w = views.c2w.double().numpy()
    depths = ((center.double().numpy() - c2w[:, :, 3]) * -c2w[:, :, 2]).sum(1)
    near = {i: two for i in chosen if len(two := _neighbours(c2w, depths, i)) == 2}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wanted = sorted({*chosen, *(j for pair in near.values() for j in pair)})
        seen = dict(zip(wanted, pool.map(lambda i: _look(views, i), wanted), strict=True))
        pairs = [(i, j) for i in near for j in near[i]]
        compared = pool.map(lambda pair: _compare(seen[pair[0]], seen[pair[1]], float(depths[pair[0]])), pairs)
        matches = dict(zip(pairs, compared, strict=True))
    off, jumps = {}, {}
    for i, (first, second) in near.items():
        off[i], jumps[i] = _judge(matches[i, first], matches[i, second])
    sharp = {i: sharpness(seen[i].grey) for i in chosen if min(seen[i].grey.shape) >= FEWEST_PIXELS}
    usual = float(np.median(list(sharp.values()))) if sharp else 0.0
    blurred = [views.names[i] for i, value in sharp.items() if value < SOFT * usual]
    moved = [name for i, share in off.items() if share > MOVED and (name := views.names[i]) not in blurred]
    brighter = [views.names[i] for i, stops in jumps.items() if abs(stops) > JUMP]
    found = []
    if blurred:
        found.append(Problem(f"{_some(blurred, 'view')} blurred, compared with the others", "retake or remove them"))
    if len(moved) > len(off) / 2:
        what = f"the poses do not fit the photos: {len(moved)} of {len(off)} views show things where their poses cannot"
        found.append(Problem(what, "check that each photo has its own pose, and that nothing moved all the time"))
    elif moved:
        what = f"things moved: {_some(moved, 'view')} not like the neighbours (people, leaves, screens, shadows)"
        found.append(Problem(what, "keep the scene still, mask what moves, or remove these views"))
    if brighter:
        what = f"the exposure jumps: {_some(brighter, 'view')} {JUMP:g} stops or more from the neighbours"
        found.append(Problem(what, "lock exposure and white balance while you take photos"))
    return found


def _neighbours(c2w: Float[np.ndarray, "n 3 4"], depths: Float[np.ndarray, "n"], i: int) -> list[int]:
    """The two views nearest to view i, by direction and place as seen from the point of interest."""
    if depths[i] <= 0:
        return []
    turned = np.degrees(np.arccos(np.clip(c2w[:, :, 2] @ c2w[i, :, 2], -1, 1)))
    apart = np.degrees(np.linalg.norm(c2w[:, :, 3] - c2w[i, :, 3], axis=1) / depths[i])
    cost = np.where(np.maximum(turned, apart) < CLOSE, turned + apart, np.inf)
    cost[i] = np.inf
    return [int(j) for j in np.argsort(cost, kind="stable")[:2] if np.isfinite(cost[j])]


def _look(views: Views, i: int) -> _View:
    grey = to_grey(views.read(i), LOOKED_AT)
    scale = np.array([grey.shape[1] / views.width, grey.shape[0] / views.height])
    intrinsics = views.intrinsics[i].double().numpy()
    return _View(grey, views.c2w[i].double().numpy(), intrinsics[:2] * scale, intrinsics[2:] * scale)


def _compare(first: _View, second: _View, depth: float) -> dict[tuple[float, float], tuple[float, float]]:
    """Blocks of `first` that are found in `second`: centre -> pixels off its epipolar line, stops brighter.

    `second` is first brought to the camera of `first` over the plane at `depth`, so that blocks hardly move.
    """
    height, width = first.grey.shape
    if min(height, width) < FEWEST_PIXELS:
        return {}
    grid = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    there = np.nan_to_num(second.pixel(first.point(grid, depth)), nan=-1e6)
    warped = ndimage.map_coordinates(second.grey, (there[..., 1] - 0.5, there[..., 0] - 0.5), order=1, cval=-1.0)
    found = {}
    for x, y, right, down in block_motion(first.grey, np.maximum(warped, 0), BLOCK):
        here, moved = _block(first.grey, x, y), _block(warped, x + right, y + down)
        if moved.size < here.size or moved.min() < 0:
            continue
        middle = np.array([x, y])
        near, far = second.pixel(first.point(middle, 0.5 * depth)), second.pixel(first.point(middle, 4 * depth))
        match, line = second.pixel(first.point(middle + np.array([right, down]), depth)), far - near
        across = match - near
        length = float(np.linalg.norm(line))
        off = abs(line[0] * across[1] - line[1] * across[0]) / length if length > 1 else np.linalg.norm(across)
        if np.isfinite(off):
            stops = 2.2 * math.log2((float(here.mean()) + 1) / (float(moved.mean()) + 1))
            found[float(x), float(y)] = float(off), stops
    return found


def _block(picture: Float[np.ndarray, "height width"], x: float, y: float) -> Float[np.ndarray, "h w"]:
    top, left = max(int(y - BLOCK / 2), 0), max(int(x - BLOCK / 2), 0)
    return picture[top : int(y + BLOCK / 2), left : int(x + BLOCK / 2)]


def _judge(
    first: dict[tuple[float, float], tuple[float, float]], second: dict[tuple[float, float], tuple[float, float]]
) -> tuple[float, float]:
    """Share of a view's blocks that are off in both neighbours; stops by which it is brighter than both."""
    both = [(*first[at], *second[at]) for at in first.keys() & second.keys()]
    if len(both) < FEW_BLOCKS:
        return 0.0, 0.0
    off_1, stops_1, off_2, stops_2 = np.array(both).T
    off = (off_1 > OFF_LINE) & (off_2 > OFF_LINE)
    still = (off_1 <= OFF_LINE) & (off_2 <= OFF_LINE)
    jump = 0.0
    if still.sum() >= FEW_BLOCKS:
        one, other = float(np.median(stops_1[still])), float(np.median(stops_2[still]))
        jump = math.copysign(min(abs(one), abs(other)), one) if one * other > 0 else 0.0
    return float(off.mean()), jump


def _not_placed(prepared: Prepared, evidence: Evidence, solution: Solution) -> list[Problem]:
    """The photos without a pose, grouped by the likeliest reason."""
    placed = set(solution.placed)
    reasons: dict[tuple[str, str], list[str]] = {}
    for i, photo in enumerate(prepared.photos):
        if i not in placed:
            reasons.setdefault(_reason(i, photo.sharpness, evidence, solution), []).append(photo.name)
    return [Problem(f"{_some(names, 'photo')} not placed: {why}", remedy) for (why, remedy), names in reasons.items()]


def _reason(i: int, sharpness: float, evidence: Evidence, solution: Solution) -> tuple[str, str]:
    if sharpness < BLURRED:
        return "blurred", "retake them, sharp"
    if evidence.features[i] < FEW_FEATURES:
        return "hardly any detail in them", "show more of the surroundings"
    if evidence.inliers[i, solution.placed].max(initial=0) < RELATED:
        return "too little in common with the others", "take some more between them and their neighbours"
    return "their matches contradict each other", "look for things that moved, mirrors, and repeated patterns"


def _some(names: Sequence[str], what: str) -> str:
    listed = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"{len(names)} {what}{'s' * (len(names) > 1)} ({listed}) {'are' if len(names) > 1 else 'is'}"
