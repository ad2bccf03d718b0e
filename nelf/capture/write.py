"""Write the scene, turned upright."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from nelf.capture import advice
from nelf.capture.photos import WorkingPhoto, has_alpha, picture_path
from nelf.capture.prepare import Prepared
from nelf.capture.structure_from_motion import Solution
from nelf.core.cameras import focus_point
from nelf.core.errors import SceneError
from nelf.core.progress import ProgressLine
from nelf.scene import Problem, SceneConfig, Views, write_image, write_scene
from nelf.scene.bounds import decide, upward
from nelf.scene.images import Photo, PhotoReader
from nelf.scene.lens import NO_DISTORTION, folds, inner_box
from nelf.scene.parsed import ParsedScene

LEAST_AHEAD = 0.75  # share of cameras that must face the focus point for it to be the point of interest


def world_frame(
    c2w: Float[np.ndarray, "n 3 4"], upright: list[bool], points: Float[np.ndarray, "m 3"]
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3"], float]:
    """Rotation, origin and scale of the new world: new = scale * rotation @ (old - origin).

    +z is the up direction of the upright cameras, +x the mean right-hand direction. The origin is the point that the
    cameras look at; without such a point, the median of the points. The median camera gets distance 1.
    """
    chosen = np.flatnonzero(upright) if any(upright) else np.arange(len(c2w))
    up = upward(torch.from_numpy(c2w[chosen]).float()).double().numpy()
    right = c2w[chosen, :, 0].mean(0)
    right -= (right @ up) * up
    if np.linalg.norm(right) < 1e-3:  # cameras all around: take the first, so that the result is reproducible
        right = c2w[chosen[0], :, 0] - (c2w[chosen[0], :, 0] @ up) * up
    if np.linalg.norm(right) < 1e-6:
        right = np.cross(up, [0.0, 1.0, 0.0] if abs(up[1]) < 0.9 else [1.0, 0.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(up, right), up])
    origin = looked_at(c2w, points)
    distance = float(np.median(np.linalg.norm(c2w[:, :, 3] - origin, axis=1)))
    return rotation, origin, 1.0 / max(distance, 1e-12)


def looked_at(c2w: Float[np.ndarray, "n 3 4"], points: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "3"]:
    """The focus point [3] if it lies in front of the cameras and among the points, else the points' median."""
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
    """The poses in the new world; see `world_frame`."""
    rotation, origin, scale = frame
    centers = scale * (c2w[:, :, 3] - origin) @ rotation.T
    return np.concatenate([rotation @ c2w[:, :, :3], centers[:, :, None]], axis=2)


ENOUGH_POINTS = 100


def write_imported(
    out: Path,
    working: Path,
    prepared: Prepared,
    solution: Solution,
    name: str,
    problems: Sequence[Problem],
    provenance: Mapping[str, Any],
    ask: Callable[[], None],
) -> None:
    """Fill the folder `out`. provenance: goes into transforms.json, together with all problems."""
    photos = [prepared.photos[i] for i in solution.placed]
    files = [f"images/{stem}.png" for stem in file_stems(photos)]
    views = _write_pictures(out, files, working, photos, prepared.size, solution, name, ask)
    frame = world_frame(solution.c2w, [photo.upright for photo in photos], solution.points)
    rotation, origin, scale = frame
    c2w = torch.from_numpy(moved(solution.c2w, frame)).float()
    points = scale * (solution.points - origin) @ rotation.T
    capture = ParsedScene("photos", [], 1, points=points if len(points) >= ENOUGH_POINTS else None, up=(0.0, 0.0, 1.0))
    channels = 4 if has_alpha(working) else 3
    bounds = decide(SceneConfig(str(out)), capture, c2w, views(c2w), channels, name)
    found = [*problems, *capture.problems, *advice.of_circle(bounds.type, c2w, [photo.name for photo in photos])]
    write_scene(
        out,
        files=files,
        c2w=c2w,
        intrinsics=views(c2w).intrinsics[0],
        height=views(c2w).height,
        width=views(c2w).width,
        bounds=bounds,
        splits={},
        provenance={
            "photos": {
                **provenance,
                "of": len(prepared.photos),
                "placed": len(photos),
                "reprojection_error": round(solution.error, 4),
                "parallax_degrees": round(solution.angle, 3),
                "points": len(points),
                "lens": {"intrinsics": solution.intrinsics, "distortion": solution.distortion, "size": prepared.size},
                "problems": [str(problem) for problem in found],
            }
        },
    )


def _write_pictures(
    out: Path,
    files: Sequence[str],
    working: Path,
    photos: Sequence[WorkingPhoto],
    size: tuple[int, int],
    solution: Solution,
    name: str,
    ask: Callable[[], None],
) -> Callable[[torch.Tensor], Views]:
    """Undistort and crop to what the photos show. Returns a function from poses to views."""
    height, width = size
    intrinsics, distortion = solution.intrinsics, solution.distortion
    if any(distortion) and folds(distortion, intrinsics, width, height):
        raise SceneError(
            f"photos '{name}': the estimated lens (distortion {distortion}) folds the picture over itself; "
            "take more photos, from different distances"
        )
    left, top, right, bottom = (
        inner_box(distortion, intrinsics, width, height) if any(distortion) else (0, 0, width, height)
    )
    channels = 4 if has_alpha(working) else 3
    sources = [Photo(picture_path(working, p.number), False, width, height, intrinsics, distortion) for p in photos]
    reader = PhotoReader(name, tuple(sources), channels)
    with ProgressLine("photos: undistorting", len(photos), "photos") as line:
        for i, file in enumerate(files):
            ask()
            write_image(out / file, reader(i)[top:bottom, left:right])
            line.update(i + 1)
    fx, fy, cx, cy = intrinsics
    cropped = (fx, fy, cx - left, cy - top)
    written = [Photo(out / file, False, right - left, bottom - top, cropped, NO_DISTORTION) for file in files]

    def views(c2w: torch.Tensor) -> Views:
        return Views(
            names=tuple(photo.name for photo in photos),
            c2w=c2w,
            intrinsics=torch.tensor([cropped] * len(photos), dtype=torch.float32),
            height=bottom - top,
            width=right - left,
            read=PhotoReader(name, tuple(written), channels),
        )

    return views


def file_stems(photos: Sequence[WorkingPhoto]) -> list[str]:
    """The photos' own names, unique and without characters that break paths."""
    plain = [re.sub(r"[^\w.-]+", "_", photo.name).lstrip(".") or "photo" for photo in photos]
    often = Counter(plain)
    return [stem if often[stem] == 1 else f"{stem}_{p.number:06d}" for stem, p in zip(plain, photos, strict=True)]
