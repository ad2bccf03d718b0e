"""One picture of a scene: its photos by split, and its cameras from above and from the side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from nelf.core.cameras import seen_from_above, widest_gap
from nelf.core.errors import SceneError
from nelf.core.files import atomic_path
from nelf.core.images import over_background, to_float, to_uint8
from nelf.scene.load import SPLITS, Loaded
from nelf.scene.scene import Scene, SceneType, Views

WIDTH = 1600  # pixels of the sheet
DRAWING = 600  # pixels along one side of a drawing of the cameras
THUMBNAIL = 150  # pixels along the longer side
GAP = 8
LINE = 14  # height of a line of text
COLORS = {"train": (40, 90, 200), "val": (200, 130, 0), "test": (200, 40, 40)}
GREY, PINK = (150, 150, 150), (255, 220, 220)
MOST_THUMBNAILS = 400  # of each split, evenly spread
WIDE_GAP = 60.0  # degrees without a camera around the centre of interest
MOSTLY = 0.75  # share of cameras that look towards the centre where they stand around it


@dataclass(frozen=True)
class Gap:
    """A sector around the centre of interest without a training camera; first and second stand at its ends."""

    first: int
    second: int
    degrees: float


def gap_in_circle(scene: Scene) -> Gap | None:
    """The widest gap of cameras that stand around something; None for a small one, and where one side is a choice."""
    c2w = scene.train.c2w
    ahead = ((scene.center - c2w[:, :, 3]) * -c2w[:, :, 2]).sum(1) > 0
    if scene.type is SceneType.FORWARD_FACING or len(c2w) < 3 or float(ahead.float().mean()) < MOSTLY:
        return None
    (first, second), degrees = widest_gap(c2w, scene.center, scene.up)
    return Gap(first, second, degrees) if WIDE_GAP <= degrees < 180 else None


def write_sheet(path: Path, loaded: Loaded) -> None:
    """Write the PNG. Images that cannot be decoded are crossed out."""
    scene = loaded.scene
    cells = [(split, i) for split in SPLITS for i in _spread(len(scene.splits[split]))]
    scale = THUMBNAIL / max(scene.size)
    height, width = (max(1, round(scale * side)) for side in scene.size)
    columns = max(1, (WIDTH - GAP) // (width + GAP))
    top = DRAWING + 2 * GAP + LINE
    rows = math.ceil(len(cells) / columns)
    sheet = Image.new("RGB", (WIDTH, top + rows * (height + LINE + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    _legend(draw, scene)
    draw_cameras(draw, scene, (GAP, LINE + GAP), seen_from_above(scene.up), "from above", gap_in_circle(scene))
    draw_cameras(draw, scene, (DRAWING + 4 * GAP, LINE + GAP), _from_the_side(scene.up), "from the side")
    for number, (split, index) in enumerate(cells):
        row, column = divmod(number, columns)
        x, y = GAP + column * (width + GAP), top + row * (height + LINE + GAP)
        views = scene.splits[split]
        thumbnail = _thumbnail(views, index, width, height)
        if thumbnail is None:
            draw.line((x, y, x + width, y + height), fill=COLORS["test"])
            draw.line((x, y + height, x + width, y), fill=COLORS["test"])
        else:
            sheet.paste(thumbnail, (x, y))
        draw.rectangle((x - 1, y - 1, x + width, y + height), outline=COLORS[split])
        draw.text((x, y + height + 1), _printable(views.names[index])[: width // 6], fill=COLORS[split])
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def draw_cameras(
    draw: ImageDraw.ImageDraw,
    scene: Scene,
    corner: tuple[int, int],
    axes: Float[Tensor, "2 3"],
    title: str,
    gap: Gap | None = None,
) -> None:
    """Draw each camera as a dot with a line along its view axis, and the ball of interest, in a square.

    axes: world directions that point right and down in the drawing. gap: drawn as a sector.
    """
    places = torch.cat([scene.splits[split].c2w[:, :, 3] for split in SPLITS])
    points = torch.cat([places, scene.center[None]]) @ axes.T
    low, high = points.amin(0), points.amax(0)
    # The ball may be far larger than the space between the cameras: only its centre must be visible.
    half = max(float((high - low).max()) / 2, 1e-6) * 1.2
    middle, scale = (low + high) / 2, DRAWING / (2 * half)
    left, top = corner

    def placed(point: Tensor) -> tuple[float, float]:
        x, y = ((point @ axes.T - middle) * scale + DRAWING / 2).tolist()
        return left + x, top + y

    draw.rectangle((left, top, left + DRAWING, top + DRAWING), outline=GREY)
    draw.text((left + 4, top + 4), title, fill=GREY)
    x, y = placed(scene.center)
    if gap is not None:
        ends = [placed(scene.train.c2w[camera, :, 3]) for camera in (gap.second, gap.first)]  # Pillow goes clockwise
        start, end = (math.degrees(math.atan2(below - y, beyond - x)) for beyond, below in ends)
        reach = max(math.hypot(beyond - x, below - y) for beyond, below in ends)
        draw.pieslice((x - reach, y - reach, x + reach, y + reach), start, end, fill=PINK)
        draw.text((left + 4, top + 4 + LINE), f"pink: {gap.degrees:.0f} degrees without a camera", fill=COLORS["test"])
    radius = scene.radius * scale
    if radius < DRAWING / 2:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=GREY)
    draw.line((x - 5, y, x + 5, y), fill=GREY)
    draw.line((x, y - 5, x, y + 5), fill=GREY)
    for split in reversed(SPLITS):
        for c2w in scene.splits[split].c2w:
            x, y = placed(c2w[:, 3])
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=COLORS[split])
            draw.line((x, y, *placed(c2w[:, 3] - c2w[:, 2] * 20 / scale)), fill=COLORS[split], width=2)


def _legend(draw: ImageDraw.ImageDraw, scene: Scene) -> None:
    x = GAP
    for text, color in (
        (f"{_printable(scene.name)}, {scene.type.value}", (0, 0, 0)),
        *((f"{len(scene.splits[split])} {split}", COLORS[split]) for split in SPLITS),
        (f"cross: centre of interest, radius {scene.radius:.3g}", GREY),
    ):
        draw.text((x, 2), text, fill=color)
        x += round(draw.textlength(text)) + 3 * GAP


def _from_the_side(up: Float[Tensor, "3"]) -> Float[Tensor, "2 3"]:
    return torch.stack([seen_from_above(up)[0], -up])


def _thumbnail(views: Views, index: int, width: int, height: int) -> Image.Image | None:
    try:
        image = views.image(index)
    except SceneError:
        return None
    pixels = np.asarray(to_uint8(over_background(to_float(image))))
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)


def _spread(count: int) -> Sequence[int]:
    most = min(count, MOST_THUMBNAILS)
    return [i * count // most for i in range(most)]


def _printable(name: str) -> str:
    """Pillow's own font has only Latin letters."""
    return name.encode("latin-1", errors="replace").decode("latin-1")
