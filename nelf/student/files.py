"""A student on disk: one safetensors file whose metadata holds its configuration and frame."""

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from nelf.errors import CheckpointError, NelfError
from nelf.storage import atomic_path
from nelf.student.config import StudentConfig
from nelf.student.frame import Frame
from nelf.student.nelf import NeLF

FORMAT = "nelf-student-1"


def save_student(path: Path, model: NeLF) -> None:
    """Write weights, configuration and frame, atomically."""
    metadata = {
        "format": FORMAT,
        "config": json.dumps(dataclasses.asdict(model.config)),
        "frame": json.dumps(model.frame.as_dict()),
    }
    with atomic_path(path) as temporary:
        save_file({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, temporary, metadata)


def load_student(path: Path) -> NeLF:
    """The student saved at `path`, on the CPU, in eval mode.

    Raises CheckpointError when the file is absent, cut short, of another kind, or does not fit its own configuration.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            state = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118 (not a dict)
    except FileNotFoundError as error:
        raise CheckpointError(f"no student at {path}; train one with: nelf train RUN") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a whole student file ({error}); train again with: nelf train RUN"
        ) from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {metadata.get('format')!r}, expected {FORMAT!r}: not a student of nelf"
        )
    try:
        model = NeLF(StudentConfig(**json.loads(metadata["config"])), Frame.from_dict(json.loads(metadata["frame"])))
        model.load_state_dict(state)
    except (NelfError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path}: weights do not fit the architecture stored beside them: {reason}") from error
    return model.eval()


def check_same_architecture(path: Path, state: dict[str, torch.Tensor], model: NeLF) -> None:
    """Raise CheckpointError, naming the first difference, when `state` is not of the architecture of `model`."""
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in state.items()}
    if expected == found:
        return
    key = min(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
    raise CheckpointError(
        f"{path} is of another architecture: {key} is {found.get(key, 'absent')}, "
        f"student={model.config.name} needs {expected.get(key, 'none')}; remove it or set the student that made it"
    )
