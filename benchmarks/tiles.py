"""Tiles against whole images: frames a second, what is lost, and the memory of a large still, in LiteRT.

    python benchmarks/tiles.py runs/lego --out runs/tiles_study --scale 1 --scale 4
    python benchmarks/tiles.py runs/lego --out runs/tiles_check --scale 4 --frames 4 --views 12    # some minutes

RUN has a trained student. For each scale the same network renders images that many times larger in each direction, with
the same view: as one file, and as a program in tiles (`nelf export --tiles`). Both take turns on a walk around the
scene. At scale 1 both are compared with the photos of the test views. The still of 3840x2160 pixels is rendered in a
process of its own, by the tiles of the largest scale.

`--out` gets results.json and the printed table. An interrupted benchmark goes on where it stopped.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nelf.bundle import Bundle, open_bundle
from nelf.bundle.bundle import compare
from nelf.bundle.contents import golden_entries
from nelf.bundle.tiles import BLOCK, TileModel, grid_of
from nelf.core.errors import ConfigError
from nelf.core.files import read_json, write_json
from nelf.evaluate import ground_truth, psnr
from nelf.evaluate.orbit_video import orbit_poses
from nelf.export import ExportConfig, export_bundle
from nelf.pipeline import Run
from nelf.pipeline.export_stage import bundle_context, tile_views
from nelf.pipeline.run import STUDENT
from nelf.runtime.worker import RESET_PEAK, STATUS
from nelf.student import Student, load_student, make_student

STILL = 2160, 3840  # height, width
TURN, WARM_UP = 10, 2  # frames in a row of one kind, and before them uncounted
EVALUATED = 25  # test views


def enlarged(model: Student, factor: int) -> Student:
    """The same network for images that are `factor` times as large in each direction."""
    frame = model.frame
    fx, fy, cx, cy = (factor * value for value in frame.intrinsics)
    size = {"height": factor * frame.height, "width": factor * frame.width, "intrinsics": (fx, fy, cx, cy)}
    larger = make_student(model.config, dataclasses.replace(frame, **size))
    larger.load_state_dict(model.state_dict())
    return larger.eval()


def export(run: Run, folder: Path, factor: int, options: argparse.Namespace) -> dict[str, Any]:
    """Both bundles, in `folder`."""
    model = enlarged(load_student(run.folder / STUDENT), factor)
    context = dataclasses.replace(bundle_context(run), tile_views=tile_views(run)[: options.views])
    if factor > 1:  # there are no photos of that size
        context = dataclasses.replace(context, golden_photos={}, calibration=None)
    made = {}
    for name, config in (("whole", ExportConfig()), ("tiles", ExportConfig(tiles=True, targets=["android"]))):
        if not (folder / name / "manifest.json").is_file():
            export_bundle(model, "android", options.precision, context, config, folder / name)
        made[name] = open_bundle(folder / name).manifest.model.bytes
    program = open_bundle(folder / "tiles").manifest.program
    assert program is not None
    return {"bytes": made, "blocks": program.blocks, "window": program.window}


def speed(run: Run, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Frames a second of both, in turns, on a closed path; and the share of blocks that is drawn."""
    scene = run.scene
    path = orbit_poses(scene.type, scene.train.c2w, scene.center, scene.up, options.frames)
    bundles = {name: open_bundle(folder / name) for name in ("whole", "tiles")}
    seconds: dict[str, list[float]] = {name: [] for name in bundles}
    drawn = []
    for start in range(0, len(path), TURN):
        turn = path[start : start + TURN]
        for name, bundle in bundles.items():
            for number, pose in enumerate([*turn[:WARM_UP], *turn]):
                began = time.perf_counter()
                bundle.model.run({"pose": pose.float().numpy()[None]})
                if number >= WARM_UP:
                    seconds[name].append(time.perf_counter() - began)
                    if isinstance(bundle.model, TileModel):
                        drawn.append(float(bundle.model.drawn.mean()))
    rates = {name: 1 / statistics.median(taken) for name, taken in seconds.items()}
    return {"fps": rates, "ratio": rates["tiles"] / rates["whole"], "drawn": statistics.fmean(drawn)}


