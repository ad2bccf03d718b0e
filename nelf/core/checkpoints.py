"""Weights and checkpoints on disk: read without executing code, written whole or not at all."""

import io
import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from nelf.core.errors import CheckpointError, one_line
from nelf.core.files import TEMPORARY_SUFFIX, remove, write_bytes

FORMAT = "nelf-checkpoint-1"
# What torch.load raises on files that are no archive, or one with another content than it says.
DAMAGE = (
    OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError,
    MemoryError, zipfile.BadZipFile, pickle.UnpicklingError,
)  # fmt: skip
_NAME = re.compile(r"checkpoint-(\d+)\.pt")


class CheckpointFolder:
    """Files `checkpoint-STEP.pt` in one folder; the newest `keep` stay."""

    def __init__(self, path: Path, keep: int = 2) -> None:
        self.path = Path(path)
        self.keep = keep

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write `state` (tensors, numbers, strings, and lists, tuples and dicts of them) as of `step`."""
        content = io.BytesIO()  # what torch raises when it cannot write to a file does not say why
        torch.save({"format": FORMAT, "step": step, "state": state}, content)
        write_bytes(self.path / f"checkpoint-{step:09d}.pt", content.getbuffer())
        for old in self._files()[: -self.keep]:
            remove(old)
        self._remove_partial()

    def latest(self) -> tuple[int, dict[str, Any]] | None:
        """Step and state of the newest checkpoint, on the CPU; None where there is none.

        Raises CheckpointError when that file is damaged or not ours: which one to go on from is the user's choice.
        """
        files = self._files()
        return self._load(files[-1]) if files else None

    def clear(self) -> None:
        """Remove all checkpoints."""
        for file in self._files():
            remove(file)
        self._remove_partial()

    def _load(self, path: Path) -> tuple[int, dict[str, Any]]:
        if not _is_archive(path):
            raise CheckpointError(f"{path} is cut short or damaged; {self._remedy()}")
        try:
            # weights_only: tensors and plain values; nothing in the file can run code.
            content = torch.load(path, map_location="cpu", weights_only=True)
        except DAMAGE as error:
            raise CheckpointError(f"{path} is damaged or not a checkpoint of nelf; {self._remedy()}") from error
        known = isinstance(content, dict) and content.get("format") == FORMAT
        if not known or not isinstance(content.get("step"), int) or not isinstance(content.get("state"), dict):
            found = content.get("format") if isinstance(content, dict) else type(content).__name__
            raise CheckpointError(f"{path} has format {found!r}, expected {FORMAT!r}; {self._remedy()}")
        return content["step"], content["state"]

    def _remedy(self) -> str:
        afresh = f"delete the folder {self.path} to start afresh"
        return f"delete that file to go on from the one before it, or {afresh}" if len(self._files()) > 1 else afresh

    def _files(self) -> list[Path]:
        """Oldest first."""
        found = [(int(match[1]), p) for p in self.path.glob("*.pt") if (match := _NAME.fullmatch(p.name))]
        return [p for _, p in sorted(found)]

    def _remove_partial(self) -> None:
        """Remove what a killed process left half written. One process writes a folder."""
        for file in self.path.glob(f".checkpoint-*{TEMPORARY_SUFFIX}*"):
            remove(file)


def _is_archive(path: Path) -> bool:
    """Whether the archive's directory, at the end of the file, is there."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # one of several parts, as it says itself
        return False


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
        reason = one_line(error)
        raise CheckpointError(f"{path} is cut short or damaged ({reason}); {remedy}") from error
    if found != form:
        raise CheckpointError(f"{path} has format {found!r}, expected {form!r}; {remedy}")
    return state, about
