"""Broken and odd scenes, made by a script from sound ones by one change each.

`BAD` maps a name to how the scene is made, its overrides, and a part of the line that refuses it. `ODD` maps a name to
how it is made and the overrides with which it passes every stage up to training.
"""

import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from tests.scenes import (
    edit_json,
    make_blender_scene,
    make_colmap_scene,
    make_llff_scene,
    make_nerfstudio_scene,
    make_plain_scene,
    make_polycam_scene,
    make_record3d_scene,
    pose_towards,
)

Change = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """base: the sound scene. change: applied to its folder. expected: part of the refusal; empty for odd ones."""

    base: str
    change: Change
    expected: str = ""
    overrides: Sequence[str] = ()

    def make(self, folder: Path) -> Path:
        """The scene, in `folder`."""
        shutil.copytree(sound(self.base), folder)
        self.change(folder)
        return folder


MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "room": make_nerfstudio_scene,
    "ball": functools.partial(make_blender_scene, views=(8, 2, 2)),
    "plain": functools.partial(make_plain_scene, views=(8, 2, 2)),
    "wall": functools.partial(make_llff_scene, views=9),
    "colmap": functools.partial(make_colmap_scene, text=True),
    "binary colmap": make_colmap_scene,
    "polycam": make_polycam_scene,
    "record3d": make_record3d_scene,
    "lens": functools.partial(make_nerfstudio_scene, distortion={"k1": 0.05, "p1": 0.01}),
    "lenses": functools.partial(make_nerfstudio_scene, per_frame=True),
    "jpegs": functools.partial(make_nerfstudio_scene, suffix=".jpg"),
    "nothing": lambda folder: folder,
}


@functools.cache
def sound(base: str) -> Path:
    """Made once per session; do not change it."""
    folder = Path(tempfile.mkdtemp(prefix="nelf-trial-")) / "scene"
    folder.mkdir()
    if base == "photos":
        shutil.copytree(sound("room") / "images", folder, dirs_exist_ok=True)
        return folder
    return MAKERS[base](folder)


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


SPLITS = ("train", "val", "test")
NO_FOCAL = top(fl_x=None, fl_y=None)
NO_SIZE = top(w=None, h=None, cx=None, cy=None)
PIPE = "which is a pipe or device, not a file"