def quality(run: Run, folder: Path, _: argparse.Namespace) -> dict[str, Any]:
    """PSNR against photos of both, and against the whole image: with every block decoded, and with blocks left out."""
    whole, tiles = open_bundle(folder / "whole"), open_bundle(folder / "tiles")
    assert isinstance(tiles.model, TileModel)
    everywhere, views = tiles.model.everywhere(), run.scene.test
    chosen = sorted({i * len(views) // EVALUATED for i in range(EVALUATED)}) if len(views) else []
    shown: dict[str, list[float]] = {"whole": [], "tiles": []}
    near: dict[str, list[float]] = {"every block": [], "blocks left out": [], "where it drew": []}
    for i in chosen:
        pose = views.c2w[i]
        image, tiled = whole.render(pose), tiles.render(pose)
        near["every block"].append(compare("", tiles.render(pose, everywhere), image).psnr)
        near["blocks left out"].append(compare("", tiled, image).psnr)
        drawn = drawn_pixels(tiles.model)
        near["where it drew"].append(-10 * float((tiled - image)[drawn].double().square().mean().log10()))
        for name, one in (("whole", image), ("tiles", tiled)):
            shown[name].append(psnr(on_white(one), ground_truth(views, i)))
    means = {name: statistics.fmean(values) for name, values in shown.items()}
    return {
        "psnr": means,
        "lost_db": means["whole"] - means["tiles"],
        "to_whole_min": {name: min(values) for name, values in near.items()},
    }


def drawn_pixels(model: TileModel) -> Tensor:
    """Which pixels the decoder drew; bool [height, width]."""
    picture = model.picture
    _, _, top, left = grid_of(model.program, picture.height, picture.width)
    pixels = torch.from_numpy(model.drawn.repeat(BLOCK, 0).repeat(BLOCK, 1))
    return pixels[top : top + picture.height, left : left + picture.width]


def on_white(image: Tensor) -> Tensor:
    rgb = image[..., :3] + (1 - image[..., 3:].clamp(0, 1)) if image.shape[-1] == 4 else image
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8)


def still(folder: Path, threads: int) -> dict[str, Any]:
    """Peak of memory while the still is rendered, above that after loading, in MB. In a process of its own."""
    bundle: Bundle = open_bundle(folder / "tiles")
    torch.set_num_threads(threads)
    pose: NDArray[np.float32] = np.asarray(golden_entries(folder / "tiles", bundle.manifest)[0].c2w, np.float32)
    model = bundle.model
    assert isinstance(model, TileModel)
    RESET_PEAK.write_text("5")
    loaded, began = memory("VmRSS"), time.perf_counter()
    try:
        picture = bundle.still(pose.tolist(), *STILL)
    except ConfigError as error:  # a small program whose first part sees too far
        return {"refused": str(error)}
    seconds = time.perf_counter() - began
    return {
        "mb": memory("VmHWM") - loaded,
        "seconds": seconds,
        "mean": float(picture.mean()),
    }


def memory(field: str) -> float:
    """A line of /proc/self/status in megabytes."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024 / 1e6


def in_child(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, str(options.run), "--still", str(folder), "--threads", str(options.threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with a trained student")
    parser.add_argument("--out", type=Path, default=Path("runs/tiles_study"))
    parser.add_argument("--scale", type=int, action="append", help="times the student's size; by default 1 and 4")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--frames", type=int, default=60, help="of the walk")
    parser.add_argument("--views", type=int, default=96, help="poses that choose the tiles")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "fp16"))
    parser.add_argument("--still", type=Path, help=argparse.SUPPRESS)  # of the child process
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.still:
        print("\n" + json.dumps(still(options.still, options.threads)))
        return
    file = options.out / "results.json"
    results: dict[str, Any] = read_json(file) if file.is_file() else {}
    run = Run.open(options.run, [])
    scales = sorted(set(options.scale or (1, 4)))

    def measure(key: str, action: Callable[[], dict[str, Any]]) -> None:
        if key not in results:
            results[key] = action()
            write_json(file, results)
        print(f"{key}: {json.dumps(results[key])}", flush=True)

    for scale in scales:
        folder = options.out / f"x{scale}"
        folder.mkdir(parents=True, exist_ok=True)
        measure(f"export x{scale}", lambda: export(run, folder, scale, options))  # noqa: B023
        measure(f"speed x{scale}", lambda: speed(run, folder, options))  # noqa: B023
        if scale == 1:
            measure("quality x1", lambda: quality(run, folder, options))  # noqa: B023
    measure(f"still by x{scales[-1]}", lambda: in_child(options.out / f"x{scales[-1]}", options))


if __name__ == "__main__":
    main()
