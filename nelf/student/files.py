"""Students on disk, and the table of families."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nelf.core.checkpoints import load_weights, save_weights
from nelf.core.errors import CheckpointError, NelfError, one_line
from nelf.student.config import StudentConfig
from nelf.student.families import STUDENT_CONFIGS, family_of
from nelf.student.geometry import SceneGeometry
from nelf.student.protocol import Student


def make_student(config: StudentConfig, frame: SceneGeometry) -> Student:
    """An untrained student. Raises ConfigError if `config` does not belong to the family it names."""
    return family_of(config).make()(config, frame)


FORMAT = "nelf-student-2"
REMEDY = "train again with: nelf train RUN"


def save_student(path: Path, model: Student) -> None:
    """Write weights, configuration and frame, atomically."""
    about = {"config": dataclasses.asdict(model.config), "frame": model.frame.as_dict()}
    save_weights(path, FORMAT, model.state_dict(), about)


def load_student(path: Path) -> Student:
    """The student saved at `path`, on the CPU, in eval mode.

    Raises CheckpointError if the file is missing, cut short, of another kind, or does not match its own configuration.
    """
    state, about = load_weights(path, FORMAT, REMEDY)
    try:
        config = STUDENT_CONFIGS[about["config"]["family"]](**about["config"])
        frame = SceneGeometry.from_dict(about["frame"])
        with torch.device("meta"):  # shapes only: a damaged file may ask for more than fits into memory
            shape = make_student(config, frame)
    except (NelfError, KeyError, TypeError, ValueError, RuntimeError, OverflowError, AttributeError) as error:
        reason = one_line(error)
        raise CheckpointError(
            f"{path} has a configuration that this version cannot read ({reason}); {REMEDY}"
        ) from error
    check_same_architecture(path, state, shape)
    model = make_student(config, frame)
    model.load_state_dict(dict(state))
    return model.eval()


def check_same_architecture(path: Path, state: Mapping[str, Tensor], model: Student) -> None:
    """Raise CheckpointError, naming the first difference, unless `state` fits the architecture of `model`."""
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    if expected == found:
        return
    key = min(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
    raise CheckpointError(
        f"{path} has another architecture: {key} is {found.get(key, 'absent')}, "
        f"student={model.config.name} needs {expected.get(key, 'none')}; remove it or set the student that made it"
    )
