"""What can be done to the folder of a sound scene: one small change each, of its JSON, poses, images or files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from tests.scenes import edit_json, pose_towards

Change = Callable[[Path], object]


def nothing(folder: Path) -> None:
    """No change."""


def top(**changes: Any) -> Change:
    """Set keys of transforms.json; None removes one."""

    def change(folder: Path) -> None:
        path = folder / "transforms.json"
        content = edit_json(path, **changes)
        path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return change


def frame(*numbers: int, **changes: Any) -> Change:
    """Set keys of some frames."""

    def change(folder: Path) -> None:
        content = edit_json(folder / "transforms.json")
        for number in numbers or range(len(content["frames"])):
            content["frames"][number] |= changes
        edit_json(folder / "transforms.json", frames=content["frames"])

    return change


def frames(edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Change:
    """Change all frames together."""

    def change(folder: Path) -> None:
        edit_json(folder / "transforms.json", frames=edit(edit_json(folder / "transforms.json")["frames"]))

    return change


def poses(edit: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Change each pose, [4, 4]."""

    def moved(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [one | {"transform_matrix": edit(np.array(one["transform_matrix"])).tolist()} for one in listed]

    return frames(moved)


def image(edit: Callable[[Image.Image], Image.Image], pattern: str = "images/0003.png") -> Change:
    """Change some images."""

    def change(folder: Path) -> None:
        found = sorted(folder.glob(pattern))
        assert found, pattern
        for path in found:
            with Image.open(path) as opened:
                edit(opened.copy()).save(path)

    return change


def text(name: str, content: str | bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def cut(name: str, share: float = 0.5) -> Change:
    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return change


def remove(*patterns: str) -> Change:
    def change(folder: Path) -> None:
        for pattern in patterns:
            found = list(folder.glob(pattern))
            assert found, pattern
            for path in found:
                path.unlink()

    return change


def instead(make: Callable[[Path], object], name: str = "images/0003.png") -> Change:
    """Replace a file."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return change


def both(*changes: Change) -> Change:
    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change


def rows(edit: Callable[[np.ndarray], np.ndarray]) -> Change:
    """Change the rows of poses_bounds.npy."""
    return lambda folder: np.save(folder / "poses_bounds.npy", edit(np.load(folder / "poses_bounds.npy")))


def cell(row: int, column: int, value: float) -> Change:
    def edit(found: np.ndarray) -> np.ndarray:
        found[row, column] = value
        return found

    return rows(edit)


def of_one_color(color: tuple[int, ...]) -> Callable[[Image.Image], Image.Image]:
    return lambda opened: Image.new(opened.mode, opened.size, color)


def halved(opened: Image.Image) -> Image.Image:
    return opened.resize((opened.width // 2, opened.height // 2), Image.Resampling.BOX)


def upright(opened: Image.Image) -> Image.Image:
    """Its middle, 14 x 16 of 24 x 16: a portrait photo by the same lens."""
    return opened.crop((5, 0, 19, 16))


def same_pose_everywhere(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one | {"transform_matrix": listed[0]["transform_matrix"]} for one in listed]


def from_one_place(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A panorama: the camera turns on the spot."""
    place = np.array(listed[0]["transform_matrix"])[:3, 3]
    turned = []
    for one in listed:
        matrix = np.array(one["transform_matrix"])
        matrix[:3, 3] = place
        turned.append(one | {"transform_matrix": matrix.tolist()})
    return turned


def a_star(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Four cameras that look out of a square."""
    turned = []
    for quarter, one in enumerate(listed[:4]):
        away = np.array([np.cos(quarter * np.pi / 2), np.sin(quarter * np.pi / 2), 0.0])
        turned.append(one | {"transform_matrix": pose_towards(away, 2 * away).tolist()})
    return turned


def backwards(split: str) -> Change:
    """The axes of OpenCV."""

    def change(folder: Path) -> None:
        path = folder / f"transforms_{split}.json"
        listed = edit_json(path)["frames"]
        flip = np.diag([1.0, -1.0, -1.0, 1.0])
        turned = [(np.array(one["transform_matrix"]) @ flip).tolist() for one in listed]
        edit_json(path, frames=[one | {"transform_matrix": pose} for one, pose in zip(listed, turned, strict=True)])

    return change


def other_camera(folder: Path) -> None:
    """EXIF names another model in one photo."""
    for path in folder.glob("*.png"):
        with Image.open(path) as opened:
            exif = opened.getexif()
            exif[ExifTags.Base.Model] = "Beta" if path.name == "0003.png" else "Alpha"
            opened.copy().save(path, exif=exif)


def absolute_names(folder: Path) -> None:
    frames(lambda listed: [one | {"file_path": str(folder / one["file_path"])} for one in listed])(folder)


def renamed(new: Callable[[str], str]) -> Change:
    """Rename the image files, and what the frames call them."""

    def change(folder: Path) -> None:
        def edit(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
            for one in listed:
                old = one["file_path"]
                one["file_path"] = new(old)
                (folder / old).rename(folder / one["file_path"])
            return listed

        frames(edit)(folder)

    return change


def without_suffix(one: dict[str, Any]) -> dict[str, Any]:
    return one | {"file_path": one["file_path"].removesuffix(".png")}


def sixteen_bits(opened: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(opened.convert("L")).astype(np.uint16) * 257)
