"""From what the files say to checked views: images present and of one size, poses rigid, lenses that fit."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.cameras import FARTHEST, RIGID_TOLERANCE, orthonormalize
from nelf.data.capture import Capture, Frame, Problem
from nelf.data.images import Header, Photo, PhotoReader, read_header
from nelf.data.lens import LensError, fit_lens
from nelf.data.scene import Views
from nelf.data.undistort import folds
from nelf.errors import SceneError

DRIFT = 1e-5  # rotations nearer to a true one than this are taken as they are


@dataclass(frozen=True)
class Prepared:
    """The frames whose images are there, ready to become views.

    c2w: [n, 3, 4], rigid. channels: 4 where any image has alpha.
    """

    frames: list[Frame]
    photos: list[Photo]
    c2w: Float[Tensor, "n 3 4"]
    channels: int


def prepare(capture: Capture, root: Path, scene: str, allow_missing: bool) -> Prepared:
    """Check everything that can be checked without decoding. Adds to the capture's problems."""
    frames = _present(capture, scene, allow_missing)
    c2w = _rigid_poses(frames, capture.problems)
    headers: list[Header] = []
    photos: list[Photo] = []
    for frame in frames:
        assert frame.path is not None
        headers.append(read_header(root / frame.path, scene))
        photos.append(_photo(frame, root / frame.path, headers[-1], capture.downscale))
        if (photos[0].width, photos[0].height) != (photos[-1].width, photos[-1].height):
            raise SceneError(
                f"scene '{scene}': images differ in size: {frames[0].path} is {_size(headers[0], photos[0])}, "
                f"{frame.path} is {_size(headers[-1], photos[-1])}; all must have one size"
            )
    _check_distortion(frames, photos)
    with_alpha = sum(header.alpha for header in headers)
    if 0 < with_alpha < len(frames):
        capture.problems.append(
            Problem(
                f"{with_alpha} of {len(frames)} images have alpha; the others count as opaque",
                "give all images alpha, or none",
            )
        )
    return Prepared(frames, photos, c2w, 4 if with_alpha else 3)


def make_views(prepared: Prepared, indices: Sequence[int], scene: str) -> Views:
    """The views of one split."""
    photos = tuple(prepared.photos[i] for i in indices)
    return Views(
        names=_unique_names([prepared.frames[i] for i in indices]),
        c2w=prepared.c2w[list(indices)],
        intrinsics=torch.tensor([photo.intrinsics for photo in photos], dtype=torch.float32).reshape(-1, 4),
        height=prepared.photos[0].height,
        width=prepared.photos[0].width,
        read=PhotoReader(scene, photos, prepared.channels),
    )


def _present(capture: Capture, scene: str, allow_missing: bool) -> list[Frame]:
    if not capture.frames:
        raise SceneError(f"scene '{scene}': it lists no frames; at least one posed image is needed")
    present = [(i, frame) for i, frame in enumerate(capture.frames) if frame.path is not None]
    absent = [(i, frame) for i, frame in enumerate(capture.frames) if frame.path is None]
    if not absent:
        return [frame for _, frame in present]
    number, first = absent[0]
    count = f"{len(absent)} of {len(capture.frames)} images are missing"
    if not present:
        raise SceneError(
            f"scene '{scene}': frame {number} names {first.listed}, which does not exist. None of the "
            f"{len(absent)} images is there; put them where the scene names them"
        )
    if not allow_missing:
        raise SceneError(
            f"scene '{scene}': frame {number} names {first.listed}, which does not exist. {count}; "
            f"pass scene.allow_missing=true to use the {len(present)} that are there."
        )
    if capture.depth_bounds is not None:
        capture.depth_bounds = capture.depth_bounds[[i for i, _ in present]]
    capture.problems.append(Problem(f"{count}, the first is {first.listed}", "add them, or remove their frames"))
    return [frame for _, frame in present]


