"""The pseudo dataset on disk: what to render, its fingerprint, and external renders."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

import nelf
from nelf.core.errors import SceneError
from nelf.core.files import TEMPORARY_SUFFIX, read_json, remove
from nelf.distill.config import DistillConfig
from nelf.distill.poses import generator, pose_sampler
from nelf.distill.views import read_note, summarise
from nelf.scene import Scene, SceneConfig, Views, depth_name, depth_scale, image_name, load_scene, write_scene

GLANCED = 200  # views of `seen_range`
STRIDE = 4  # of these views' pixels, along each axis
UNSURE = 1e-3  # share of the pixels that may lie nearer, and of those that may lie farther
SLACK = 0.1  # of the range in disparity, on both sides: new views see a little more


def seen_range(views: Views, near: float, far: float) -> tuple[float, float]:
    """The part of near to far in which the depths of pseudo views lie, with a margin; all of it if they have none.

    The range of an unbounded scene is a safe guess from the cameras. Of its disparities the scene may fill a tenth.
    """
    if views.read_depth is None:
        return near, far
    count = min(GLANCED, len(views))
    maps = [views.read_depth(i * len(views) // count)[::STRIDE, ::STRIDE] for i in range(count)]
    depths = np.concatenate([depth[depth > 0] for depth in maps])
    if len(depths) == 0:
        return near, far
    least, most = np.quantile(1 / depths, [UNSURE, 1 - UNSURE]).tolist()
    slack = SLACK * (most - least)
    lowest, highest = max(1 / far, least - slack), min(1 / near, most + slack)
    return (1 / highest, 1 / lowest) if lowest < highest else (near, far)


def external_scene(config: DistillConfig, scene: Scene) -> Scene:
    """The posed renders in `config.folder`, with the bounds of `scene`.

    If they have splits, only their training views are used: their test views may be those of `scene`.
    Raises SceneError when their size or channels differ from the scene's.
    """
    assert config.folder is not None  # DistillConfig sees to it
    found = load_scene(
        SceneConfig(
            path=config.folder,
            type=scene.type.value,
            near=scene.near,
            far=scene.far,
            up=scene.up.tolist(),
            holdout=0,
            val_holdout=0,
        )
    )
    if found.size != scene.size:
        (height, width), (own_height, own_width) = found.size, scene.size
        raise SceneError(
            f"distill.folder={config.folder}: renders are {width}x{height}, scene '{scene.name}' is "
            f"{own_width}x{own_height}; render at that size, or set scene.downscale to match"
        )
    if found.channels != scene.channels:
        have, want = ("RGBA" if s.channels == 4 else "RGB" for s in (found, scene))
        raise SceneError(
            f"distill.folder={config.folder}: renders are {have}, scene '{scene.name}' is {want}; "
            f"render {'with' if want == 'RGBA' else 'without'} alpha"
        )
    train = found.train
    return dataclasses.replace(found, splits={"train": train}, center=scene.center, radius=scene.radius)


FORMAT = "nelf-pseudo-4"
NOTABLE = 0.01  # of the image's longer side: training intrinsics closer than this count as one camera
INTRINSICS_STREAM = 1 << 32  # separates the random numbers of intrinsics from those of poses


@dataclass(frozen=True)
class RenderPlan:
    """The pseudo views of one scene, teacher and configuration.

    pose: index and candidate -> c2w [3, 4].
    cameras: [k, 4] intrinsics in pixels of the pseudo images; each view has one of them.
    fingerprint: SHA-256 of everything that decides the pixels, without the number of views.
    """

    scene: Scene
    config: DistillConfig
    provenance: dict[str, Any]
    folder: Path
    height: int
    width: int
    cameras: Float[Tensor, "k 4"]
    pose: Callable[[int, int], Tensor]
    fingerprint: str

    def intrinsics(self, index: int) -> Float[Tensor, "4"]:
        """fx, fy, cx, cy of a view, in pixels: those of a training camera, drawn from seed and index."""
        chosen = generator(self.config.seed, INTRINSICS_STREAM + index).integers(len(self.cameras))
        return self.cameras[int(chosen)]

    def path(self, index: int) -> Path:
        """The file of a view's image."""
        return self.folder / image_name(index)

    def depth_path(self, index: int) -> Path | None:
        """None if depth maps are not wanted."""
        return self.folder / depth_name(index) if self.config.depth else None

    @property
    def depth_scale(self) -> float:
        """World units per step of the depth maps."""
        return depth_scale(self.scene.far)

    @property
    def raw_bytes(self) -> int:
        """Upper bound of one view's bytes: its size without compression."""
        image = self.height * (self.width * self.scene.channels + 1) + 4096
        return image + (self.height * (2 * self.width + 1) + 4096 if self.config.depth else 0)


