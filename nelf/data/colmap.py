"""COLMAP reconstructions, binary or text, read by pycolmap (the extra nelf[colmap])."""

from pathlib import Path
from typing import Any

import numpy as np

from nelf.data.capture import Capture, Frame, Problem
from nelf.data.colmap_files import check_complete
from nelf.data.config import SceneConfig
from nelf.data.faults import Faults
from nelf.data.lens import Lens, LensError, check_lens
from nelf.data.paths import find_image, pick_image_folder
from nelf.errors import SceneError

MODEL_FILES = ("cameras", "images", "points3D", "rigs", "frames")
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
    reconstruction = _read(model, name)
    folder, downscale = pick_image_folder(root, config.downscale, name)
    frames = []
    images = sorted((reconstruction.image(i) for i in reconstruction.reg_image_ids()), key=lambda image: image.name)
    for image in images:
        where = f"scene '{name}': {model.relative_to(root)}: image {image.name}"
        pose = image.cam_from_world
        matrix = np.asarray((pose() if callable(pose) else pose).matrix(), dtype=np.float64)
        rotation = matrix[:, :3].T
        c2w = np.concatenate([rotation, -rotation @ matrix[:, 3:]], axis=1) * FLIP
        with faults.of_a_frame():
            path = find_image(folder, image.name, where)
            relative = None if path is None else folder.relative_to(root) / path
            lens = _lens(reconstruction.camera(image.camera_id), where)
            frames.append(Frame(where, f"{folder.name}/{image.name}", relative, c2w, lens))
    points = np.array([point.xyz for point in reconstruction.points3D.values()], dtype=np.float64).reshape(-1, 3)
    files = [model.relative_to(root) / (stem + suffix) for stem in MODEL_FILES for suffix in SUFFIXES]
    files = [file for file in files if (root / file).is_file()]
    capture = Capture("COLMAP", frames, downscale, files, points=points if len(points) >= 100 else None)
    if reconstruction.num_images() > len(frames):
        capture.problems.append(
            Problem(f"COLMAP could not place {reconstruction.num_images() - len(frames)} photos", "they are not used")
        )
    return capture


def _read(model: Path, name: str) -> Any:
    try:
        import pycolmap
    except ImportError as error:
        raise SceneError(
            f"scene '{name}': COLMAP scenes need pycolmap; install it: pip install nelf[colmap]"
        ) from error
    try:
        check_complete(model)
        return pycolmap.Reconstruction(str(model))
    except (ValueError, RuntimeError, IndexError, KeyError, OSError, MemoryError) as error:
        line = str(error).strip().split("\n")[0]
        raise SceneError(
            f"scene '{name}': pycolmap cannot read {model} ({line}); a file may be cut short, write it again"
        ) from error


def _lens(camera: Any, where: str) -> Lens:
    model = camera.model.name
    if model not in MODELS:
        raise SceneError(
            f"{where} has camera model {model}; use one of {', '.join(MODELS)}, "
            "or undistort the photos with `colmap image_undistorter`"
        )
    (fx, fy, cx, cy), extra = MODELS[model]
    values = [float(value) for value in camera.params]
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
