"""Overrides: from the command line, and those that a run remembers. Does not import torch."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from nelf.core.errors import ConfigError
from nelf.core.files import check_writable, read_json
from nelf.pipeline.config import Config, compose_config, config_folder, one_line_errors, register, typed
from nelf.scene.config import check_folder

SETTINGS = "run.json"


def check_request(target: Path, overrides: Sequence[str], *, writes: bool = True) -> Config:
    """The configuration from a scene's or a run's folder and `overrides`, before the scene is loaded.

    Raises ConfigError for everything that can be refused without PyTorch, which loads slowly; SceneError if the
    scene is not a folder; StorageError if the run's folder cannot be written and `writes` is true.
    """
    config = typed(compose_config([*overrides_of(target), *overrides]))
    if not is_run(target):
        check_folder(Path(config.scene.path))
    name = config.name or config.scene.name or Path(config.scene.path).name
    if writes:
        check_writable(target if is_run(target) else Path(config.runs) / name, folder=True)
    return config


def checked_combinations(overrides: Sequence[str]) -> list[tuple[list[str], Config]]:
    """The overrides of each run in a sweep, with their configuration. Raises ConfigError as `check_request` does."""
    return [(one, typed(compose_config(one))) for one in combinations(overrides)]


def overrides_of(target: Path) -> list[str]:
    """Overrides that select a scene's folder, or those that a run was made with."""
    return read_overrides(target) if is_run(target) else [f"scene.path={quoted(str(target))}"]


def is_run(folder: Path) -> bool:
    """Whether a folder is a run that nelf made."""
    return (folder / SETTINGS).is_file()


def read_overrides(folder: Path) -> list[str]:
    """The overrides that the run was made with. Raises ConfigError."""
    try:
        content: dict[str, Any] = read_json(folder / SETTINGS)
        return [str(override) for override in content["overrides"]]
    except (ValueError, KeyError, TypeError) as error:
        message = f"{folder / SETTINGS} is damaged ({error}); give the scene's folder instead of the run's"
        raise ConfigError(message) from error


def with_absolute_paths(overrides: Sequence[str], config: Config) -> list[str]:
    """The overrides with absolute folders from `config`, so that they hold in any working directory."""
    folders = {"scene.path": config.scene.path, "distill.folder": config.distill.folder}
    found = [f"{key}={quoted(absolute(folder))}" for key, folder in folders.items() if folder]
    return found + [o for o in overrides if o.partition("=")[0].lstrip("+") not in folders]


def absolute(folder: str) -> str:
    """A folder as an absolute path, `~` resolved."""
    return str(Path(folder).expanduser().resolve())


def last_of_each_key(overrides: Sequence[str]) -> list[str]:
    """The overrides without those that a later one replaces. A later {...} does not: Hydra merges it."""
    keys = [override.partition("=")[0] for override in overrides]
    final = {key: i for i, key in enumerate(keys) if not overrides[i].startswith(key + "={")}
    return [override for i, override in enumerate(overrides) if i >= final.get(keys[i], i)]


def quoted(value: str) -> str:
    """Quote a value so that Hydra's override grammar and OmegaConf's interpolation take it literally."""
    # Hydra reads backslashes literally, except before a quote or at the end: there each must be doubled.
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + (found[2] and "\\'"), value)
    return "'" + escaped.replace("${", "\\${") + "'"


def swept_keys(overrides: Sequence[str]) -> set[str]:
    """Keys with several values."""
    return {key_of(str(one.input_line)) for one in _parsed(overrides) if one.is_sweep_override()}


def key_of(override: str) -> str:
    """`student` for both `student=s` and `+student=s`."""
    return override.partition("=")[0].lstrip("+")


def combinations(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each run; empty if a sweeper plugin chooses values from an interval."""
    # How runs are launched is not part of their settings.
    parsed = [one for one in _parsed(overrides) if not key_of(str(one.input_line)).startswith(("hydra.", "hydra/"))]
    if any(one.is_sweep_override() and not one.is_discrete_sweep() for one in parsed):
        return []
    choices = [
        [f"{one.get_key_element()}={value}" for value in one.sweep_string_iterator()]
        if one.is_sweep_override()
        else [str(one.input_line)]
        for one in parsed
    ]
    return [list(combination) for combination in itertools.product(*choices)]


def _parsed(overrides: Sequence[str]) -> list[Override]:
    register()
    with one_line_errors(), initialize_config_dir(str(config_folder()), version_base="1.3"):
        parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        return list(parser.parse_overrides(list(overrides)))
