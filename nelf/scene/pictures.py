"""Problems of a scene's images: they cannot be decoded, show nothing, or are copies."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from nelf.core.errors import SceneError
from nelf.scene.parsed import NAMED, Fault, Problem, told_once
from nelf.scene.scene import Scene, Views

PLAIN = 3  # 8-bit steps that an image of one colour may vary by


@dataclass(frozen=True)
class Picture:
    """Properties of one image, or the error of decoding it.

    visible: some alpha is not 0. transparent: some alpha is not full. color: of an image of one colour, else None.
    digest: of its pixels; empty if they cannot be decoded.
    """

    error: SceneError | None = None
    visible: bool = True
    transparent: bool = False
    color: tuple[int, ...] | None = None
    digest: bytes = b""


def look_at(views: Views) -> list[Picture]:
    """One Picture per view, in order. Decodes all of them on all cores."""

    def look(index: int) -> Picture:
        try:
            image = views.read(index)
        except SceneError as error:
            return Picture(error=error)
        pixels = image.reshape(-1, image.shape[-1])
        alpha = pixels[:, 3] if pixels.shape[1] == 4 else np.full(1, 255, np.uint8)
        plain = not alpha.any() or int(np.ptp(pixels, axis=0).max()) <= PLAIN
        return Picture(
            visible=bool(alpha.any()),
            transparent=bool((alpha < 255).any()),
            color=tuple(int(value) for value in np.median(pixels[:, :3], axis=0)) if plain else None,
            digest=hashlib.blake2b(image.tobytes(), digest_size=16).digest(),
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(look, range(len(views))))


def look_at_all(splits: Mapping[str, Views]) -> dict[str, list[Picture]]:
    """The same for each split."""
    return {split: look_at(views) for split, views in splits.items()}


def readable(views: Views, pictures: Sequence[Picture]) -> Views:
    """The views that can be decoded. Raises the first SceneError if none can."""
    kept = [i for i, picture in enumerate(pictures) if picture.error is None]
    if not kept and (errors := [picture.error for picture in pictures if picture.error is not None]):
        raise errors[0]
    return views.select(kept)


def picture_problems(scene: Scene, pictures: Mapping[str, Sequence[Picture]]) -> list[Problem]:
    """Problems of a scene's images; those that prevent learning come first."""
    named = {
        f"{split}/{name}": picture
        for split, views in scene.splits.items()
        for name, picture in zip(views.names, pictures[split], strict=True)
    }
    faults = [
        Fault(name.split("/", 1)[1], str(picture.error).removeprefix(f"scene '{scene.name}': "))
        for name, picture in named.items()
        if picture.error is not None
    ]
    decoded = {name: picture for name, picture in named.items() if picture.error is None}
    train = [picture for picture in pictures["train"] if picture.error is None]
    nothing = _nothing_to_learn(train)
    found = told_once(faults) + nothing
    if not nothing:
        found += _empty_ones(decoded) + _copies(decoded)
    if scene.channels == 4 and not any(picture.transparent for picture in decoded.values()):
        found.append(Problem("the alpha of all images is opaque", "save them as RGB, the result is smaller"))
    return found


def _nothing_to_learn(train: Sequence[Picture]) -> list[Problem]:
    """Problem if all training images together show nothing."""
    if not train:
        return []
    count = f"all {len(train)} training views"
    if not any(picture.visible for picture in train):
        return [
            Problem(
                f"{count} are transparent all over (alpha is 0), so there is nothing to learn",
                "save the images again with the alpha of the object, or without alpha",
                fatal=True,
            )
        ]
    if all(picture.color is not None or not picture.visible for picture in train):
        color = next(picture.color for picture in train if picture.visible)
        return [
            Problem(
                f"{count} are of one plain colour (RGB {color}), so there is nothing to learn",
                "save the images again: the program that wrote them wrote no picture",
                fatal=True,
            )
        ]
    if len(train) > 1 and len({picture.digest for picture in train}) == 1:
        return [Problem(f"{count} are the same image", "add the photos that belong to the poses", True)]
    return []


def _empty_ones(decoded: Mapping[str, Picture]) -> list[Problem]:
    found = []
    if invisible := [name for name, picture in decoded.items() if not picture.visible]:
        found.append(
            Problem(
                f"{views_are(invisible)} transparent all over (alpha is 0)",
                "they show nothing; remove them, or correct their alpha",
            )
        )
    if plain := [name for name, picture in decoded.items() if picture.visible and picture.color is not None]:
        found.append(Problem(f"{views_are(plain)} of one plain colour", "look at them; remove those that show nothing"))
    return found


def _copies(decoded: Mapping[str, Picture]) -> list[Problem]:
    contents: dict[bytes, list[str]] = defaultdict(list)
    for name, picture in decoded.items():
        if picture.visible and picture.color is None:  # images of one colour need not be copies
            contents[picture.digest].append(name)
    across, within = [], []
    for names in contents.values():
        if len({name.split("/", 1)[0] for name in names}) > 1:
            across.append(names)
        elif len(names) > 1:
            within.append(names)
    found = []
    if across:
        splits = " and ".join(sorted({name.split("/", 1)[0] for name in across[0]}))
        found.append(Problem(f"the same image is in {splits}: {_first_of(across)}", "keep it in one split only"))
    if within:
        what = f"the same image is listed {len(within[0])} times: {_first_of(within)}"
        found.append(Problem(what, "remove the copies"))
    return found


def _first_of(groups: Sequence[list[str]]) -> str:
    """The names of the first group, and how many more there are."""
    more = f"; {len(groups) - 1} more {'is' if len(groups) == 2 else 'are'} copied too" if len(groups) > 1 else ""
    return ", ".join(groups[0][:NAMED]) + (", ..." if len(groups[0]) > NAMED else "") + more


def views_are(names: Sequence[str]) -> str:
    """How many views, and the first few by name: "3 views (a, b, c) are"."""
    listed = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"{len(names)} view{'s' if len(names) > 1 else ''} ({listed}) {'are' if len(names) > 1 else 'is'}"
