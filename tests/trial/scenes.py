"""Broken and odd scenes, made by a script from sound ones by one change each.

`BAD` maps a name to how the scene is made, its overrides, and a part of the line that refuses it. `ODD` maps a name to
how it is made and the overrides with which it passes every stage up to training.
"""

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.scenes import (
    edit_json,
    make_blender_scene,
    make_colmap_scene,
    make_llff_scene,
    make_nerfstudio_scene,
    make_plain_scene,
    make_polycam_scene,
    make_record3d_scene,
)
from tests.trial.changes import (
    Change,
    a_star,
    absolute_names,
    backwards,
    both,
    cell,
    cut,
    frame,
    frames,
    from_one_place,
    halved,
    image,
    instead,
    nothing,
    of_one_color,
    other_camera,
    poses,
    remove,
    renamed,
    rows,
    same_pose_everywhere,
    sixteen_bits,
    text,
    top,
    upright,
    without_suffix,
)


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
    "names without a suffix": Case("room", frames(lambda listed: [without_suffix(one) for one in listed])),
    "names with blanks and quotes": Case("room", renamed(lambda name: name.replace("images/0", "images/my 'ü' = "))),
    "a suffix in other letters": Case(
        "room", lambda folder: (folder / "images/0003.png").rename(folder / "images/0003.PNG")
    ),
    "a mark before the json": Case(
        "room", lambda folder: text("transforms.json", "\ufeff" + (folder / "transforms.json").read_text())(folder)
    ),
    "grey JPEGs": Case("jpegs", image(lambda opened: opened.convert("L"), "images/*.jpg")),
    "sixteen bits": Case("room", image(lambda opened: sixteen_bits(opened), "images/*.png")),
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
