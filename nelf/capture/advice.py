"""What was wrong with a capture, and what to shoot better."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from nelf.capture.prepare import Prepared
from nelf.capture.structure_from_motion import Evidence, Solution
from nelf.capture.video import BLURRED
from nelf.scene import Problem, SceneType

FEW_PHOTOS = 20
FEW_FEATURES = 500  # of a photo: plain surfaces, or blur
RELATED = 30  # matches that fit one motion, with which mapping can place a photo (COLMAP's)
SMALL_ANGLE = 3.0  # degrees: depths are off by more than a tenth where a pixel's error is 0.1 degrees
LARGE_ERROR = 1.5  # pixels of reprojection
WIDE_GAP = 60.0  # degrees without a camera around what is looked at
NAMED = 4


def of_photos(prepared: Prepared) -> list[Problem]:
    """What can be said before poses are looked for."""
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
    """Why no two photos could be related, and what to do."""
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
            f"{count - related} of {count} photos have nothing in common with another; "
            "take them closer together, so that neighbours share two thirds of what they show"
        )
    return (
        "the camera hardly moved between photos that have something in common, so depths cannot be told; "
        "walk around the scene instead of turning on the spot"
    )


def of_solution(prepared: Prepared, evidence: Evidence, solution: Solution) -> list[Problem]:
    """What to shoot better, by what could not be placed and how well the rest was."""
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
                f"rays to the same point differ by {solution.angle:.1f} degrees only: too little parallax",
                "move sideways between photos, by a tenth of the distance to the scene, instead of turning on the spot",
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
    """Gaps in a circle of cameras, in an oriented world (z up, what is looked at in the origin)."""
    if kind is SceneType.FORWARD_FACING:
        return []
    start, width = widest_gap(c2w[:, :2, 3].double().numpy())
    if not WIDE_GAP <= width < 180:  # from one half only: a choice, no gap
        return []
    first, second = names[start[0]], names[start[1]]
    what = f"no photo over {width:.0f} degrees of the circle, between {first} and {second}"
    return [Problem(what, "take photos there, every 10 degrees or so")]


def widest_gap(level: Float[np.ndarray, "n 2"]) -> tuple[tuple[int, int], float]:
    """The two cameras, indices, on both sides of the widest empty sector around the origin, and its degrees."""
    azimuth = np.degrees(np.arctan2(level[:, 1], level[:, 0]))
    order = np.argsort(azimuth, kind="stable")
    gaps = np.diff(azimuth[order], append=azimuth[order[0]] + 360)
    widest = int(gaps.argmax())
    return (int(order[widest]), int(order[(widest + 1) % len(order)])), float(gaps[widest])


def _not_placed(prepared: Prepared, evidence: Evidence, solution: Solution) -> list[Problem]:
    """The photos without a pose, by the likeliest reason."""
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