def _rigid_poses(frames: list[Frame], problems: list[Problem]) -> Float[Tensor, "n 3 4"]:
    c2w = torch.from_numpy(np.stack([frame.c2w for frame in frames]))
    finite = torch.isfinite(c2w).flatten(1).all(1)
    if not bool(finite.all()):
        raise SceneError(
            f"{frames[int(finite.int().argmin())].where} has a pose with NaN or infinite numbers; "
            "it must be a rigid camera-to-world matrix; estimate it again or remove the frame"
        )
    remote = c2w[:, :, 3].abs().amax(1) > FARTHEST
    if bool(remote.any()):
        first = int(remote.int().argmax())
        center = ", ".join(f"{value:.3g}" for value in c2w[first, :, 3].tolist())
        raise SceneError(
            f"{frames[first].where} has its camera at ({center}); each coordinate must be at most {FARTHEST:g}; "
            "estimate the pose again or remove the frame"
        )
    rotation = c2w[:, :, :3]
    error = (rotation @ rotation.mT - torch.eye(3, dtype=c2w.dtype)).abs().amax((1, 2))
    bad = ~((error < RIGID_TOLERANCE) & (torch.linalg.det(rotation) > 0))  # huge numbers give NaN: bad, too
    if bool(bad.any()):
        first = int(bad.int().argmax())
        scales = ", ".join(f"{value:.3g}" for value in rotation[first].norm(dim=0).tolist())
        mirrored = " and mirrors" if torch.linalg.det(rotation[first]) < 0 else ""
        raise SceneError(
            f"{frames[first].where} has a pose that is not rigid: its columns have lengths {scales}{mirrored}; the "
            "left 3x3 part must be a rotation (lengths 1, right angles, determinant +1); remove scaling or the frame"
        )
    if float(error.max()) > 1e-3:
        problems.append(
            Problem(
                f"rotations are off by up to {float(error.max()):.1g} and were made exact",
                "write poses with more digits",
            )
        )
    exact = torch.where((error > DRIFT)[:, None, None], orthonormalize(c2w), c2w)
    return exact.float()


def _photo(frame: Frame, path: Path, header: Header, downscale: int) -> Photo:
    try:
        (fx, fy, cx, cy), rotate = fit_lens(frame.lens, header.width, header.height, header.turned)
    except LensError as error:
        raise SceneError(f"{frame.where} {error}") from error
    width, height = (header.height, header.width) if rotate else (header.width, header.height)
    reduced_width, reduced_height = width // downscale, height // downscale
    if min(reduced_width, reduced_height) < 1:
        raise SceneError(
            f"{frame.where} is {width}x{height}; scene.downscale={downscale} leaves no pixel, use a smaller number"
        )
    x, y = reduced_width / width, reduced_height / height
    return Photo(path, rotate, reduced_width, reduced_height, (fx * x, fy * y, cx * x, cy * y), frame.lens.distortion)


def _size(header: Header, photo: Photo) -> str:
    return f"{header.height}x{header.width}" if photo.rotate else f"{header.width}x{header.height}"


def _check_distortion(frames: list[Frame], photos: list[Photo]) -> None:
    seen = set()
    for frame, photo in zip(frames, photos, strict=True):
        key = (photo.distortion, photo.intrinsics)
        if any(photo.distortion) and key not in seen:
            seen.add(key)
            if folds(photo.distortion, photo.intrinsics, photo.width, photo.height):
                raise SceneError(
                    f"{frame.where} has distortion k1, k2, k3, p1, p2 = {photo.distortion}, which folds the image over "
                    "itself; calibrate again, or undistort the photos"
                )


def _unique_names(frames: list[Frame]) -> tuple[str, ...]:
    """Stems; where they collide, the path with underscores; where a file is listed twice, numbered."""
    paths = [frame.path for frame in frames if frame.path is not None]
    stems = Counter(path.stem for path in paths)
    names, used = [], Counter[str]()
    for path in paths:
        name = path.stem if stems[path.stem] == 1 else "_".join(path.with_suffix("").parts)
        used[name] += 1
        names.append(name if used[name] == 1 else f"{name}_{used[name]}")
    return tuple(names)