BAD: Mapping[str, Case] = {
    # What lies where the scene should be
    "an empty folder": Case("nothing", nothing, "no known format in"),
    "a folder with text only": Case("nothing", text("readme.txt", "photos of my cat"), "no known format in"),
    # transforms.json
    "json cut in half": Case("room", cut("transforms.json"), "transforms.json is not valid JSON"),
    "json that is no text": Case("room", text("transforms.json", b"\xff\xfe\x00\x01"), "is not JSON text"),
    "json that is a list": Case("room", text("transforms.json", "[]"), "transforms.json holds []"),
    "no list of frames": Case("room", top(frames={}), "has frames = {}; it must be a list"),
    "an empty list of frames": Case("room", top(frames=[]), "it lists no frames"),
    "a frame without an image": Case("room", frame(3, file_path=None), "has no file_path"),
    "an image outside": Case("room", frame(3, file_path="../secret.png"), "is outside the scene's folder"),
    "an absolute image outside": Case("room", frame(3, file_path="/etc/x.png"), "is outside the scene's folder"),
    "a kind that is none": Case(
        "room", top(scene_type="inside"), "it must be one of object, forward-facing, unbounded"
    ),
    "near beyond far": Case("room", top(near=9.0, far=1.0), "must be smaller than far = 1"),
    "an up that is nothing": Case("room", top(up=[0, 0, 0]), "it must be a direction, such as [0, 0, 1]"),
    "splits of no view": Case("room", top(train_filenames=[], test_filenames=[]), "it lists no frames"),
    # Lenses
    "no focal length": Case("room", NO_FOCAL, "has no focal length; give fl_x"),
    "a focal length of zero": Case("room", top(fl_x=0), "has focal length fl_x = 0; it must be a positive number"),
    "a negative focal length": Case("room", frame(4, fl_y=-3), "has focal length fl_y = -3; it must be a positive"),
    "a focal length in words": Case("room", top(fl_x="long"), 'has fl_x = "long"; it must be a number'),
    "a focal length in millimetres": Case("room", top(fl_x=0.024, fl_y=0.024), "they must be 0.01 to 10000 times"),
    "an angle beyond pi": Case("room", both(NO_FOCAL, top(camera_angle_x=4)), "it must be between 0 and pi"),
    "intrinsics of another shape": Case("room", top(w=16, h=24), "intrinsics are for 16x24, another aspect ratio"),
    "a centre far away": Case("room", top(cx=-1e9), "has the principal point"),
    "distortion that folds": Case("room", top(k1=-30.0), "folds the image over itself"),
    "distortion without a source": Case("room", top(k1=50.0), "undistortion has no source for"),
    "a fisheye": Case("room", top(camera_model="OPENCV_FISHEYE"), "use one of OPENCV"),
    "a coefficient of a fisheye": Case("room", top(k4=0.1), "has distortion k4"),
    # Poses
    "a pose with NaN": Case("room", frame(3, transform_matrix=[[float("nan")] * 4] * 4), "has a pose with NaN"),
    "a pose that scales": Case("room", frame(3, transform_matrix=(2 * np.eye(4)).tolist()), "is not rigid"),
    "a pose that mirrors": Case("room", frame(3, transform_matrix=np.diag([1, 1, -1, 1.0]).tolist()), "and mirrors"),
    "a pose of two rows": Case("room", frame(3, transform_matrix=np.eye(4).tolist()[:2]), "it must be a 4x4 matrix"),
    "a pose at the end of the world": Case(
        "room", poses(lambda pose: pose + np.eye(4, k=3) * 1e200), "each coordinate must be at most"
    ),
    "a frame without a pose": Case("room", frame(3, transform_matrix=None), "has no transform_matrix"),
    "all poses without scale": Case("room", poses(lambda pose: 0 * pose), "none of its frames can be used"),
    "one pose for all": Case("room", frames(same_pose_everywhere), "stand in one spot"),
    "two poses for one photo": Case("room", frame(5, file_path="images/0001.png"), "0001.png has 2 different poses"),
    "all cameras in one spot": Case("room", frames(from_one_place), "stand in one spot"),
    "cameras that look away": Case("room", frames(a_star), "look away from each other"),
    "an object seen backwards": Case(
        "ball", both(*(backwards(split) for split in SPLITS)), "look away from each other"
    ),
    # Images
    "names of other photos": Case(
        "room",
        frames(lambda listed: [one | {"file_path": f"images/IMG_{i}.png"} for i, one in enumerate(listed)]),
        "holds 12 others, such as 0001.png: use the poses of these",
    ),
    "images that are missing": Case("room", remove("images/000[34].png"), "2 of 12 images are missing; pass scene."),
    "no image at all": Case("room", remove("images/*.png"), "None of the 12 images exists"),
    "a folder for an image": Case("room", instead(Path.mkdir), "names images/0003.png, which is a folder"),
    "a pipe for an image": Case("room", instead(os.mkfifo), PIPE),
    "a link to itself": Case("room", instead(lambda path: path.symlink_to(path.name)), "is a link to itself"),
    "a link to nothing": Case(
        "room", instead(lambda path: path.symlink_to("gone.png")), "a link to gone.png, which does not exist"
    ),
    "a web page for an image": Case("room", text("images/0003.png", "<html>404</html>"), "not an image in a known"),
    "an empty image": Case("room", text("images/0003.png", ""), "cannot read the image"),
    "an image cut short": Case("room", cut("images/0003.png"), "cannot read the image"),
    "a test image cut short": Case("room", cut("images/0001.png", 0.9), "cannot read the image"),
    "an image of another size": Case("room", both(NO_SIZE, image(halved)), "images differ in size: images/0001.png"),
    "an image of another shape": Case("room", image(lambda opened: opened.resize((12, 16))), "another aspect ratio"),
    "an image that shows a corner": Case(
        "room", both(image(halved), frame(2, fl_x=200, fl_y=200, w=12, h=8, cx=6, cy=4)), "times less than most photos"
    ),
    "all images black": Case("room", image(of_one_color((0, 0, 0)), "images/*.png"), "are of one plain colour"),
    "all images the same": Case(
        "room",
        lambda folder: [shutil.copy(sound("room") / "images/0001.png", path) for path in folder.glob("images/*.png")],
        "are the same image",
    ),
    "all alpha zero": Case("ball", image(of_one_color((9, 9, 9, 0)), "*/*.png"), "are transparent all over"),
    # Too few
    "one image": Case("room", frames(lambda listed: listed[:1]), "no train views among the 1 views"),
    "two images": Case("room", frames(lambda listed: listed[:2]), "1 training view is too few"),
    "no test views": Case("ball", remove("transforms_test.json"), "no test views among the 10 views"),
    "no training views": Case("ball", remove("transforms_train.json"), "no train views among the 4"),
    "nothing held out": Case("room", nothing, "set scene.holdout to 2 or more", ["scene.holdout=0"]),
    "no pixel left": Case("room", nothing, "scene.downscale=17 leaves no pixel", ["scene.downscale=17"]),
    # LLFF
    "fewer poses than images": Case("wall", rows(lambda found: found[:5]), "has 5 poses and images_8 has 9 images"),
    "rows that are too short": Case("wall", rows(lambda found: found[:, :15]), "it must hold floats of shape"),
    "rows cut short": Case("wall", cut("poses_bounds.npy", 0.01), "poses_bounds.npy cannot be read"),
    "bounds of nothing": Case("wall", cell(2, 15, float("nan")), "are not 0 < nearest < farthest"),
    "no folder of images": Case("wall", lambda folder: (folder / "images_8").rename(folder / "pictures"), "no folder"),
    # COLMAP
    "a camera that is missing": Case(
        "colmap", text("sparse/0/images.txt", "1 1 0 0 0 0 0 0 9 photo_000.png\n\n"), "was taken by camera 9"
    ),
    "cameras cut short": Case("colmap", text("sparse/0/cameras.txt", "1 PINHOLE 24\n"), "1 PINHOLE 24' is damaged"),
    "images cut short": Case("binary colmap", cut("sparse/0/images.bin"), "images.bin ends too early"),
    # Phones
    "a camera without a number": Case(
        "polycam", lambda folder: edit_json(folder / "keyframes/corrected_cameras/3000.json", t_12=None), "has no t_12"
    ),
    "intrinsics without numbers": Case(
        "record3d", lambda folder: edit_json(folder / "metadata.json", K=[1.0]), "lacks the 9 numbers K"
    ),
    # Photos without poses
    "two photos": Case("photos", remove("000[3-9].png", "001*.png"), "2 photos in"),
    "photos of one colour": Case("photos", image(of_one_color((7, 7, 7)), "*.png"), "are blurred or show only plain"),
    "a video frame among photos": Case("photos", image(halved, "0003.png"), "is 12x8 pixels and most are 24x16"),
    "a portrait among photos": Case(
        "photos", image(lambda opened: opened.rotate(90, expand=True), "0003.png"), "is 16x24 pixels and most are 24x16"
    ),
    "a photo of another camera": Case("photos", other_camera, "is of another camera (Beta) than most (Alpha)"),
    "a photo that is none": Case("photos", text("0003.png", "<html>404</html>"), "not an image in a known format"),
}

