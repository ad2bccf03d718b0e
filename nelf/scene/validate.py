"""Turn parsed frames into checked views: images exist and have one size, poses are rigid, lenses fit."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.core.cameras import bend, is_rigid, orthonormalize
from nelf.core.errors import SceneError
from nelf.core.files import why_absent
from nelf.scene.config import FARTHEST
from nelf.scene.images import DepthFile, DepthReader, Header, Photo, PhotoReader, list_images, read_header
from nelf.scene.lens import Camera, LensError, fit_lens, folds
from nelf.scene.parsed import FrameErrors, ParsedFrame, ParsedScene, Problem
from nelf.scene.scene import Views

SLACK = 0.01  # share of a side that may lie outside the photo before it is cropped
LARGEST_ZOOM = 2.0  # how much narrower a photo's field of view may get


@dataclass(frozen=True)
class LookedAt:
    """A frame with its image's header, and how it would be read at its own size."""

    frame: ParsedFrame
    header: Header
    photo: Photo

    @property
    def size(self) -> tuple[int, int]:
        """Width, height as used."""
        return self.photo.width, self.photo.height

    @property
    def stored_size(self) -> str:
        """As people read it, before reduction."""
        width, height = self.header.width, self.header.height
        return f"{height}x{width}" if self.photo.rotate else f"{width}x{height}"

    @property
    def knows_its_size(self) -> bool:
        """Whether the scene tells the image size of its intrinsics; otherwise they are unknown for other sizes."""
        lens = self.frame.lens
        return (lens.width is not None and lens.height is not None) or lens.focal_x is lens.focal_y is None


def conform(looked_at: Sequence[LookedAt], faults: FrameErrors) -> tuple[list[LookedAt], list[Problem]]:
    """The photos at one size, in order. A photo without intrinsics of its own size is an error."""
    sizes = Counter(one.size for one in looked_at)
    if len(sizes) < 2:
        return list(looked_at), []
    size = sizes.most_common(1)[0][0]
    usual = [one for one in looked_at if one.size == size]
    focal = Counter(round(one.photo.intrinsics[0], 1) for one in usual).most_common(1)[0][0]
    target = next(one for one in usual if round(one.photo.intrinsics[0], 1) == focal)
    kept, brought, cropped = [], 0, 0
    for one in looked_at:
        with faults.of_a_frame(one.frame.listed):
            if one.size != size:
                one = _brought_to(target, one, faults.scene)
                brought += 1
                cropped += one.photo.intrinsics[0] > target.photo.intrinsics[0]
            kept.append(one)
    if not brought:
        return kept, []
    what = (
        f"{brought} of {len(looked_at)} photos {'has' if brought == 1 else 'have'} another size than "
        f"{size[0]}x{size[1]}, and {'is' if brought == 1 else 'are'} resampled to it and to focal length {focal:.1f}"
    )
    if cropped:
        what += f"; {cropped} of them cropped, since they show less at the sides"
    return kept, [Problem(what, "nothing to do, if their intrinsics are right")]


def _brought_to(target: LookedAt, one: LookedAt, scene: str) -> LookedAt:
    """The photo as the target's camera would take it, with a longer focal length if it shows less."""
    if not one.knows_its_size:
        raise SceneError(
            f"scene '{scene}': images differ in size: {target.frame.path} is {target.stored_size}, "
            f"{one.frame.path} is {one.stored_size}; give each frame the w and h of its intrinsics, or use photos of "
            "one size"
        )
    own, wanted = one.photo.camera, target.photo.camera
    zoom = max(1.0, (1 - SLACK) * _needed_zoom(own, wanted))
    if zoom > LARGEST_ZOOM:
        raise SceneError(
            f"{one.frame.where} shows {zoom:.1f} times less than most photos, which are {target.stored_size}; "
            f"at most {LARGEST_ZOOM:g} times is allowed; leave it out"
        )
    fx, fy, cx, cy = wanted.intrinsics
    share = min(1.0, zoom * fx / own.intrinsics[0])  # average as many pixels as one of the target's covers
    own = own.reduced(max(1, round(share * own.width)), max(1, round(share * own.height)))
    photo = replace(
        one.photo,
        width=wanted.width,
        height=wanted.height,
        intrinsics=(zoom * fx, zoom * fy, cx, cy),
        depth=None,
        own=own,
    )
    return replace(one, photo=photo)


