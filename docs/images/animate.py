"""Make a small animation of a run along the path of its cameras: the teacher above, the student below.

    python docs/images/animate.py runs/fern docs/images/fern.webp
    python docs/images/animate.py runs/fern docs/images/fern.webp --stills runs/fern/stills.png

--stills also writes twelve of the frames, evenly spread, each with its difference from the frame before (eight times
as strong, around grey): what floats or swims shows there.
"""

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nelf.core.images import premultiplied_over, to_uint8
from nelf.evaluate.orbit_video import orbit_poses
from nelf.pipeline import Run
from nelf.pipeline.run import STUDENT
from nelf.student import Student, load_student
from nelf.teacher import render_image
from nelf.teacher.field import Teacher
from nelf.teacher.stage import load_teacher

FPS = 12
STILLS = 12
STRENGTH = 8


def from_teacher(teacher: Teacher, size: tuple[int, int], alpha: bool, c2w: Tensor, lens: Tensor) -> Tensor:
    seen = render_image(teacher, c2w, lens, *size)
    return premultiplied_over(torch.cat([seen.rgb, seen.alpha[..., None]], dim=-1)) if alpha else seen.rgb


@torch.no_grad()
def from_student(student: Student, c2w: Tensor, lens: Tensor) -> Tensor:
    return premultiplied_over(student(c2w[None], lens[None])[0].permute(1, 2, 0))


def picture(renderers: list[Callable[[Tensor, Tensor], Tensor]], width: int, c2w: Tensor, lens: Tensor) -> Image.Image:
    image = Image.fromarray(torch.cat([to_uint8(render(c2w, lens)) for render in renderers]).numpy())
    return image.resize((width, round(image.height * width / image.width)), Image.LANCZOS)


def stills(frames: list[Image.Image]) -> Image.Image:
    rows: list[NDArray[np.uint8]] = []
    for i in range(0, len(frames), max(1, len(frames) // STILLS))[:STILLS]:
        now, before = (np.asarray(frames[k], np.float32) for k in (i, i - 1))
        change = np.clip(128 + STRENGTH * (now - before), 0, 255)
        rows.append(np.concatenate([now, change], axis=0).astype(np.uint8))
    return Image.fromarray(np.concatenate([np.concatenate(rows[k : k + 4], axis=1) for k in range(0, len(rows), 4)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=int, default=36)
    parser.add_argument("--width", type=int, default=320, help="pixels")
    parser.add_argument("--stills", type=Path)
    options = parser.parse_args()
    run = Run.open(options.run, [])
    scene = run.scene
    assert run.teacher is not None
    renderers: list[Callable[[Tensor, Tensor], Tensor]] = [
        functools.partial(from_teacher, load_teacher(run.teacher), scene.size, scene.channels == 4),
        functools.partial(from_student, load_student(run.folder / STUDENT)),
    ]
    poses = orbit_poses(scene.type, scene.train.c2w, scene.center, scene.up, options.frames)
    lens = scene.train.intrinsics.mean(0)
    frames = [picture(renderers, options.width, pose, lens) for pose in poses]
    frames[0].save(
        options.out, save_all=True, append_images=frames[1:], duration=1000 // FPS, loop=0, quality=60, method=4
    )
    if options.stills:
        stills(frames).save(options.stills)


if __name__ == "__main__":
    main()
