"""The pseudo scene on disk: what makes the rendered images an ordinary NeRF dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import nelf
from nelf.data import depth_name, image_name, write_scene
from nelf.distill.plan import Plan
from nelf.distill.quality import summarise
from nelf.distill.views import read_note
from nelf.storage import TEMPORARY_SUFFIX, read_json, remove

TRANSFORMS = "transforms.json"


@dataclass(frozen=True)
class Distilled:
    """What `distill` left in `folder`.

    views: pseudo views that are there, of `wanted`. complete: whether transforms.json is written and is about them.
    quality, warnings: see `nelf.distill.quality`.
    """

    folder: Path
    views: int
    wanted: int
    complete: bool
    quality: dict[str, Any]
    warnings: tuple[str, ...]


def find_written(plan: Plan) -> Distilled | None:
    """The finished pseudo scene of this plan, if its transforms.json holds all views that are wanted.

    A transforms.json of another plan is removed: from here on the folder is no scene until all its images are new.
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
    return Distilled(plan.folder, wanted, wanted, True, quality, warnings)


def finish(plan: Plan, partly: bool) -> Distilled:
    """Write transforms.json when all wanted views are there, or `partly` over those that are.

    Any process may call this when its share is done: the last one finds all images, and two at once write the same.
    """
    scene, wanted = plan.scene, plan.config.views
    notes = {i: note for i in range(wanted) if (note := read_note(plan.path(i), plan.fingerprint)) is not None}
    if not notes or (len(notes) < wanted and not partly):
        return Distilled(plan.folder, len(notes), wanted, False, {}, ())
    c2w = torch.stack([plan.pose(i) for i in notes])
    focal, alpha = float(plan.cameras[:, 0].mean()), scene.channels == 4
    figures = [note["figures"] for note in notes.values()]
    quality, warnings = summarise(figures, c2w, scene.train.c2w, scene.center, focal, alpha)
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
        kind=scene.kind,
        near=scene.near,
        far=scene.far,
        center=scene.center,
        radius=scene.radius,
        up=scene.up,
        provenance={
            "made_by": f"nelf {nelf.__version__} distill",
            "fingerprint": plan.fingerprint,
            "teacher": plan.provenance,
            "settings": plan.config.pose_settings(),
            "wanted": wanted,
            "minutes": plan.config.minutes,
            "quality": quality,
            "warnings": warnings,
        },
    )
    return Distilled(plan.folder, len(notes), wanted, True, quality, tuple(warnings))


def _remove_strangers(plan: Plan) -> None:
    """Remove images of other plans, and what a killed process left half written."""
    for path in (plan.folder / "images").iterdir():
        if TEMPORARY_SUFFIX in path.name or read_note(path, plan.fingerprint) is None:
            remove(path)
    for path in (plan.folder / "depths").glob("*"):
        if not (plan.config.depth and (plan.folder / "images" / path.name).is_file()):
            remove(path)
