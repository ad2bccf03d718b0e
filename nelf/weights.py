"""Finished weights on disk: one safetensors file whose metadata says what it is. Reading runs no code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nelf.errors import CheckpointError
from nelf.storage import write_bytes


def save_weights(path: Path, form: str, state: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors and `about` (JSON values by name) under the format name `form`, atomically."""
    # One metadata key: safetensors writes several in random order, and equal weights shall be equal bytes.
    metadata = {"nelf": json.dumps({"format": form, **about}, sort_keys=True)}
    # To bytes first: what safetensors raises when it cannot write to a file is not the operating system's error.
    write_bytes(path, save({key: value.detach().cpu().contiguous() for key, value in state.items()}, metadata))


def load_weights(path: Path, form: str, remedy: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and `about` of a file that `save_weights` wrote.

    Raises CheckpointError, with `remedy` as the advice, when the file is absent, cut short or of another format.
    """
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            state = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118 (not a dict)
        about = dict(json.loads(metadata.get("nelf", "{}")))
        found = about.pop("format", None)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no {path}; {remedy}") from error
    except (SafetensorError, OSError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{path} is cut short or damaged ({reason}); {remedy}") from error
    if found != form:
        raise CheckpointError(f"{path} has format {found!r}, expected {form!r}; {remedy}")
    return state, about
