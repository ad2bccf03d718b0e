"""LLFF: poses_bounds.npy beside images or images_N (Mildenhall et al., "Local Light Field Fusion", 2019)."""

import tokenize
from pathlib import Path

import numpy as np

from nelf.core.errors import SceneError, one_line
from nelf.scene.config import LARGEST, SMALLEST, SceneConfig
from nelf.scene.images import list_images, pick_image_folder
from nelf.scene.lens import Lens, LensError, check_lens
from nelf.scene.parsed import FrameErrors, ParsedFrame, ParsedScene

FILE = "poses_bounds.npy"
# What NumPy's reader raises on damaged files; it takes the header apart with Python's own tokenizer.
NUMPY_ERRORS = (
    OSError, ValueError, EOFError, OverflowError, TypeError, MemoryError, KeyError, SyntaxError, RecursionError,
    tokenize.TokenError,
)  # fmt: skip


def detect_llff(root: Path) -> bool:
    return (root / FILE).is_file()


def load_llff(root: Path, config: SceneConfig, name: str, faults: FrameErrors) -> ParsedScene:
    """Row: 3x5 matrix (axes down, right, backwards, then centre, then height, width, focal), nearest and farthest."""
    rows = _read_rows(root / FILE, name)
    folder, downscale = pick_image_folder(root, config.downscale, name)
    images = list_images(folder)
    if len(images) != len(rows):
        raise SceneError(
            f"scene '{name}': {FILE} has {len(rows)} poses and {folder.name} has {len(images)} images; "
            "there must be one image a pose, in the order of their names"
        )
    frames, kept = [], []
    for number, (row, image) in enumerate(zip(rows, images, strict=True)):
        matrix = row[:15].reshape(3, 5)
        down, right, backwards, center, (height, width, focal) = matrix.T
        where = f"scene '{name}': {FILE}: row {number} ({image.name})"
        c2w = np.stack([right, -down, backwards, center], axis=1)
        with faults.of_a_frame(image.name):
            try:
                lens = check_lens(Lens(focal_x=float(focal), width=float(width), height=float(height)))
            except LensError as error:
                raise SceneError(f"{where} {error}") from error
            frames.append(ParsedFrame(where, image.name, image.relative_to(root), c2w, lens))
            kept.append(number)
    bounds = rows[:, 15:]
    near, far = bounds.T
    if not ((near >= SMALLEST) & (near < far) & (far <= LARGEST)).all():
        raise SceneError(
            f"scene '{name}': {FILE} has depth bounds that are not 0 < nearest < farthest (within {SMALLEST:g} to "
            f"{LARGEST:g}); run LLFF's imgs2poses again"
        )
    return ParsedScene("LLFF", frames, downscale, files=[Path(FILE)], depth_bounds=bounds[kept])


def _read_rows(path: Path, name: str) -> np.ndarray:
    try:
        # Mapped, not loaded: a head that claims more than the file holds is refused before memory is asked for.
        rows = np.load(path, allow_pickle=False, mmap_mode="r")
    except NUMPY_ERRORS as error:
        line = one_line(error)
        raise SceneError(f"scene '{name}': {FILE} cannot be read ({line}); it may be cut short") from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 17 or rows.dtype.kind != "f":
        shape = getattr(rows, "shape", type(rows).__name__)
        raise SceneError(f"scene '{name}': {FILE} holds {shape}; it must hold floats of shape [views, 17]")
    return rows.astype(np.float64)
