"""One pseudo view: as it is stored, and whether it is fit to learn from."""

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

from nelf.core.errors import NelfError
from nelf.core.files import sha256
from nelf.core.images import to_uint8
from nelf.scene import to_steps
from nelf.scene.write import NOTE, write_png
from nelf.teacher.field import RenderOutput

BINS = 8  # of the alpha histogram
EMPTY = 0.001  # a view with less of its pixels covered, or with all colours this close, shows nothing
FILLED = 0.995  # a view of an object with more of its pixels opaque has something right before the camera
SATURATED = 0.9  # a view with more of its opaque pixels pure black or white
ALLOWED = 0.05  # share of such views that is not worth a warning
OUTSIDE = 2.0  # a pose farther from all training cameras than this many of their largest gaps


def count(pixels: UInt8[Tensor, "height width channels"]) -> Int[Tensor, "sums"]:
    """Whole numbers from which `figures` follow, made where the pixels are.

    A histogram of alpha in `BINS` bins; how many pixels have any alpha, are opaque, are pure black or white; sums of
    colours and of their squares.
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
    """Figures of one view of so many pixels, from what `count` gave. They are kept in the image's note.

    alpha: shares of pixels in `BINS` equal bins of alpha, from transparent to opaque.
    covered, opaque: shares of pixels with any and with full alpha.
    saturated: share of the covered pixels that is pure black or white. spread: standard deviation of their colours.
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
    """Figures of one view from its stored pixels."""
    return figures(count(pixels).tolist(), pixels.shape[0] * pixels.shape[1])


def summarise(
    figures: Sequence[dict[str, Any]],
    c2w: Float[Tensor, "n 3 4"],
    train: Float[Tensor, "m 3 4"],
    center: Float[Tensor, "3"],
    focal: float,
    alpha: bool,
) -> tuple[dict[str, Any], list[str]]:
    """Figures of all views together, and warnings with their remedies.

    figures: of `measure`, one a view. c2w: their poses. focal: in pixels. alpha: whether the scene has it.
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
    }
    remedies = {
        "empty_views": "show nothing; is the teacher trained, and scene.near and scene.far right?",
        "filled_views": "are opaque all over; the teacher has something before the camera: train it longer",
        "saturated_views": "are almost all pure black or white; look at them before you train on them",
        "outside_poses": "lie far from every training camera; lower distill.extrapolate or distill.jitter",
        "duplicate_poses": "show almost the same as another; fewer distill.views or more distill.jitter will do",
    }
    warnings = [
        f"{shares[key]:.0%} of the pseudo views {remedy}" for key, remedy in remedies.items() if shares[key] > ALLOWED
    ]
    return {"alpha_histogram": histogram, **shares}, warnings


def _outside(c2w: Float[Tensor, "n 3 4"], train: Float[Tensor, "m 3 4"]) -> Tensor:
    """Which poses are farther from all training cameras than `OUTSIDE` times the largest gap between these."""
    places = train[:, :, 3].double()
    gaps = torch.cdist(places, places) + torch.diag(torch.full((len(places),), torch.inf, dtype=places.dtype))
    return torch.cdist(c2w[:, :, 3].double(), places).amin(dim=1) > OUTSIDE * gaps.amin(dim=1).max()


def _duplicates(c2w: Float[Tensor, "n 3 4"], center: Float[Tensor, "3"], focal: float) -> Tensor:
    """Which poses differ from an earlier one by less than a pixel, in place or in what they look at."""
    distance = (c2w[:, :, 3] - center).norm(dim=1).median().double()
    features = torch.cat([c2w[:, :, 3], c2w[:, :, :3].flatten(1) * distance], dim=1).double()
    found = torch.zeros(len(c2w), dtype=torch.bool)
    for start in range(0, len(c2w), 1024):
        rows = features[start : start + 1024]
        ways = torch.cdist(rows, features)
        earlier = torch.arange(len(c2w)) < torch.arange(start, start + len(rows))[:, None]
        found[start : start + 1024] = ((ways < distance / focal) & earlier).any(dim=1)
    return found


@dataclass(frozen=True)
class View:
    """One pseudo view as it is stored, on the device that rendered it or on the host.

    depth: see nelf.scene.to_steps. sums: see nelf.distill.views.count; the first is 1 where all values are finite.
    """

    pixels: UInt8[Tensor, "height width channels"]
    depth: Int16[Tensor, "height width"]
    sums: Int[Tensor, "sums"]

    def begin_copy(self) -> "Arriving":
        """On its way to the host; the device may go on."""
        return Arriving(self)


class Arriving:
    """A view on its way to the host."""

    def __init__(self, view: View) -> None:
        parts: tuple[Tensor, ...] = (view.pixels, view.depth, view.sums)
        self._event: torch.Event | None = None
        if view.pixels.device.type == "cuda":
            pinned = [torch.empty(part.shape, dtype=part.dtype, pin_memory=True) for part in parts]
            parts = tuple(to.copy_(part, non_blocking=True) for to, part in zip(pinned, parts, strict=True))
            self._event = torch.cuda.current_stream().record_event()
        self._view = View(*(parts if self._event is not None else [part.cpu() for part in parts]))

    def get(self) -> View:
        """The view, when it is there; for any thread."""
        if self._event is not None:
            self._event.synchronize()
        return self._view


def stored(rendered: RenderOutput, channels: int, far: float, scale: float) -> View:
    """What is stored of `rendered`, made where it is. scale: world units of one step of depth."""
    finite = torch.isfinite(rendered.rgb).all() & torch.isfinite(rendered.alpha).all()
    pixels = to_pixels(rendered, channels)
    sums = torch.cat([finite.to(torch.int64)[None], count(pixels)])
    return View(pixels, to_steps(to_depth(rendered, far), scale), sums)


def check_finite(view: View, name: str) -> None:
    """Raise NelfError where the teacher of pseudo view `name` has gone wrong."""
    if not view.sums[0]:
        raise NelfError(
            f"distill: the teacher gave NaN or infinity for pseudo view {name}; its training went wrong, "
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


def to_depth(rendered: RenderOutput, far: float) -> Float[Tensor, "height width"]:
    """Depth of what is seen, 0 where most of the pixel is empty."""
    # Where a ray goes on to the end, the teacher counts `far` for what is left.
    alpha = rendered.alpha.float()
    seen = (rendered.depth.float() - (1 - alpha) * far) / alpha.clamp(min=0.5)
    return torch.where(alpha > 0.5, seen.clamp(0, far), 0.0)


def write_view(path: Path, pixels: UInt8[np.ndarray, "height width channels"], note: dict[str, Any]) -> None:
    """Write a PNG with `note` in it, atomically. note["depth"]: SHA-256 of its depth map, where it has one."""
    write_png(path, pixels, json.dumps(note, sort_keys=True))


def read_note(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """The note of a whole view made from `fingerprint`; None where there is no such file, or it or its depth map is
    damaged."""
    try:
        with Image.open(path) as image:
            note = json.loads(image.info.get(NOTE, "{}"))
            image.verify()  # the checksum of every chunk, up to the last
        if not isinstance(note, dict) or note.get("fingerprint") != fingerprint:
            return None
        depth = path.parent.parent / "depths" / path.name  # see nelf.scene.depth_name
        return note if "depth" not in note or note["depth"] == sha256(depth) else None
    except (OSError, ValueError, SyntaxError, RecursionError):  # absent, cut short, or not a PNG
        return None
