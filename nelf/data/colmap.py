"""COLMAP reconstructions, binary or text."""

from pathlib import Path

import numpy as np

from nelf.data.capture import Capture, Frame
from nelf.data.colmap_files import ColmapCamera, read_cameras, read_images, read_points
from nelf.data.config import SceneConfig
from nelf.data.faults import Faults
from nelf.data.lens import Lens, LensError, check_lens
from nelf.data.paths import find_image, pick_image_folder
from nelf.errors import SceneError

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


def load_colmap(root: Path, config: SceneConfig, name: str, faults: Faults) -> Capture:
    model = find_model(root)
    assert model is not None
    suffix = ".bin" if (model / "images.bin").is_file() and (model / "cameras.bin").is_file() else ".txt"
    try:
        cameras, images = read_cameras(model / f"cameras{suffix}"), read_images(model / f"images{suffix}")
        points = read_points(model / f"points3D{suffix}")
    except (OSError, ValueError) as error:
        line = " ".join(str(error).split())[:200]
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
            frames.append(Frame(where, f"{folder.name}/{image.name}", relative, c2w, lens))
    files = [model.relative_to(root) / (stem + suffix) for stem in MODEL_FILES]
    files = [file for file in files if (root / file).is_file()]
    points = points[np.isfinite(points).all(1)]
    return Capture("COLMAP", frames, downscale, files, points=points if len(points) >= 100 else None)


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
