"""Write scenes as nerfstudio's transforms.json and PNG images, which other tools read too."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from nelf.core.files import atomic_path, write_bytes
from nelf.scene.scene import SceneBounds

FILE = "transforms.json"
FORMAT_VERSION = 1
COMPRESSION = 1  # zlib level: renders get nearly as small as with the default, several times as fast
NOTE = "nelf"  # keyword of a PNG's text chunk


def image_name(index: int) -> str:
    """Path of the image of pose `index` in a scene that nelf writes."""
    return f"images/{index:06d}.png"


def depth_name(index: int) -> str:
    """Path of its depth map."""
    return f"depths/{index:06d}.png"


def write_image(path: Path, image: UInt8[np.ndarray, "height width channels"]) -> None:
    """Write RGB or RGBA (straight alpha) as lossless PNG, atomically."""
    if image.shape[2] not in (3, 4):
        raise ValueError(f"an image has 3 or 4 channels, not {image.shape[2]}")
    write_png(path, image)


def write_png(path: Path, pixels: np.ndarray, note: str | None = None) -> None:
    """Write pixels [height, width] or [height, width, channels] as PNG with an optional text `note`, atomically."""
    info = PngInfo()
    if note is not None:
        info.add_text(NOTE, note)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", compress_level=COMPRESSION, pnginfo=info)


def write_scene(
    folder: Path,
    *,
    files: Sequence[str],
    c2w: Float[Tensor, "n 3 4"],
    intrinsics: Float[Tensor, "4"] | Float[Tensor, "n 4"],
    height: int,
    width: int,
    bounds: SceneBounds,
    provenance: Mapping[str, Any],
    splits: Mapping[str, Sequence[str]] | None = None,
    depths: tuple[Sequence[str], float] | None = None,
) -> Path:
    """Write transforms.json, atomically and last: a scene is complete only with all its images.

    files: the images' names relative to `folder` (see image_name), already written. intrinsics: fx, fy, cx, cy of
    all views, or of each. splits: files of train, val and test; by default all are training views.
    provenance: how the images were made; kept under the key "nelf".
    depths: a depth map (see nelf.scene.images) per image, and world units per step.
    """
    if len(files) != len(c2w):
        raise ValueError(f"{len(files)} files and {len(c2w)} poses")
    shared = {"camera_model": "PINHOLE", "w": width, "h": height}
    if intrinsics.ndim == 1:
        shared.update(_lens(intrinsics))
    bottom = [0.0, 0.0, 0.0, 1.0]
    frames = []
    for i, (file, pose) in enumerate(zip(files, c2w.double().tolist(), strict=True)):
        own: dict[str, Any] = dict(_lens(intrinsics[i])) if intrinsics.ndim == 2 else {}
        if depths is not None:
            own["depth_file_path"] = depths[0][i]
        frames.append({"file_path": file, **own, "transform_matrix": [*pose, bottom]})
    chosen = {"train": list(files)} if splits is None else {split: list(names) for split, names in splits.items()}
    head = {
        **shared,
        **({} if depths is None else {"integer_depth_scale": depths[1]}),
        "scene_type": bounds.type.value,
        "near": bounds.near,
        "far": bounds.far,
        "center": bounds.center.double().tolist(),
        "radius": bounds.radius,
        "up": bounds.up.double().tolist(),
        "nelf": {"version": FORMAT_VERSION, **provenance},
        **{f"{split}_filenames": names for split, names in chosen.items()},
    }
    write_bytes(folder / FILE, _lines(head, frames).encode())
    return folder / FILE


def _lens(intrinsics: Float[Tensor, "4"]) -> dict[str, float]:
    return dict(zip(("fl_x", "fl_y", "cx", "cy"), intrinsics.double().tolist(), strict=True))


def _lines(head: Mapping[str, Any], frames: Sequence[Mapping[str, Any]]) -> str:
    """JSON with one line per key and per frame: readable, and not too large with many views."""
    keys = [f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in head.items()]
    rows = ",\n".join(f"    {json.dumps(frame, allow_nan=False)}" for frame in frames)
    return "{\n" + ",\n".join(keys) + ',\n  "frames": [\n' + rows + "\n  ]\n}\n"
