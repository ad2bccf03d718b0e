"""Measure `nelf data import photos`: compare the poses it finds with known poses.

python benchmarks/captures.py SCENE [--views 50] [--out runs/captures/NAME] [photos.features=4096 ...]

SCENE is a folder with transforms.json, or with transforms_train.json as in NeRF-synthetic. Only its photos are copied
to OUT/photos and imported into OUT/scene. Then the similarity that fits the camera centres best (Umeyama,
"Least-squares estimation of transformation parameters between two point patterns", 1991) aligns both sets of poses.
OUT/captures.json and stdout get: views placed, wall time and CPU time in seconds, and the median and largest errors of
rotation (degrees) and position (per cent of the scene's radius, the largest distance of a given camera from their
mean).
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nelf.capture import PhotoFolder, PhotosConfig, import_scene
from nelf.core.errors import NelfError
from nelf.core.progress import stoppable
from nelf.scene import SceneConfig, load_scene


def similarity(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"]
) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """scale, rotation, translation with target ≈ scale * rotation @ source + translation, by least squares."""
    means = source.mean(0), target.mean(0)
    centred = source - means[0], target - means[1]
    u, values, vt = np.linalg.svd(centred[1].T @ centred[0] / len(source))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * signs) @ vt
    scale = float((values * signs).sum() / (centred[0] ** 2).sum(1).mean())
    return scale, rotation, means[1] - scale * rotation @ means[0]


def compare(found: Float[np.ndarray, "n 3 4"], given: Float[np.ndarray, "n 3 4"]) -> dict[str, float]:
    """Errors of the found poses after alignment; see the head of this file."""
    scale, rotation, translation = similarity(found[:, :, 3], given[:, :, 3])
    apart = np.linalg.norm(scale * found[:, :, 3] @ rotation.T + translation - given[:, :, 3], axis=1)
    centres = given[:, :, 3]
    radius = np.linalg.norm(centres - centres.mean(0), axis=1).max()
    between = (rotation @ found[:, :, :3]).transpose(0, 2, 1) @ given[:, :, :3]
    # from the difference to the identity: at small angles, the arc cosine of the trace loses half the digits
    chord = np.linalg.norm(between - np.eye(3), axis=(1, 2)) / np.sqrt(8)
    turned = np.degrees(2 * np.arcsin(np.clip(chord, 0, 1)))
    return {
        "rotation_median_degrees": float(np.median(turned)),
        "rotation_largest_degrees": float(turned.max()),
        "position_median_percent": float(100 * np.median(apart) / radius),
        "position_largest_percent": float(100 * apart.max() / radius),
    }


def given_poses(scene: Path, most: int | None) -> dict[str, tuple[Path, np.ndarray]]:
    """name -> image file, c2w [3, 4] float64; `most` of them, evenly spread."""
    file = next(scene / name for name in ("transforms.json", "transforms_train.json") if (scene / name).is_file())
    found = {}
    for frame in json.loads(file.read_text())["frames"]:
        path = scene / frame["file_path"]
        path = path if path.suffix else path.with_suffix(".png")
        if path.is_file():
            found[path.stem] = (path, np.array(frame["transform_matrix"], dtype=np.float64)[:3])
    names = sorted(found)
    if most and most < len(names):
        names = [names[round(i * (len(names) - 1) / (most - 1))] for i in range(most)]
    return {name: found[name] for name in names}


def measure(scene: Path, out: Path, most: int | None, options: dict[str, Any]) -> dict[str, Any]:
    """Import the photos of `scene` from scratch and compare; see the top of this file."""
    given = given_poses(scene, most)
    shutil.rmtree(out, ignore_errors=True)
    (out / "photos").mkdir(parents=True)
    for path, _ in given.values():
        shutil.copy(path, out / "photos")
    began, computed = time.perf_counter(), time.process_time()
    with stoppable() as stop:
        source = PhotoFolder(out / "photos", scene.name)
        imported = import_scene(source, out / "scene", PhotosConfig(**options), stop, print)
    seconds, computed = time.perf_counter() - began, time.process_time() - computed
    loaded = load_scene(SceneConfig(str(out / "scene"), holdout=0, val_holdout=0))
    names = [name for name in loaded.train.names if name in given]
    found = loaded.train.c2w.double().numpy()[[loaded.train.names.index(name) for name in names]]
    result = {
        "photos": len(given),
        "placed": len(names),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(computed, 1),
        "type": loaded.type.value,
        "options": options,
        **compare(found, np.stack([given[name][1] for name in names])),
        "summary": imported.summary,
        "problems": imported.problems,
    }
    (out / "captures.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--views", type=int, help="use this many of the photos, evenly spread")
    parser.add_argument("--out", type=Path)
    parser.add_argument("options", nargs="*", metavar="photos.KEY=VALUE")
    args = parser.parse_intermixed_args()
    pairs = (option.removeprefix("photos.").split("=", 1) for option in args.options)
    options = {key: int(value) if value.isdigit() else value for key, value in pairs}
    try:
        result = measure(args.scene, args.out or Path("runs/captures") / args.scene.resolve().name, args.views, options)
    except NelfError as error:
        sys.exit(f"captures: {error}")
    for key, value in result.items():
        print(f"{key:26s} {value:.4f}" if isinstance(value, float) else f"{key:26s} {value}")


if __name__ == "__main__":
    main()
