"""The teacher's stage: train, save, load by name."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor

from nelf.core.cameras import mean_pose
from nelf.core.checkpoints import CheckpointFolder, load_weights, save_weights
from nelf.core.errors import CheckpointError, ConfigError, one_line
from nelf.core.files import write_json
from nelf.core.progress import Stop, waiting
from nelf.kernels.unit_cube import UnitCubeMapping
from nelf.scene import Scene, SceneType, border_color
from nelf.teacher.config import TEACHER_CONFIGS, TeacherConfig
from nelf.teacher.field import RadianceField
from nelf.teacher.instant_ngp import HashGridNeRF
from nelf.teacher.nerf import NeRF
from nelf.teacher.training import Trainer, fit

OCCUPIED = "occupancy.allowed"
FORMAT = "nelf-teacher-1"
REMEDY = "train it again with: nelf teach RUN"

TEACHERS: dict[str, tuple[type[TeacherConfig], Callable[..., RadianceField]]] = {
    "instant_ngp": (TEACHER_CONFIGS["instant_ngp"], HashGridNeRF),
    "nerf": (TEACHER_CONFIGS["nerf"], NeRF),
}
"""name -> (its configuration, its field)."""


def build_field(
    config: TeacherConfig, space: UnitCubeMapping, *, opaque: bool, background: Float[Tensor, "3"] | None = None
) -> RadianceField:
    """An untrained teacher. Raises ConfigError for an unknown name."""
    if config.name not in TEACHERS:
        raise ConfigError(f"teacher.name={config.name} is not known; use one of {', '.join(TEACHERS)}")
    torch.manual_seed(config.seed)
    return TEACHERS[config.name][1](config, space, opaque=opaque, background=background)


def save_teacher(path: Path, field: RadianceField, config: TeacherConfig) -> None:
    """Write everything that rendering needs, atomically."""
    about = {
        "name": config.name,
        "config": dataclasses.asdict(config),
        "space": {"shape": field.space.shape, "near": field.space.near, "far": field.space.far},
        "opaque": field.opaque,
        "background": None if field.background is None else field.background.tolist(),
    }
    state = {**field.state_dict(), "space": field.space.parameters}
    save_weights(path, FORMAT, state, about)


def load_teacher(path: Path) -> RadianceField:
    """The teacher saved at `path`, on the CPU. Raises CheckpointError if it is missing, damaged or something else."""
    state, about = load_weights(path, FORMAT, REMEDY)
    try:
        space = UnitCubeMapping(parameters=state.pop("space"), **about["space"])
        config = TEACHERS[about["name"]][0](**about["config"])
        color = about.get("background")  # older files have none
        background = None if color is None else torch.tensor(color, dtype=torch.float32).reshape(3)
        with torch.device("meta"):  # shapes only: a damaged file may ask for more than fits into memory
            shapes = {k: v.shape for k, v in build_field(config, space, opaque=about["opaque"]).state_dict().items()}
        other = [k for k, v in state.items() if k != OCCUPIED and shapes.get(k) != v.shape]
        if other or set(shapes) != set(state):
            raise ValueError(
                f"{min([*other, *set(shapes) ^ set(state)])} does not have the shape that the configuration gives"
            )
        field = build_field(config, space, opaque=about["opaque"], background=background)
        if isinstance(field, HashGridNeRF):
            field.occupancy.allowed = state[OCCUPIED]  # its length depends on carving
        field.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError, AttributeError, ConfigError) as error:
        reason = one_line(error)
        raise CheckpointError(f"{path} does not fit the teacher it names ({reason}); {REMEDY}") from error
    return field.eval()


FILE = "teacher.safetensors"
TRAINING_FILE = "training.json"


def teach(scene: Scene, config: TeacherConfig, folder: Path, fabric: Fabric, stop: Stop) -> RadianceField:
    """Train a teacher on the scene's training views; write `folder`/teacher.safetensors.

    training.json next to it holds steps, seconds, and PSNR on the last training rays.
    Goes on from the checkpoint in `folder`, if there is one. fabric: launched if it has several processes; the first
    one writes. Raises Interrupted, SceneError, CheckpointError.
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
    # Nothing surrounds an object. Over a colour other than its own background, the field would fill the box with fog.
    background = border_color(scene.train) if opaque and scene.type is SceneType.OBJECT else None
    space = space_of(scene)
    with fabric.device:  # creates the table of millions of numbers on the device
        field = build_field(config, space, opaque=opaque, background=background)
    return Trainer(field, scene.train, config, fabric)


def space_of(scene: Scene) -> UnitCubeMapping:
    """Mapping from the scene to the unit cube, one for each scene type."""
    if scene.type is SceneType.OBJECT:
        return UnitCubeMapping.box(scene.center, scene.radius, scene.near, scene.far)
    if scene.type is SceneType.UNBOUNDED:
        return UnitCubeMapping.contraction(scene.center, scene.radius, scene.near, scene.far)
    cameras = scene.train
    tangent = max(scene.size) / 2 / float(cameras.intrinsics[:, :2].min())
    return UnitCubeMapping.frustum(mean_pose(cameras.c2w), tangent, cameras.c2w, scene.near, scene.far)
