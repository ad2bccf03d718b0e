"""A trained teacher on disk: weights with their configuration and space."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from nelf.errors import CheckpointError, ConfigError
from nelf.teacher.config import TEACHER_CONFIGS, TeacherConfig
from nelf.teacher.ngp import HashGridNeRF
from nelf.teacher.protocol import RayField
from nelf.teacher.space import Space
from nelf.teacher.vanilla import VanillaNeRF
from nelf.weights import load_weights, save_weights

OCCUPIED = "occupancy.allowed"
FORMAT = "nelf-teacher-1"
REMEDY = "train it again with: nelf teach RUN"

TEACHERS: dict[str, tuple[type[TeacherConfig], Callable[..., RayField]]] = {
    "hashgrid": (TEACHER_CONFIGS["hashgrid"], HashGridNeRF),
    "vanilla": (TEACHER_CONFIGS["vanilla"], VanillaNeRF),
}
"""name -> (its configuration, its field)."""


def build_field(
    config: TeacherConfig, space: Space, *, opaque: bool, background: Float[Tensor, "3"] | None = None
) -> RayField:
    """An untrained teacher. Raises ConfigError for an unknown name."""
    if config.name not in TEACHERS:
        raise ConfigError(f"teacher.name={config.name} is not known; use one of {', '.join(TEACHERS)}")
    torch.manual_seed(config.seed)
    return TEACHERS[config.name][1](config, space, opaque=opaque, background=background)


def save_teacher(path: Path, field: RayField, config: TeacherConfig) -> None:
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


def load_teacher(path: Path) -> RayField:
    """The teacher saved at `path`, on the CPU. Raises CheckpointError when it is absent, damaged or not one."""
    state, about = load_weights(path, FORMAT, REMEDY)
    try:
        space = Space(parameters=state.pop("space"), **about["space"])
        config = TEACHERS[about["name"]][0](**about["config"])
        color = about.get("background")  # older files have none
        background = None if color is None else torch.tensor(color, dtype=torch.float32).reshape(3)
        with torch.device("meta"):  # shapes alone: what a damaged file asks for may not fit into memory
            shapes = {k: v.shape for k, v in build_field(config, space, opaque=about["opaque"]).state_dict().items()}
        other = [k for k, v in state.items() if k != OCCUPIED and shapes.get(k) != v.shape]
        if other or set(shapes) != set(state):
            raise ValueError(
                f"{min([*other, *set(shapes) ^ set(state)])} has another shape than the configuration says"
            )
        field = build_field(config, space, opaque=about["opaque"], background=background)
        if isinstance(field, HashGridNeRF):
            field.occupancy.allowed = state[OCCUPIED]  # its length is what carving left
        field.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError, AttributeError, ConfigError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} does not fit the teacher that it names ({reason}); {REMEDY}") from error
    return field.eval()
