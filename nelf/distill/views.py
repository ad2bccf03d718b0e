"""One pseudo view: how it is stored, and whether it is fit to learn from."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int16, UInt8
from PIL import Image
from torch import Tensor
from torch.nn.functional import max_pool2d

from nelf.core.cameras import image_rays
from nelf.core.errors import NelfError
from nelf.core.files import sha256
from nelf.core.images import to_uint8
from nelf.scene import Views, to_steps
from nelf.scene.write import NOTE, write_png
from nelf.teacher.field import RenderOutput, Teacher, render_image

BINS = 8  # of the alpha histogram
EMPTY = 0.001  # a view with fewer covered pixels, or with a smaller spread of colours, shows nothing
FILLED = 0.995  # an object's view with more opaque pixels has something right in front of the camera
SATURATED = 0.9  # suspicious share of pure black or white among the opaque pixels
ALLOWED = 0.05  # share of suspicious views that needs no warning
OUTSIDE = 2.0  # a pose is outside if it is farther from all training cameras than this many of their largest gaps


def count(pixels: UInt8[Tensor, "height width channels"]) -> Int[Tensor, "sums"]:
    """Integers from which `figures` follow, computed on the pixels' device.

    A histogram of alpha in `BINS` bins; the number of pixels with any alpha, opaque ones, pure black or white ones;
    sums of colours and of their squares.
    """
    color = pixels[..., :3].reshape(-1, 3).int()
    alpha = pixels[..., 3].reshape(-1).int() if pixels.shape[-1] == 4 else torch.full_like(color[:, 0], 255)
    seen = alpha > 0
    bins = torch.arange(BINS, device=alpha.device)[:, None] == alpha // (256 // BINS)
    extreme = ((color == 0).all(dim=1) | (color == 255).all(dim=1)) & seen
    color = color * seen[:, None]
    counts = torch.stack([seen.sum(), (alpha == 255).sum(), extreme.sum()])
    return torch.cat([bins.sum(dim=1), counts, color.sum(dim=0), color.square().sum(dim=0)])


def figures(sums: Sequence[int], pixels: int) -> dict[str, Any]:
    """Statistics of one view, from what `count` returned. They are kept in the image's note.

    pixels: their number. alpha: shares of pixels in `BINS` equal bins of alpha, from transparent to opaque.
    covered, opaque: shares of pixels with any and with full alpha.
    saturated: share of pure black or white among the covered pixels. spread: standard deviation of their colours.
    """
    covered, opaque, extreme = sums[BINS : BINS + 3]
    color, squares = sums[BINS + 3 : BINS + 6], sums[BINS + 6 :]
    deviations = [math.sqrt(n * b - a * a) / n for a, b in zip(color, squares, strict=True) if (n := covered)]
    found = {
        "covered": covered / pixels,
        "opaque": opaque / pixels,
        "saturated": extreme / max(covered, 1),
        "spread": sum(deviations) / 3 / 255,
    }
    return {"alpha": [round(c / pixels, 6) for c in sums[:BINS]], **{k: round(v, 6) for k, v in found.items()}}


def measure(pixels: UInt8[Tensor, "height width channels"]) -> dict[str, Any]:
    """Statistics of one view from its stored pixels."""
    return figures(count(pixels).tolist(), pixels.shape[0] * pixels.shape[1])


def summarise(
    figures: Sequence[dict[str, Any]],
    c2w: Float[Tensor, "n 3 4"],
    train: Float[Tensor, "m 3 4"],
    center: Float[Tensor, "3"],
    focal: float,
    alpha: bool,
    min_confirmed: float = 0.0,
) -> tuple[dict[str, Any], list[str]]:
    """Statistics of all views together, and warnings with their remedies.

    figures: one result of `measure` per view, and "confirmed" if that was measured. c2w: their poses. focal: in pixels.
    alpha: whether the scene has it.
    """

    def share(bad: Sequence[bool]) -> float:
        return round(sum(bad) / len(bad), 6)

    histogram = [round(float(v), 6) for v in np.mean([f["alpha"] for f in figures], axis=0)]
    shares = {
        "empty_views": share([f["covered"] < EMPTY or f["spread"] < EMPTY for f in figures]),
        "filled_views": share([alpha and f["opaque"] > FILLED for f in figures]),
        "saturated_views": share([f["saturated"] > SATURATED for f in figures]),
        "outside_poses": share(_outside(c2w, train).tolist()),
        "duplicate_poses": share(_duplicates(c2w, center, focal).tolist()),
        "unconfirmed_views": share([f.get("confirmed", 1.0) < min_confirmed for f in figures]),
    }
    remedies = {
        "empty_views": "show nothing; check that the teacher is trained and that scene.near and scene.far are right",
        "filled_views": "are opaque all over; the teacher has something in front of the camera: train it longer",
        "saturated_views": "are almost all pure black or white; look at them before you train on them",
        "outside_poses": "lie far from every training camera; lower distill.extrapolate or distill.pose_jitter",
        "duplicate_poses": "show almost the same as another; use fewer distill.views or more distill.pose_jitter",
        "unconfirmed_views": "show what fewer than two photos show; take more photos, or train the teacher longer",
    }
    warnings = [
        f"{shares[key]:.0%} of the pseudo views {remedy}" for key, remedy in remedies.items() if shares[key] > ALLOWED
    ]
    return {"alpha_histogram": histogram, **shares}, warnings


def _outside(c2w: Float[Tensor, "n 3 4"], train: Float[Tensor, "m 3 4"]) -> Tensor:
    """Mask of the poses farther from all training cameras than `OUTSIDE` times their largest gap."""
    places = train[:, :, 3].double()
    gaps = torch.cdist(places, places) + torch.diag(torch.full((len(places),), torch.inf, dtype=places.dtype))
    return torch.cdist(c2w[:, :, 3].double(), places).amin(dim=1) > OUTSIDE * gaps.amin(dim=1).max()


def _duplicates(c2w: Float[Tensor, "n 3 4"], center: Float[Tensor, "3"], focal: float) -> Tensor:
    """Mask of the poses that differ from an earlier one by less than a pixel, in position and in orientation."""
    distance = (c2w[:, :, 3] - center).norm(dim=1).median().double()
    features = torch.cat([c2w[:, :, 3], c2w[:, :, :3].flatten(1) * distance], dim=1).double()
    found = torch.zeros(len(c2w), dtype=torch.bool)
    for start in range(0, len(c2w), 1024):
        rows = features[start : start + 1024]
        ways = torch.cdist(rows, features)
        earlier = torch.arange(len(c2w)) < torch.arange(start, start + len(rows))[:, None]
        found[start : start + 1024] = ((ways < distance / focal) & earlier).any(dim=1)
    return found


GLANCE = 32  # pixels of a glance along its longer side
WITNESSES = 2  # photos that must show a surface
TOLERANCE = 0.05  # by which depths may differ, as a share of the depth
MOST_PHOTOS = 200  # asked: of more, evenly spread ones


class Confirmation:
    """Says which surfaces of a view at least `WITNESSES` training photos show, too.

    The teacher renders a glance, a picture of `GLANCE` pixels, at the pose of each photo. A photo confirms a pixel of a
    new view if its point in space falls into the photo's frame, and has the depth that the glance shows there or next
    to it. What is hidden from the photos is not confirmed, and what floats in front of them is not.
    """

    def __init__(self, teacher: Teacher, photos: Views) -> None:
        step = max(1, -(-len(photos) // MOST_PHOTOS))
        self.teacher = teacher
        self.photos = photos.select(list(range(0, len(photos), step)))
        longer = max(photos.height, photos.width)
        scale = min(1.0, GLANCE / longer)
        self.size = max(1, round(photos.height * scale)), max(1, round(photos.width * scale))
        ratio = torch.tensor([self.size[1] / photos.width, self.size[0] / photos.height])
        self.ratio = ratio.repeat(2)
        depths = [self._glance(c2w, lens) for c2w, lens in zip(self.photos.c2w, self.photos.intrinsics, strict=True)]
        depth = torch.stack(depths)[:, None]
        self.farthest = max_pool2d(depth, 3, stride=1, padding=1)[:, 0]
        self.nearest = -max_pool2d(-depth, 3, stride=1, padding=1)[:, 0]

    def share(self, c2w: Float[Tensor, "3 4"], intrinsics: Float[Tensor, "4"]) -> float:
        """Share of the view's pixels that are confirmed. intrinsics: those of the whole image."""
        rays = image_rays(c2w, intrinsics * self.ratio, *self.size).flatten()
        points = rays.origins + self._glance(c2w, intrinsics).reshape(-1, 1) * rays.directions
        poses, lenses = self.photos.c2w, (self.photos.intrinsics * self.ratio)[:, None]
        local = (points - poses[:, None, :, 3]) @ poses[:, :, :3]  # [photos, points, 3]
        depth = -local[..., 2]
        column = lenses[..., 0] * local[..., 0] / depth + lenses[..., 2]
        row = -lenses[..., 1] * local[..., 1] / depth + lenses[..., 3]
        height, width = self.size
        inside = (depth > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        pixel = torch.where(inside, row, 0).long() * width + torch.where(inside, column, 0).long()
        nearest, farthest = (d.flatten(1).gather(1, pixel) for d in (self.nearest, self.farthest))
        from_here = torch.nn.functional.normalize(rays.directions, dim=-1)
        ways = torch.nn.functional.normalize(points - poses[:, None, :, 3], dim=-1)
        inside &= (ways * from_here).sum(-1) > 0  # else it is the back of the surface
        shown = inside & (depth > nearest * (1 - TOLERANCE)) & (depth < farthest * (1 + TOLERANCE))
        return float((shown.sum(dim=0) >= min(WITNESSES, len(poses))).float().mean())

    def _glance(self, c2w: Float[Tensor, "3 4"], intrinsics: Float[Tensor, "4"]) -> Float[Tensor, "height width"]:
        return render_image(self.teacher, c2w, intrinsics * self.ratio, *self.size).depth.float()


@dataclass(frozen=True)
class View:
    """One stored pseudo view, on the device that rendered it or on the host.

    depth: see nelf.scene.to_steps. sums: see nelf.distill.views.count; the first is 1 if all values are finite.
    """

    pixels: UInt8[Tensor, "height width channels"]
    depth: Int16[Tensor, "height width"]
    sums: Int[Tensor, "sums"]

    def begin_copy(self) -> "Arriving":
        """Start copying to the host; the device does not wait."""
        return Arriving(self)


class Arriving:
    """A view that is being copied to the host."""

    def __init__(self, view: View) -> None:
        parts: tuple[Tensor, ...] = (view.pixels, view.depth, view.sums)
        self._event: torch.Event | None = None
        if view.pixels.device.type == "cuda":
            pinned = [torch.empty(part.shape, dtype=part.dtype, pin_memory=True) for part in parts]
            parts = tuple(to.copy_(part, non_blocking=True) for to, part in zip(pinned, parts, strict=True))
            self._event = torch.cuda.current_stream().record_event()
        self._view = View(*(parts if self._event is not None else [part.cpu() for part in parts]))

    def get(self) -> View:
        """The view, once copied; callable from any thread."""
        if self._event is not None:
            self._event.synchronize()
        return self._view


def stored(rendered: RenderOutput, channels: int, far: float, scale: float) -> View:
    """Convert `rendered` for storage, on its own device. scale: world units per step of depth."""
    finite = torch.isfinite(rendered.rgb).all() & torch.isfinite(rendered.alpha).all()
    pixels = to_pixels(rendered, channels)
    sums = torch.cat([finite.to(torch.int64)[None], count(pixels)])
    depth = torch.where(rendered.alpha > 0.5, rendered.depth.float().clamp(max=far), 0.0)  # 0: most of it is empty
    return View(pixels, to_steps(depth, scale), sums)


def check_finite(view: View, name: str) -> None:
    """Raise NelfError if the teacher rendered NaN or infinity for pseudo view `name`."""
    if not view.sums[0]:
        raise NelfError(
            f"distill: the teacher gave NaN or infinity for pseudo view {name}; its training failed, "
            "train it again with: nelf teach SCENE (another teacher.seed or a smaller teacher.lr may help)"
        )


def to_pixels(rendered: RenderOutput, channels: int) -> UInt8[Tensor, "height width channels"]:
    """RGB, or RGBA with straight alpha and colour 0 where alpha is 0."""
    rgb, alpha = rendered.rgb.float(), rendered.alpha.float()[..., None]
    if channels == 4:
        straight = rgb / alpha.clamp(min=1 / 512)
        image = torch.cat([straight, alpha], dim=-1)
        image = torch.where(alpha * 255 < 0.5, 0.0, image)
    else:
        image = rgb
    return to_uint8(image)


def write_view(path: Path, pixels: UInt8[np.ndarray, "height width channels"], note: dict[str, Any]) -> None:
    """Write a PNG with `note`, atomically. note["depth"]: SHA-256 of its depth map, if it has one."""
    write_png(path, pixels, json.dumps(note, sort_keys=True))


def read_note(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The note of a complete view made from `fingerprint`; None if the file is missing, or it or its depth map is
    damaged."""
    try:
        with Image.open(path) as image:
            note = json.loads(image.info.get(NOTE, "{}"))
            image.verify()  # the checksum of every chunk
        if not isinstance(note, dict) or note.get("fingerprint") != fingerprint:
            return None
        depth = path.parent.parent / "depths" / path.name  # see nelf.scene.depth_name
        return note if "depth" not in note or note["depth"] == sha256(depth) else None
    except (OSError, ValueError, SyntaxError, RecursionError):  # missing, cut short, or not a PNG
        return None
