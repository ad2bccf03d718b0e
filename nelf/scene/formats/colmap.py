"""COLMAP's reconstructions, read by ourselves: pycolmap believes the counts in a file, and a wrong one kills it."""

import contextlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from nelf.core.errors import SceneError, one_line
from nelf.scene.config import SceneConfig
from nelf.scene.images import find_image, pick_image_folder
from nelf.scene.lens import Lens, LensError, check_lens
from nelf.scene.parsed import FrameErrors, ParsedFrame, ParsedScene

# Number in binary files -> name and count of parameters.
CAMERA_MODELS: dict[int, tuple[str, int]] = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
    11: ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
}
PARAMETERS = dict(CAMERA_MODELS.values())
IMAGE_POINT = 24  # bytes: xy 2 f64, point u64
POINT_TRACK = 8  # bytes: image u32, point u32
LONGEST_NAME = 4096


@dataclass(frozen=True)
class ColmapCamera:
    model: str
    width: int
    height: int
    parameters: tuple[float, ...]


@dataclass(frozen=True)
class ColmapImage:
    """world_to_camera: [3, 4], COLMAP's axes."""

    name: str
    camera: int
    world_to_camera: np.ndarray


def read_cameras(path: Path) -> dict[int, ColmapCamera]:
    """Cameras by number."""
    return dict(_cameras_of_bytes(path) if path.suffix == ".bin" else _cameras_of_text(path))


def read_images(path: Path) -> list[ColmapImage]:
    """Images in the order of their names."""
    found = list(_images_of_bytes(path) if path.suffix == ".bin" else _images_of_text(path))
    return sorted(found, key=lambda image: image.name)


def read_points(path: Path) -> np.ndarray:
    """[n, 3]; none where there is no file."""
    if not path.is_file():
        return np.zeros((0, 3))
    found = list(_points_of_bytes(path) if path.suffix == ".bin" else _points_of_text(path))
    return np.array(found, dtype=np.float64).reshape(-1, 3)


class _Bytes:
    """Reads a binary file from its begin; its end is where it says so, and not behind what it counts."""

    def __init__(self, path: Path) -> None:
        self.name, self.data, self.position = path.name, path.read_bytes(), 0

    def take(self, form: str) -> tuple[Any, ...]:
        """The values at the present place, as `struct` reads them."""
        size = struct.calcsize(form)
        self.skip(size)
        return struct.unpack_from(form, self.data, self.position - size)

    def skip(self, size: int) -> None:
        if size > len(self.data) - self.position:
            raise ValueError(f"{self.name} ends too early, after {len(self.data)} bytes")
        self.position += size

    def text(self) -> str:
        end = self.data.find(b"\0", self.position, self.position + LONGEST_NAME)
        if end < 0:
            raise ValueError(f"{self.name} holds a name without an end at byte {self.position}")
        found, self.position = self.data[self.position : end], end + 1
        return found.decode()  # a UnicodeDecodeError is a ValueError


def _cameras_of_bytes(path: Path) -> Iterator[tuple[int, ColmapCamera]]:
    data = _Bytes(path)
    for _ in range(data.take("<Q")[0]):
        number, model, width, height = data.take("<IiQQ")
        if model not in CAMERA_MODELS:
            raise ValueError(f"{path.name} has a camera of the unknown model {model}")
        name, count = CAMERA_MODELS[model]
        yield number, ColmapCamera(name, width, height, data.take(f"<{count}d"))


def _images_of_bytes(path: Path) -> Iterator[ColmapImage]:
    data = _Bytes(path)
    for _ in range(data.take("<Q")[0]):
        _, *pose, camera = data.take("<I7dI")
        name = data.text()
        data.skip(IMAGE_POINT * data.take("<Q")[0])
        yield ColmapImage(name, camera, _pose(pose, path.name, name))


def _points_of_bytes(path: Path) -> Iterator[tuple[float, ...]]:
    data = _Bytes(path)
    for _ in range(data.take("<Q")[0]):
        _, *values, length = data.take("<Q3d3BdQ")
        data.skip(POINT_TRACK * length)
        yield tuple(values[:3])


def _rows(path: Path) -> Iterator[list[str]]:
    """The words of each line that is no comment; an empty line has none."""
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            yield line.split()


@contextlib.contextmanager
def _reading(path: Path, words: list[str]) -> Iterator[None]:
    """Say where numbers are missing or none."""
    try:
        yield
    except (IndexError, ValueError, OverflowError) as error:
        raise ValueError(f"{path.name}: the line that begins {' '.join(words)[:40]!r} is damaged ({error})") from None


def _cameras_of_text(path: Path) -> Iterator[tuple[int, ColmapCamera]]:
    for words in _rows(path):
        if words:
            with _reading(path, words):
                number, model, width, height = int(words[0]), words[1], int(words[2]), int(words[3])
                parameters = tuple(float(word) for word in words[4:])
                if len(parameters) != PARAMETERS.get(model, len(parameters)):
                    raise ValueError(f"{len(parameters)} parameters for a {model} camera")
            yield number, ColmapCamera(model, width, height, parameters)


