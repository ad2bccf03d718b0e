"""An imported scene on disk: undistorted pictures, oriented poses, bounds from the reconstructed points."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from nelf.data import Problem, SceneConfig, Views, write_image, write_scene
from nelf.data.bounds import decide
from nelf.data.capture import Capture
from nelf.data.images import Photo, PhotoReader
from nelf.data.lens import NO_DISTORTION
from nelf.data.undistort import folds, inner_box
from nelf.errors import SceneError
from nelf.photos import advice
from nelf.photos.orient import moved, world_frame
from nelf.photos.prepare import Prepared
from nelf.photos.sfm import Solution
from nelf.photos.working import WorkingPhoto, has_alpha, picture_path
from nelf.progress import ProgressLine

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
    """Fill `out`. provenance goes into transforms.json, with the problems and those found here."""
    photos = [prepared.photos[i] for i in solution.placed]
    files = [f"images/{stem}.png" for stem in file_stems(photos)]
    views = _write_pictures(out, files, working, photos, prepared.size, solution, name, ask)
    frame = world_frame(solution.c2w, [photo.upright for photo in photos], solution.points)
    rotation, origin, scale = frame
    c2w = torch.from_numpy(moved(solution.c2w, frame)).float()
    points = scale * (solution.points - origin) @ rotation.T
    capture = Capture("photos", [], 1, points=points if len(points) >= ENOUGH_POINTS else None, up=(0.0, 0.0, 1.0))
    channels = 4 if has_alpha(working) else 3
    decision = decide(SceneConfig(str(out)), capture, c2w, views(c2w), channels, name)
    found = [*problems, *capture.problems, *advice.of_circle(decision.kind, c2w, [photo.name for photo in photos])]
    write_scene(
        out,
        files=files,
        c2w=c2w,
        intrinsics=views(c2w).intrinsics[0],
        height=views(c2w).height,
        width=views(c2w).width,
        kind=decision.kind,
        near=decision.near,
        far=decision.far,
        center=decision.center,
        radius=decision.radius,
        up=decision.up,
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
    """Undistort and crop to what the photos show. Gives the views, once their poses are known."""
    height, width = size
    intrinsics, distortion = solution.intrinsics, solution.distortion
    if any(distortion) and folds(distortion, intrinsics, width, height):
        raise SceneError(
            f"photos '{name}': the lens that was found (distortion {distortion}) folds the picture over itself; "
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
    """The photos' own names, without what breaks paths, each once."""
    plain = [re.sub(r"[^\w.-]+", "_", photo.name).lstrip(".") or "photo" for photo in photos]
    often = Counter(plain)
    return [stem if often[stem] == 1 else f"{stem}_{p.number:06d}" for stem, p in zip(plain, photos, strict=True)]
