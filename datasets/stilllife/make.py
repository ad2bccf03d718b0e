"""Render the embedded scene "stilllife": a vase with a twig, a chrome ball, a pear, a book and a brush.

Needs:  pip install mitsuba==3.9.1 numpy pillow
Run:    python datasets/stilllife/make.py      (writes beside this file; a view that exists is kept)
        python datasets/stilllife/make.py --out FOLDER --orbit 60 --floor --size 800 --spp 32     (a capture)

Every shape, texture and light is computed (scene.py, meshes.py, textures.py); nothing is loaded from a file.
World units, z up, content inside [-1.3, 1.3]^3 (the floor: 3 to each side). Cameras: OpenGL axes (x right, y up,
looking along -z), `transform_matrix` is camera to world. Images: straight alpha, sRGB, 8 bit. The same arguments give
the same files, whatever the number of threads. Dedicated to the public domain, CC0 1.0 (see LICENSE).
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path

import drjit as dr
import mitsuba as mi
import numpy as np
from PIL import Image
from scene import build_scene

SEED = 20230  # camera jitter and Monte Carlo samples
CAMERA_ANGLE_X = 0.69  # horizontal field of view, radians
RADIUS = 4.0  # distance of every camera from the origin


def look_at_origin(azimuth, elevation):
    """Camera to world [4, 4], OpenGL axes, at distance RADIUS from the origin; angles in radians, z up."""
    heading = np.array([np.cos(azimuth), np.sin(azimuth), 0])
    back = np.cos(elevation) * heading + np.array([0, 0, np.sin(elevation)])
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0])
    c2w = np.eye(4)
    c2w[:3] = np.stack([right, np.cross(back, right), back, RADIUS * back], 1)
    return c2w


def scattered(count, rng):
    """Jittered Fibonacci spiral on the upper hemisphere, elevations 5 to 80 degrees: list of [4, 4]."""
    low, high = np.sin(np.radians([5, 80]))
    height = low + (high - low) * (np.arange(count) + rng.uniform(0.1, 0.9, count)) / count
    azimuth = np.pi * (3 - 5**0.5) * np.arange(count) + rng.normal(0, 0.05, count) + rng.uniform(0, 2 * np.pi)
    return [look_at_origin(a, e) for a, e in zip(azimuth, np.arcsin(height), strict=True)]


def orbit(count):
    """One smooth turn around the table while the camera moves between 12 and 58 degrees of elevation.

    The phase 3.3 keeps each of the 20 test views at least 3 degrees away from every training view.
    """
    turn = 2 * np.pi * (np.arange(count) + 0.5) / count
    return [look_at_origin(a, np.radians(35 + 23 * np.sin(2 * a + 3.3))) for a in turn]


def splits():
    """Camera poses of each split: {"train": 100, "val": 10, "test": 20}."""
    rng = np.random.default_rng(SEED)
    return {"train": scattered(100, rng), "val": scattered(10, rng), "test": orbit(20)}


def encode_srgb(rgb):
    """Linear RGB in [0, 1] to sRGB in [0, 1], elementwise."""
    return np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * np.maximum(rgb, 1e-9) ** (1 / 2.4) - 0.055)


def camera(c2w, size, spp):
    """Mitsuba camera for an OpenGL pose: its x points left and it looks along +z, hence two flips."""
    film = {"type": "hdrfilm", "width": size, "height": size, "pixel_format": "rgba"}
    film["rfilter"] = {"type": "box"}  # a pixel is the mean over its own square
    pose = mi.ScalarTransform4f(c2w @ np.diag([-1.0, 1, -1, 1]))
    fov = float(np.degrees(CAMERA_ANGLE_X))
    view = {"type": "perspective", "to_world": pose, "fov": fov, "fov_axis": "x", "film": film}
    view["sampler"] = {"type": "multijitter", "sample_count": spp}  # 0.6 of the noise of "independent"
    return mi.load_dict(view)


def to_straight_srgb(premultiplied):
    """Linear premultiplied RGBA [H, W, 4] to straight sRGB RGBA in 8 bit; colour is 0 where alpha is 0."""
    alpha = np.clip(premultiplied[..., 3:], 0, 1)
    colour = premultiplied[..., :3] / np.maximum(alpha, 1e-6)
    rgba = np.concatenate([encode_srgb(np.clip(colour, 0, 1)), alpha], 2)
    rgba = np.round(255 * rgba).astype(np.uint8)
    rgba[rgba[..., 3] == 0] = 0
    return rgba


def render_view(scene, c2w, size, spp, seed):
    """One view as straight sRGB RGBA, uint8 [size, size, 4]."""
    return to_straight_srgb(np.array(mi.render(scene, sensor=camera(c2w, size, spp), spp=spp, seed=seed)))


def write_whole(path, write):
    """Call write(temporary path) and rename the result to `path`: a file that exists is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    write(temporary)
    temporary.replace(path)


def write_transforms(path, split, poses):
    """Cameras of one split in the format of NeRF-synthetic."""
    frames = [{"file_path": f"./{split}/r_{i}", "transform_matrix": c2w.tolist()} for i, c2w in enumerate(poses)]
    text = json.dumps({"camera_angle_x": CAMERA_ANGLE_X, "frames": frames}, indent=1) + "\n"
    write_whole(path, lambda temporary: temporary.write_text(text))


def main():
    """Write the three transforms files and every view that is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).parent
    parser.add_argument("--out", type=Path, default=here, help="folder to write (default: beside make.py)")
    parser.add_argument("--spp", type=int, default=400, help="samples per pixel (default: 400)")
    parser.add_argument("--size", type=int, default=128, help="width and height in pixels (default: 128)")
    variants = ("scalar_rgb", "llvm_ad_rgb")
    fast = "Mitsuba variant; llvm_ad_rgb is faster and needs LLVM's shared library (default: scalar_rgb)"
    parser.add_argument("--variant", choices=variants, default=variants[0], help=fast)
    parser.add_argument("--orbit", type=int, help="instead of the splits, one turn of so many views, as a capture is")
    parser.add_argument("--floor", action="store_true", help="put the board on terrazzo: a capture has surroundings")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    args = parser.parse_args()
    if (args.orbit or args.floor) and args.out == here:
        parser.error("--orbit and --floor make another scene than the embedded one: give it a folder with --out")

    mi.set_variant(args.variant)
    dr.set_thread_count(args.threads)
    scene, start, rendered, seed = build_scene(args.floor), time.time(), 0, SEED
    for split, poses in ({"train": orbit(args.orbit)} if args.orbit else splits()).items():
        write_transforms(args.out / f"transforms_{split}.json", split, poses)
        for i, c2w in enumerate(poses):
            seed += 1
            path = args.out / split / f"r_{i}.png"
            if path.exists():
                continue
            image = Image.fromarray(render_view(scene, c2w, args.size, args.spp, seed))
            write_whole(path, partial(image.save, format="PNG", optimize=True))
            rendered += 1
    print(f"{rendered} views rendered in {time.time() - start:.0f} s to {args.out}")


if __name__ == "__main__":
    main()