def _needed_zoom(own: Camera, wanted: Camera) -> float:
    """Factor for the target's focal length that keeps its whole image inside the photo."""
    sides = []
    for axis, (size, wanted_size) in enumerate(((own.width, wanted.width), (own.height, wanted.height))):
        focal, wanted_focal = own.intrinsics[axis], wanted.intrinsics[axis]
        center, wanted_center = own.intrinsics[2 + axis], wanted.intrinsics[2 + axis]
        for reach, wanted_reach in ((center, wanted_center), (size - center, wanted_size - wanted_center)):
            sides.append(wanted_reach / wanted_focal / max(reach / focal, 1e-9))
    return max(sides)


DRIFT = 1e-5  # rotations this close to a true one stay as they are


@dataclass(frozen=True)
class Prepared:
    """The frames whose images exist, ready to become views.

    c2w: [n, 3, 4], rigid. channels: 4 if any image has alpha.
    """

    frames: list[ParsedFrame]
    photos: list[Photo]
    c2w: Float[Tensor, "n 3 4"]
    channels: int


def prepare(capture: ParsedScene, root: Path, allow_missing: bool, faults: FrameErrors) -> Prepared:
    """Check everything that needs no decoding. Adds to the capture's problems.

    If `faults` is tolerant, frames with errors are skipped. Raises SceneError.
    """
    frames = _present(capture, root, allow_missing, faults)
    for check in (_check_finite, _check_position, _check_rigid):
        frames = faults.keep(frames, check, lambda frame: frame.listed)
    looked_at = _look_at(frames, root, capture.downscale, faults)
    looked_at = faults.keep(looked_at, _check_distortion, lambda one: one.frame.listed)
    faults.require_any(looked_at)
    looked_at, conformed = conform(looked_at, faults)
    capture.problems += conformed
    faults.require_any(looked_at)
    frames = [one.frame for one in looked_at]
    c2w = _exact_poses(frames, capture.problems)
    with_alpha = sum(one.header.alpha for one in looked_at)
    if 0 < with_alpha < len(frames):
        capture.problems.append(
            Problem(
                f"{with_alpha} of {len(frames)} images have alpha; the others count as opaque",
                "give all images alpha, or none",
            )
        )
    if capture.depth_bounds is not None:
        used = {id(frame) for frame in frames}
        capture.depth_bounds = capture.depth_bounds[[id(frame) in used for frame in capture.frames]]
    return Prepared(frames, [one.photo for one in looked_at], c2w, 4 if with_alpha else 3)


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
        read_depth=_depth_reader(photos, scene),
    )


def _depth_reader(photos: Sequence[Photo], scene: str) -> DepthReader | None:
    """Reader of depth maps, if every view has one."""
    files = [photo.depth for photo in photos if photo.depth is not None]
    if not photos or len(files) < len(photos):
        return None
    return DepthReader(scene, tuple(files), photos[0].height, photos[0].width)


def _present(capture: ParsedScene, root: Path, allow_missing: bool, faults: FrameErrors) -> list[ParsedFrame]:
    faults.require_any(capture.frames)
    if not capture.frames:
        raise SceneError(f"scene '{faults.scene}': it lists no frames; at least one posed image is needed")
    present = [frame for frame in capture.frames if frame.path is not None]
    absent = [(i, frame) for i, frame in enumerate(capture.frames) if frame.path is None]
    if not absent:
        return present
    number, first = absent[0]
    # After other frames were skipped, counting the rest does not give a frame's number.
    place = first.where.removeprefix(f"scene '{faults.scene}': ") if faults.found else f"frame {number}"
    names = f"{place} names {first.listed}, which {why_absent(root / first.listed)}"
    count = f"{len(absent)} of {len(capture.frames)} images {'is' if len(absent) == 1 else 'are'} missing"
    if not present:
        folder = (root / first.listed).parent
        others = [path.name for path in list_images(folder)] if folder.is_dir() else []
        remedy = f"{folder} holds {len(others)} others, such as {others[0]}: use the poses of these" if others else ""
        raise SceneError(
            f"scene '{faults.scene}': {names}. None of the {len(absent)} images exists; "
            f"{remedy or 'put them where the scene names them'}"
        )
    if allow_missing:
        capture.problems.append(Problem(f"{count}, the first is {first.listed}", "add them, or remove their frames"))
        return present
    problem = Problem(
        f"{names}. {count}",
        f"pass scene.allow_missing=true to use the {len(present)} that exist",
        fatal=True,
        command="nelf run {scene} scene.allow_missing=true",
    )
    if not faults.tolerant:
        raise SceneError(f"scene '{faults.scene}': {problem}")
    capture.problems.append(problem)
    return present


