"""What went wrong in a capture, and how to shoot it better."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from nelf.capture.prepare import Prepared
from nelf.capture.structure_from_motion import Evidence, Solution
from nelf.capture.video import BLURRED
from nelf.scene import Problem, SceneType

FEW_PHOTOS = 20
FEW_FEATURES = 500  # in a photo with plain surfaces, or blur
RELATED = 30  # matches that fit one motion; COLMAP needs so many to place a photo
SMALL_ANGLE = 3.0  # degrees; below this, an error of 0.1 degrees makes depths wrong by a tenth
LARGE_ERROR = 1.5  # pixels of reprojection error
WIDE_GAP = 60.0  # degrees without a camera around the point of interest
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
    start, width = widest_gap(c2w[:, :2, 3].double().numpy())
    if not WIDE_GAP <= width < 180:  # a gap of half a circle is a choice
        return []
    first, second = names[start[0]], names[start[1]]
    what = f"no photo over {width:.0f} degrees of the circle, between {first} and {second}"
    return [Problem(what, "take photos there, every 10 degrees or so")]


def widest_gap(level: Float[np.ndarray, "n 2"]) -> tuple[tuple[int, int], float]:
    """Indices of the two cameras next to the widest empty sector around the origin, and its degrees."""
    azimuth = np.degrees(np.arctan2(level[:, 1], level[:, 0]))
    order = np.argsort(azimuth, kind="stable")
    gaps = np.diff(azimuth[order], append=azimuth[order[0]] + 360)
    widest = int(gaps.argmax())
    return (int(order[widest]), int(order[(widest + 1) % len(order)])), float(gaps[widest])


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