def make_plan(scene: Scene, config: DistillConfig, provenance: dict[str, Any], folder: Path) -> RenderPlan:
    """Plan the pseudo views. provenance: JSON values that identify the teacher. Times prevent resuming."""
    train = scene.train
    height, width = scene.size
    cameras = train.intrinsics.double()
    if float((cameras.amax(dim=0) - cameras.amin(dim=0)).max()) < NOTABLE * max(height, width):
        cameras = cameras.mean(dim=0, keepdim=True)
    cameras = cameras.float()
    decisive = {
        "format": FORMAT,
        "provenance": provenance,
        "settings": config.pose_settings(),
        "scene_type": scene.type.value,
        "size": [height, width, scene.channels],
        "depth": config.depth,
        "train": train.c2w.tolist(),
        "cameras": cameras.tolist(),
        "center": scene.center.tolist(),
        "radius": scene.radius,
        "up": scene.up.tolist(),
    }
    return RenderPlan(
        scene=scene,
        config=config,
        provenance=provenance,
        folder=folder,
        height=height,
        width=width,
        cameras=cameras,
        pose=pose_sampler(scene, train.c2w, config),
        fingerprint=hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest(),
    )


TRANSFORMS = "transforms.json"


@dataclass(frozen=True)
class PseudoDataset:
    """The pseudo dataset in `folder`.

    views: existing pseudo views, of `wanted`. complete: whether transforms.json lists exactly these.
    quality, warnings: see `nelf.distill.views`.
    """

    folder: Path
    views: int
    wanted: int
    complete: bool
    quality: dict[str, Any]
    warnings: tuple[str, ...]


def find_written(plan: RenderPlan) -> PseudoDataset | None:
    """The finished pseudo dataset of this plan, if its transforms.json holds all wanted views.

    Removes a transforms.json of another plan: the folder is no scene until all its images are new.
    """
    wanted, quality, warnings = plan.config.views, dict[str, Any](), tuple[str, ...]()
    try:
        content = read_json(plan.folder / TRANSFORMS)
        about = content["nelf"]
        same = about["fingerprint"] == plan.fingerprint
        listed = [frame["file_path"] for frame in content["frames"]]
        whole = same and about["wanted"] == wanted and listed == [image_name(i) for i in range(wanted)]
        quality, warnings = dict(about["quality"]), tuple(str(warning) for warning in about["warnings"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        same = whole = False
    if not same:
        remove(plan.folder / TRANSFORMS)
    if not whole or any(read_note(plan.path(i), plan.fingerprint) is None for i in range(wanted)):
        return None
    return PseudoDataset(plan.folder, wanted, wanted, True, quality, warnings)


def finish(plan: RenderPlan, partly: bool) -> PseudoDataset:
    """Write transforms.json once all wanted views exist; with `partly`, write it for those that exist.

    Every process may call this after its share: the last one finds all images, and two at once write the same.
    """
    scene, wanted = plan.scene, plan.config.views
    notes = {i: note for i in range(wanted) if (note := read_note(plan.path(i), plan.fingerprint)) is not None}
    if not notes or (len(notes) < wanted and not partly):
        return PseudoDataset(plan.folder, len(notes), wanted, False, {}, ())
    c2w = torch.tensor([note["pose"] for note in notes.values()]).reshape(-1, 3, 4)
    focal, alpha = float(plan.cameras[:, 0].mean()), scene.channels == 4
    figures = [note["figures"] for note in notes.values()]
    quality, warnings = summarise(figures, c2w, scene.train.c2w, scene.center, focal, alpha, plan.config.min_confirmed)
    if len(notes) == wanted:
        _remove_strangers(plan)
    write_scene(
        plan.folder,
        files=[image_name(i) for i in notes],
        depths=([depth_name(i) for i in notes], plan.depth_scale) if plan.config.depth else None,
        c2w=c2w,
        intrinsics=plan.cameras[0] if len(plan.cameras) == 1 else torch.stack([plan.intrinsics(i) for i in notes]),
        height=plan.height,
        width=plan.width,
        bounds=scene,
        provenance={
            "made_by": f"nelf {nelf.__version__} distill",
            "fingerprint": plan.fingerprint,
            "teacher": plan.provenance,
            "settings": plan.config.pose_settings(),
            "wanted": wanted,
            "minutes": plan.config.max_minutes,
            "quality": quality,
            "warnings": warnings,
        },
    )
    return PseudoDataset(plan.folder, len(notes), wanted, True, quality, tuple(warnings))


def _remove_strangers(plan: RenderPlan) -> None:
    """Remove images of other plans, and what a killed process left half written."""
    for path in (plan.folder / "images").iterdir():
        if TEMPORARY_SUFFIX in path.name or read_note(path, plan.fingerprint) is None:
            remove(path)
    for path in (plan.folder / "depths").glob("*"):
        if not (plan.config.depth and (plan.folder / "images" / path.name).is_file()):
            remove(path)
