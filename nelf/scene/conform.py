"""Bring photos of several sizes to one: the most frequent size, and that size's focal length."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nelf.core.errors import SceneError
from nelf.scene.images import Header, Photo
from nelf.scene.lens import Camera
from nelf.scene.parsed import FrameErrors, ParsedFrame, Problem

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