def _images_of_text(path: Path) -> Iterator[ColmapImage]:
    """Two lines an image: the second has its two-dimensional points, and may be empty."""
    rows = _rows(path)
    for words in rows:
        if words:
            with _reading(path, words):
                pose, camera, name = [float(word) for word in words[1:8]], int(words[8]), " ".join(words[9:])
                if not name:
                    raise ValueError("no name")
            yield ColmapImage(name, camera, _pose(pose, path.name, name))
            next(rows, None)


def _points_of_text(path: Path) -> Iterator[tuple[float, ...]]:
    for words in _rows(path):
        if words:
            with _reading(path, words):
                point = float(words[1]), float(words[2]), float(words[3])
            yield point


def _pose(values: list[float], file: str, name: str) -> np.ndarray:
    """World to camera [3, 4] of qw qx qy qz tx ty tz."""
    if len(values) != 7:
        raise ValueError(f"{file}: image {name} has {len(values)} numbers for its pose; 7 are needed")
    length = math.hypot(*values[:4])
    if not 1e-6 < length < 1e6:
        raise ValueError(f"{file}: image {name} has a quaternion of length {length:g}; it must be 1")
    rotation = Rotation.from_quat([*values[1:4], values[0]]).as_matrix()
    return np.column_stack([rotation, values[4:]])


MODEL_FILES = ("cameras", "images", "points3D")
SUFFIXES = (".bin", ".txt")
FOLDERS = ("sparse/0", "colmap/sparse/0", "sparse", "colmap/sparse")
# Where each model keeps focal x, focal y, center x, center y, and then k1 k2 p1 p2, in its parameters.
MODELS: dict[str, tuple[tuple[int, int, int, int], tuple[int, ...]]] = {
    "SIMPLE_PINHOLE": ((0, 0, 1, 2), ()),
    "PINHOLE": ((0, 1, 2, 3), ()),
    "SIMPLE_RADIAL": ((0, 0, 1, 2), (3,)),
    "RADIAL": ((0, 0, 1, 2), (3, 4)),
    "OPENCV": ((0, 1, 2, 3), (4, 5, 6, 7)),
}
FLIP = np.array([1.0, -1.0, -1.0, 1.0])  # COLMAP's camera: y down, looks along +z


def find_model(root: Path) -> Path | None:
    for folder in FOLDERS:
        for suffix in SUFFIXES:
            if (root / folder / f"cameras{suffix}").is_file() and (root / folder / f"images{suffix}").is_file():
                return root / folder
    return None


def detect_colmap(root: Path) -> bool:
    return find_model(root) is not None


def load_colmap(root: Path, config: SceneConfig, name: str, faults: FrameErrors) -> ParsedScene:
    model = find_model(root)
    assert model is not None
    suffix = ".bin" if (model / "images.bin").is_file() and (model / "cameras.bin").is_file() else ".txt"
    try:
        cameras, images = read_cameras(model / f"cameras{suffix}"), read_images(model / f"images{suffix}")
        points = read_points(model / f"points3D{suffix}")
    except (OSError, ValueError) as error:
        line = one_line(error)
        raise SceneError(
            f"scene '{name}': cannot read {model} ({line}); a file may be cut short, write it again"
        ) from error
    folder, downscale = pick_image_folder(root, config.downscale, name)
    frames = []
    for image in images:
        where = f"scene '{name}': {model.relative_to(root)}: image {image.name}"
        rotation = image.world_to_camera[:, :3].T
        c2w = np.concatenate([rotation, -rotation @ image.world_to_camera[:, 3:]], axis=1) * FLIP
        with faults.of_a_frame(image.name):
            path = find_image(folder, image.name, where)
            relative = None if path is None else folder.relative_to(root) / path
            if image.camera not in cameras:
                raise SceneError(f"{where} was taken by camera {image.camera}, which cameras{suffix} does not have")
            lens = _lens(cameras[image.camera], where)
            frames.append(ParsedFrame(where, f"{folder.name}/{image.name}", relative, c2w, lens))
    files = [model.relative_to(root) / (stem + suffix) for stem in MODEL_FILES]
    files = [file for file in files if (root / file).is_file()]
    points = points[np.isfinite(points).all(1)]
    return ParsedScene("COLMAP", frames, downscale, files, points=points if len(points) >= 100 else None)


def _lens(camera: ColmapCamera, where: str) -> Lens:
    model = camera.model
    if model not in MODELS:
        raise SceneError(
            f"{where} has camera model {model}; use one of {', '.join(MODELS)}, "
            "or undistort the photos with `colmap image_undistorter`"
        )
    (fx, fy, cx, cy), extra = MODELS[model]
    values = camera.parameters
    k1, k2, p1, p2 = ([values[i] for i in extra] + [0.0] * 4)[:4]
    try:
        return check_lens(
            Lens(
                focal_x=values[fx],
                focal_y=values[fy],
                center_x=values[cx],
                center_y=values[cy],
                width=float(camera.width),
                height=float(camera.height),
                distortion=(k1, k2, 0.0, p1, p2),
            )
        )
    except LensError as error:
        raise SceneError(f"{where} {error}") from error