def _check_finite(frame: ParsedFrame) -> None:
    if not np.isfinite(frame.c2w).all():
        raise SceneError(
            f"{frame.where} has a pose with NaN or infinite numbers; "
            "it must be a rigid camera-to-world matrix; estimate it again or remove the frame"
        )


def _check_position(frame: ParsedFrame) -> None:
    if np.abs(frame.c2w[:, 3]).max() > FARTHEST:
        center = ", ".join(f"{value:.3g}" for value in frame.c2w[:, 3].tolist())
        raise SceneError(
            f"{frame.where} has its camera at ({center}); each coordinate must be at most {FARTHEST:g}; "
            "estimate the pose again or remove the frame"
        )


def _check_rigid(frame: ParsedFrame) -> None:
    c2w = torch.from_numpy(frame.c2w)
    if not is_rigid(c2w):
        rotation = c2w[:, :3]
        scales = ", ".join(f"{value:.3g}" for value in rotation.norm(dim=0).tolist())
        mirrored = " and mirrors" if float(torch.linalg.det(rotation)) < 0 else ""
        raise SceneError(
            f"{frame.where} has a pose that is not rigid: its columns have lengths {scales}{mirrored}; the "
            "left 3x3 part must be a rotation (lengths 1, right angles, determinant +1); remove scaling or the frame"
        )


def _exact_poses(frames: list[ParsedFrame], problems: list[Problem]) -> Float[Tensor, "n 3 4"]:
    c2w = torch.from_numpy(np.stack([frame.c2w for frame in frames]))
    error = bend(c2w[:, :, :3])
    if float(error.max()) > 1e-3:
        problems.append(
            Problem(
                f"rotations deviate by up to {float(error.max()):.1g} and were corrected",
                "write poses with more digits",
            )
        )
    exact = torch.where((error > DRIFT)[:, None, None], orthonormalize(c2w), c2w)
    return exact.float()


def _look_at(frames: list[ParsedFrame], root: Path, downscale: int, faults: FrameErrors) -> list[LookedAt]:
    """Read headers and fit lenses."""
    found = []
    for frame in frames:
        with faults.of_a_frame(frame.listed):
            assert frame.path is not None
            header = read_header(root / frame.path, faults.scene)
            found.append(LookedAt(frame, header, _photo(frame, root, header, downscale)))
    return found


def _photo(frame: ParsedFrame, root: Path, header: Header, downscale: int) -> Photo:
    assert frame.path is not None
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
    distortion, depth = frame.lens.distortion, None
    if frame.depth is not None and downscale == 1 and not rotate and not any(distortion):
        depth = DepthFile(root / frame.depth.path, frame.depth.scale)
    intrinsics = fx * x, fy * y, cx * x, cy * y
    return Photo(root / frame.path, rotate, reduced_width, reduced_height, intrinsics, distortion, depth)


def _check_distortion(one: LookedAt) -> None:
    photo = one.photo
    if any(photo.distortion) and folds(photo.distortion, photo.intrinsics, photo.width, photo.height):
        raise SceneError(
            f"{one.frame.where} has distortion k1, k2, k3, p1, p2 = {photo.distortion}, which folds the image over "
            "itself; calibrate again, or undistort the photos"
        )


def _unique_names(frames: list[ParsedFrame]) -> tuple[str, ...]:
    """Stems of the paths; if they collide, the path with underscores; numbered if a file is listed twice."""
    paths = [frame.path for frame in frames if frame.path is not None]
    stems = Counter(path.stem for path in paths)
    names, used = [], Counter[str]()
    for path in paths:
        name = path.stem if stems[path.stem] == 1 else "_".join(path.with_suffix("").parts)
        used[name] += 1
        names.append(name if used[name] == 1 else f"{name}_{used[name]}")
    return tuple(names)
