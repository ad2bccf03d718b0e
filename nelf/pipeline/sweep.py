"""Many runs of one command: one after the other, in processes, or as jobs of a cluster."""

import contextlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from nelf.core.errors import ConfigError, Interrupted, NelfError, one_line
from nelf.core.processes import is_first_process
from nelf.core.progress import stoppable
from nelf.pipeline.config import ROOT, Config, config_folder, one_line_errors, register
from nelf.pipeline.evaluate_stage import is_measured, write_summary
from nelf.pipeline.overrides import key_of, swept_keys
from nelf.pipeline.run import Echo, Run
from nelf.pipeline.stages import NEEDS, STAGES

LAUNCHERS = ("processes", "slurm")
CHOICE = "hydra/launcher="
ONE_PROCESS = ("hydra.launcher.tasks_per_node", "hydra.launcher.nodes")


def launcher_of(overrides: Sequence[str]) -> str:
    """The launcher that the overrides choose; by default "basic", Hydra's own."""
    return next((one.removeprefix(CHOICE) for one in reversed(overrides) if one.startswith(CHOICE)), "basic")


def check_launcher(overrides: Sequence[str]) -> None:
    """Raise ConfigError if this machine lacks the launcher, or if each run would start several processes."""
    name = launcher_of(overrides)
    for one in overrides:
        key, _, value = one.lstrip("+").partition("=")
        if key in ONE_PROCESS and value != "1":
            raise ConfigError(f"{one}: a sweep gives each of its runs one process; leave it out")
    if name in LAUNCHERS:
        try:
            importlib.metadata.distribution("hydra-submitit-launcher")
        except importlib.metadata.PackageNotFoundError as error:
            raise ConfigError(
                f"{CHOICE}{name} needs hydra-submitit-launcher; install it with: pip install 'nelf[slurm]'"
            ) from error
    if name == "slurm" and shutil.which("srun") is None:
        raise ConfigError(
            f"{CHOICE}slurm: there is no srun on this machine; run the command on a machine that submits jobs, "
            f"or use {CHOICE}processes"
        )


@contextlib.contextmanager
def lost_jobs_in_one_line() -> Iterator[None]:
    """Report a job that ended without an answer (killed, out of memory, cancelled) in one line."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "submitit":
            raise
        said = one_line(error, 300)
        raise NelfError(
            f"sweep: a job ended without an answer ({said}); its log is in the folder .submitit of the sweep. "
            "The other jobs go on; when they are done, the same command does what is missing"
        ) from error


SHARED = {"scene.path", "runs", "name"}
"""Keys that the name of a run's folder, or its parent, already contains."""


def sweep(overrides: Sequence[str], checked: Sequence[tuple[list[str], Config]], echo: Echo) -> None:
    """Hand over to Hydra, which calls back for each combination. Raises NelfErrors, as a single run does.

    checked: the result of `checked_combinations`.

    If a combination fails, the others still run; the first failure is raised at the end. A page on all runs is written
    in any case.
    """
    launcher = launcher_of(overrides)
    check_launcher(overrides)
    folders = check_combinations(overrides, checked, echo)
    varied = swept_keys(overrides)

    register()
    sys.argv = ["nelf run", "--multirun", *overrides]
    try:
        with one_line_errors(), _errors_as_they_are(), lost_jobs_in_one_line():
            hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=ROOT)(
                _Job(launcher, varied, echo)
            )()
    except KeyboardInterrupt as stopped:
        raise Interrupted("sweep: stopped; the same command goes on from there") from stopped
    finally:
        if any(is_measured(folder) for folder in folders):
            echo(f"sweep: summary of all runs in {write_summary(folders)}")


@dataclass(frozen=True)
class _Job:
    """Called by Hydra for each combination, possibly in another process, so it can be pickled."""

    launcher: str
    varied: set[str]
    echo: Echo

    def __call__(self, config: DictConfig) -> None:
        run = Run.compose(list(HydraConfig.get().overrides.task), NEEDS["run"], self.echo)
        run.folder = folder_of(run.config, run.scene.name, run.overrides, self.varied)
        run.check_pictures()
        try:
            with run.locked(), stoppable() as stop:
                run.prepare()
                STAGES["run"](run, stop, self.echo)
        except Interrupted as error:
            if self.launcher in LAUNCHERS:
                raise  # the waiting process receives it
            raise KeyboardInterrupt from error  # otherwise Hydra continues with the next combination


def check_combinations(overrides: Sequence[str], checked: Sequence[tuple[list[str], Config]], echo: Echo) -> list[Path]:
    """Check every scene, so that mistakes show before hours of work.

    Returns the folders of the runs; empty if they are not known yet.
    """
    scenes: dict[str, str] = {}
    folders: dict[Path, list[str]] = {}
    varied = swept_keys(overrides)
    for combination, config in checked:
        if config.device.devices * config.device.num_nodes > 1 or not is_first_process():
            raise ConfigError(
                "a sweep gives each of its runs one process; remove device.devices and do not use torchrun"
            )
        scene = repr(config.scene)
        if scene not in scenes:
            scenes[scene] = Run.compose(combination, NEEDS["run"], echo).scene.name
        folder = folder_of(config, scenes[scene], combination, varied)
        if folder in folders:
            first, second = (" ".join(one) or "(nothing)" for one in (folders[folder], combination))
            raise ConfigError(f"sweep: {first} and {second} would both write {folder}; rename the scenes' folders")
        folders[folder] = combination
    return list(folders)


def folder_of(config: Config, scene: str, overrides: Sequence[str], varied: set[str]) -> Path:
    """The folder of one run in a sweep: named like a single run, plus the values that vary."""
    values = sorted(one.lstrip("+") for one in overrides if key_of(one) in varied - SHARED)
    name = config.name or scene
    return Path(config.runs) / (f"{name}-{','.join(values).replace('/', '_')}" if values else name)


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
