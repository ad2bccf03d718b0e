"""What capture apps of phones export raw: Polycam (one JSON a photo) and Record3D (one JSON for all).

Both give ARKit's poses: camera axes as ours, y up in the world. Their exports for nerfstudio and instant-ngp are
transforms.json and are read as such.
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from nelf.scene.config import SceneConfig
from nelf.scene.images import find_image, list_images
from nelf.scene.lens import Lens, LensError, check_lens
from nelf.scene.parsed import Fields, FrameErrors, ParsedFrame, ParsedScene, read_json

# Photos and cameras of a Polycam export; where it has corrected poses, they are better than the phone's own.
POLYCAM_FOLDERS = (
    (Path("keyframes/corrected_images"), Path("keyframes/corrected_cameras")),
    (Path("keyframes/images"), Path("keyframes/cameras")),
)
RECORD3D_FILES = (Path("metadata.json"), Path("EXR_RGBD/metadata.json"))
RECORD3D_PHOTOS = ("rgb", "rgbd")
Z_UP = (2, 0, 1)  # ARKit's world with z upwards: a turn of the axes, no mirror


def detect_polycam(root: Path) -> bool:
    return _polycam_folders(root) is not None


def load_polycam(root: Path, config: SceneConfig, name: str, faults: FrameErrors) -> ParsedScene:
    """keyframes/images/NAME.jpg and keyframes/cameras/NAME.json, with fx fy cx cy width height t_00 ... t_23."""
    folders = _polycam_folders(root)
    assert folders is not None
    photos, cameras = folders
    frames, files = [], []
    for path in sorted((root / cameras).glob("*.json")):
        files.append(path.relative_to(root))
        own = read_json(path, name)
        own = Fields(own.content, f"scene '{name}': {files[-1].as_posix()}")
        listed = (photos / path.stem).as_posix()
        with faults.of_a_frame(listed):
            keys = [[f"t_{row}{column}" for column in range(4)] for row in Z_UP]
            c2w = np.array([[_required(own, key) for key in row] for row in keys], dtype=np.float64)
            frames.append(ParsedFrame(own.where, listed, find_image(root, listed, own.where), c2w, _polycam_lens(own)))
    return ParsedScene("Polycam", frames, config.downscale, files)


def _polycam_folders(root: Path) -> tuple[Path, Path] | None:
    for photos, cameras in POLYCAM_FOLDERS:
        if (root / photos).is_dir() and any((root / cameras).glob("*.json")):
            return photos, cameras
    return None


def _polycam_lens(own: Fields) -> Lens:
    return _checked(
        own,
        focal_x=_required(own, "fx"),
        focal_y=_required(own, "fy"),
        center_x=_required(own, "cx"),
        center_y=_required(own, "cy"),
        width=own.number("width"),
        height=own.number("height"),
    )


def detect_record3d(root: Path) -> bool:
    return _record3d_files(root) is not None


def load_record3d(root: Path, config: SceneConfig, name: str, faults: FrameErrors) -> ParsedScene:
    """metadata.json: K (column after column), w, h, poses as qx qy qz qw tx ty tz; photos rgb/0.jpg, rgb/1.jpg, ..."""
    files = _record3d_files(root)
    assert files is not None
    file, photos = files
    shared = read_json(root / file, name)
    k = _numbers(shared, shared.content.get("K"), 9, "K")
    lens = _checked(
        shared,
        focal_x=k[0],
        focal_y=k[4],
        center_x=k[6],
        center_y=k[7],
        width=shared.number("w"),
        height=shared.number("h"),
    )
    poses = shared.content.get("poses")
    if not isinstance(poses, list):
        raise shared.error("has no poses; it must hold a list of them, each qx, qy, qz, qw, tx, ty, tz")
    frames = []
    for number, pose in enumerate(poses):
        own = Fields({}, f"{shared.where}: pose {number}")
        listed = (photos / str(number)).as_posix()
        with faults.of_a_frame(listed):
            values = np.array(_numbers(own, pose, 7, "qx, qy, qz, qw, tx, ty, tz"), dtype=np.float64)
            c2w = np.concatenate([_rotation(own, values[:4]), values[4:, None]], axis=1)[list(Z_UP)]
            frames.append(ParsedFrame(own.where, listed, find_image(root, listed, own.where), c2w, lens))
    return ParsedScene("Record3D", frames, config.downscale, [file])


def _record3d_files(root: Path) -> tuple[Path, Path] | None:
    """The metadata and the folder of the photos, relative to `root`."""
    for file in RECORD3D_FILES:
        for folder in RECORD3D_PHOTOS:
            photos = file.parent / folder
            if (root / file).is_file() and (root / photos).is_dir() and list_images(root / photos):
                return file, photos
    return None


def _rotation(own: Fields, quaternion: np.ndarray) -> np.ndarray:
    """3x3 of x, y, z, w."""
    length = np.linalg.norm(quaternion)
    if not 0.5 < length < 2:
        raise own.error(f"has a quaternion of length {length:g}; it must be 1")
    return Rotation.from_quat(quaternion).as_matrix()


def _required(own: Fields, key: str) -> float:
    value = own.number(key)
    if value is None:
        raise own.error(f"has no {key}; the export is incomplete, make it again")
    return value


def _numbers(own: Fields, value: Any, count: int, what: str) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise own.error(f"has no {count} numbers {what}; the export is incomplete, make it again")
    fields = Fields({str(i): number for i, number in enumerate(value)}, own.where)
    return [_required(fields, str(i)) for i in range(count)]


def _checked(own: Fields, **values: float | None) -> Lens:
    try:
        return check_lens(Lens(**values))  # type: ignore[arg-type]
    except LensError as error:
        raise own.error(str(error)) from error