ODD: Mapping[str, Case] = {
    "a sound room": Case("room", nothing),
    "absolute names inside": Case("room", absolute_names),
    "names without a suffix": Case("room", frames(lambda listed: [_without_suffix(one) for one in listed])),
    "names with blanks and quotes": Case("room", renamed(lambda name: name.replace("images/0", "images/my 'ü' = "))),
    "a suffix in other letters": Case(
        "room", lambda folder: (folder / "images/0003.png").rename(folder / "images/0003.PNG")
    ),
    "a mark before the json": Case(
        "room", lambda folder: text("transforms.json", "\ufeff" + (folder / "transforms.json").read_text())(folder)
    ),
    "grey JPEGs": Case("jpegs", image(lambda opened: opened.convert("L"), "images/*.jpg")),
    "sixteen bits": Case("room", image(lambda opened: _sixteen_bits(opened), "images/*.png")),
    "images of two sizes": Case("room", image(halved, "images/000[3-5].png")),
    "portrait among landscape": Case(
        "room", both(image(upright), frame(2, w=14, h=16, cx=7, cy=8)), overrides=["scene.type=unbounded"]
    ),
    "a lens that distorts": Case("lens", nothing),
    "a lens for each photo": Case("lenses", nothing),
    "a national grid": Case("room", poses(lambda pose: pose + np.eye(4, k=3) * 5e4)),
    "a scene of a millimetre": Case("room", poses(lambda pose: pose * np.array([[1, 1, 1, 1e-3]] * 3 + [[1] * 4]))),
    "poses with few digits": Case("room", poses(lambda pose: pose.round(3))),
    "missing images, allowed": Case("room", remove("images/000[34].png"), overrides=["scene.allow_missing=true"]),
    "one frame twice": Case("room", frames(lambda listed: [*listed, listed[1]])),
    "three images": Case("room", frames(lambda listed: listed[:3])),
    "alpha in some images": Case("ball", image(lambda opened: opened.convert("RGB"), "train/r_[01].png")),
    "no validation views": Case("ball", remove("transforms_val.json")),
    "a plain background": Case("plain", nothing),
    "LLFF": Case("wall", nothing),
    "COLMAP in text": Case("colmap", nothing),
    "Polycam": Case("polycam", nothing),
    "Record3D": Case("record3d", nothing),
}


def _without_suffix(one: dict[str, Any]) -> dict[str, Any]:
    return one | {"file_path": one["file_path"].removesuffix(".png")}


def _sixteen_bits(opened: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(opened.convert("L")).astype(np.uint16) * 257)
