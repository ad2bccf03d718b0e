"""The stage: from a Scene to a trained teacher in a folder."""

import math
from pathlib import Path

from lightning_fabric import Fabric

from nelf.cameras import mean_pose
from nelf.checkpoint import CheckpointFolder
from nelf.data import Kind, Scene, border_color
from nelf.progress import Stop, waiting
from nelf.storage import write_json
from nelf.teacher.config import TeacherConfig
from nelf.teacher.files import build_field, save_teacher
from nelf.teacher.protocol import RayField
from nelf.teacher.space import Space
from nelf.teacher.training import Trainer, fit

FILE = "teacher.safetensors"
TRAINING_FILE = "training.json"


def teach(scene: Scene, config: TeacherConfig, folder: Path, fabric: Fabric, stop: Stop) -> RayField:
    """Train a teacher on the scene's training views; write `folder`/teacher.safetensors.

    training.json beside it says how it went: steps, seconds, PSNR on the last training rays.
    Goes on from the checkpoint in `folder` when there is one. fabric: launched, where it has more than one process; the
    first one writes.
    """
    with waiting(f"teach: reading {len(scene.train)} photos", shown=fabric.is_global_zero):
        trainer = new_trainer(scene, config, fabric)
    checkpoints = CheckpointFolder(folder / "checkpoints")
    fit(trainer, checkpoints, stop)
    if fabric.is_global_zero:
        save_teacher(folder / FILE, trainer.field, config)
        psnr = round(trainer.psnr, 3) if math.isfinite(trainer.psnr) else None
        write_json(folder / TRAINING_FILE, {"steps": trainer.step, "seconds": round(trainer.seconds, 3), "psnr": psnr})
        checkpoints.clear()
    return trainer.field.eval()


def new_trainer(scene: Scene, config: TeacherConfig, fabric: Fabric) -> Trainer:
    """The training of a teacher of the scene, before its first step."""
    opaque = scene.channels == 3
    # Around an object there is nothing else: over any other colour than its own the field would fill the box with fog.
    background = border_color(scene.train) if opaque and scene.kind is Kind.OBJECT else None
    space = space_of(scene)
    with fabric.device:  # a table of millions of numbers is made where it is needed
        field = build_field(config, space, opaque=opaque, background=background)
    return Trainer(field, scene.train, config, fabric)


def space_of(scene: Scene) -> Space:
    """Where the field of a scene's teacher lives; one choice a kind."""
    if scene.kind is Kind.OBJECT:
        return Space.box(scene.center, scene.radius, scene.near, scene.far)
    if scene.kind is Kind.UNBOUNDED:
        return Space.contraction(scene.center, scene.radius, scene.near, scene.far)
    cameras = scene.train
    tangent = max(scene.size) / 2 / float(cameras.intrinsics[:, :2].min())
    return Space.frustum(mean_pose(cameras.c2w), tangent, cameras.c2w, scene.near, scene.far)
