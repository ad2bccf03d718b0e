"""A sweep: every combination of comma-separated values, each a run of its own."""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import hydra
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from nelf.errors import ConfigError, Interrupted
from nelf.pipeline.config import ROOT, compose_config, config_folder, one_line_errors, register, typed
from nelf.pipeline.run import Run, Say
from nelf.pipeline.stages import NEEDS, STAGES
from nelf.processes import is_first_process
from nelf.progress import stoppable


def sweep(overrides: Sequence[str], say: Say) -> None:
    """Hand over to Hydra, which calls back once for each combination. Raises NelfErrors, as a single run does.

    A combination that fails does not keep the others from being tried; the first failure is raised after the last.
    """
    check_combinations(overrides, say)

    def job(config: DictConfig) -> None:
        context = HydraConfig.get()
        run = Run.compose(list(context.overrides.task), NEEDS["run"], say)
        swept = context.job.override_dirname
        run.folder = Path(run.config.runs) / f"{run.config.name or run.scene.name}-{swept.replace('/', '_')}"
        try:
            with run.locked(), stoppable() as stop:
                run.prepare()
                STAGES["run"](run, stop, say)
        except Interrupted as error:
            raise KeyboardInterrupt from error  # Hydra would go on with the next combination

    register()
    sys.argv = ["nelf run", "--multirun", *overrides]
    try:
        with one_line_errors(), _errors_as_they_are():
            hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=ROOT)(job)()
    except KeyboardInterrupt as stopped:
        raise Interrupted("sweep: stopped; the same command goes on from there") from stopped


def check_combinations(overrides: Sequence[str], say: Say) -> None:
    """Compose every combination, and look at every scene, so that a mistake shows before hours of work."""
    scenes: dict[str, list[str]] = {}
    for combination in combinations(overrides):
        config = typed(compose_config(combination))
        if config.device.devices * config.device.num_nodes > 1 or not is_first_process():
            raise ConfigError("a sweep gives each of its runs one process; leave device.devices and torchrun out")
        scenes.setdefault(repr(config.scene), combination)
    for combination in scenes.values():
        Run.compose(combination, NEEDS["run"], say)


def combinations(overrides: Sequence[str]) -> list[list[str]]:
    """The overrides of each run; none where a sweeper plugin is to choose values out of an interval."""
    register()
    with one_line_errors(), initialize_config_dir(str(config_folder()), version_base="1.3"):
        parsed = OverridesParser.create(GlobalHydra.instance().config_loader()).parse_overrides(list(overrides))
        if any(one.is_sweep_override() and not one.is_discrete_sweep() for one in parsed):
            return []
        choices = [
            [f"{one.get_key_element()}={value}" for value in one.sweep_string_iterator()]
            if one.is_sweep_override()
            else [str(one.input_line)]
            for one in parsed
        ]
    return [list(combination) for combination in itertools.product(*choices)]


@contextlib.contextmanager
def _errors_as_they_are() -> Iterator[None]:
    """Keep Hydra from printing exceptions itself and ending the process with exit code 1."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
