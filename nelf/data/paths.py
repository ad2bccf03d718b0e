"""Image files inside a scene's folder."""

import posixpath
import re
from pathlib import Path

from nelf.data.images import IMAGE_SUFFIXES
from nelf.errors import SceneError

_SPELLINGS = tuple(spelling for s in IMAGE_SUFFIXES for spelling in (s, s.upper()))


def find_image(root: Path, listed: str, where: str) -> Path | None:
    """The file that a scene lists as `listed`, relative to `root`; None when there is none.

    The suffix may be left out, and the file may have another one than the list says (images that were converted,
    000.JPG for 000.jpg). A name that leaves the folder is refused; an absolute one may lead into it.
    """
    name = _inside(root, listed)
    if name.startswith(("/", "../")) or name in ("..", ".") or re.match("[A-Za-z]:", name) or "\0" in name:
        raise SceneError(
            f"{where} names {listed!r}, which is outside of the scene's folder; "
            "paths must be relative to the folder and stay inside it"
        )
    try:
        if (root / name).is_file():
            return Path(name)
        for candidate in _spellings(name):
            if (root / candidate).is_file():
                return Path(candidate)
    except OSError:  # a name longer than the file system allows
        return None
    return None


def _inside(root: Path, listed: str) -> str:
    """The name relative to `root` where it can be given so."""
    name = posixpath.normpath(listed.replace("\\", "/"))
    for folder in (root.absolute(), root.resolve()):
        if name.startswith(f"{folder.as_posix()}/"):
            return name.removeprefix(f"{folder.as_posix()}/")
    return name


def _spellings(name: str) -> list[str]:
    """The name with each known suffix, and where it has one, with each other: its own in other letters first."""
    stem, suffix = posixpath.splitext(name)
    names = [name + spelling for spelling in _SPELLINGS]
    if suffix.lower() in IMAGE_SUFFIXES:
        nearest = sorted(_SPELLINGS, key=lambda spelling: spelling.lower() != suffix.lower())
        names += [stem + spelling for spelling in nearest]
    return names


def list_images(folder: Path) -> list[Path]:
    """Image files directly in `folder`, by name; links that lead nowhere too, since a photo is missing there."""
    found = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    return sorted(p for p in found if p.is_file() or not p.exists())


def photo_files(root: Path) -> list[Path]:
    """Photos that lie in `root` itself, in `root`/images or in `root`/photos: the first of these that has any."""
    for folder in (root, root / "images", root / "photos"):
        if folder.is_dir() and (found := list_images(folder)):
            return found
    return []


def image_folders(root: Path) -> dict[int, Path]:
    """`images` and `images_N` in `root` by the factor that they are reduced by (1 for `images`)."""
    found = {}
    for folder in root.iterdir():
        match = re.fullmatch(r"images(?:_([1-9]\d*))?", folder.name)
        if match and folder.is_dir():
            found[int(match[1] or 1)] = folder
    return dict(sorted(found.items()))


def pick_image_folder(root: Path, downscale: int, scene: str) -> tuple[Path, int]:
    """The folder to read for a total reduction by `downscale`, and by how much its images are still to be reduced.

    The smallest images that are not too small win. Without full-size images, downscale = 1 means the largest there.
    """
    folders = image_folders(root)
    if not folders:
        raise SceneError(f"scene '{scene}': there is no folder images or images_N in {root}; put the photos there")
    if downscale == 1:
        return next(iter(folders.values())), 1
    usable = [factor for factor in folders if downscale % factor == 0]
    if not usable:
        names = ", ".join(folder.name for folder in folders.values())
        allowed = ", ".join(f"{factor}" for factor in folders)
        raise SceneError(
            f"scene '{scene}': scene.downscale={downscale} counts from full size, and there is only {names}; "
            f"use a multiple of {allowed}, or 1 for the largest images there are"
        )
    return folders[max(usable)], downscale // max(usable)
