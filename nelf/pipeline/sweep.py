"""Many runs of one command: in turn, in processes, as jobs of a cluster."""

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
from nelf.pipeline.run import Run, Say
from nelf.pipeline.stages import NEEDS, STAGES

LAUNCHERS = ("processes", "slurm")
CHOICE = "hydra/launcher="
ONE_PROCESS = ("hydra.launcher.tasks_per_node", "hydra.launcher.nodes")


def launcher_of(overrides: Sequence[str]) -> str:
    """What the overrides choose; "basic", Hydra's own, where they choose nothing."""
    return next((one.removeprefix(CHOICE) for one in reversed(overrides) if one.startswith(CHOICE)), "basic")


def check_launcher(overrides: Sequence[str]) -> None:
    """Raise ConfigError where this machine cannot launch so, or several processes would be started for each run."""
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
            f"{CHOICE}slurm: there is no srun on this machine; give the command on a machine that submits jobs, "
            f"or use {CHOICE}processes"
        )


@contextlib.contextmanager
def lost_jobs_in_one_line() -> Iterator[None]:
    """A job that ended without an answer (killed, out of memory, cancelled) is no mistake in nelf."""
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
"""What is in the name of a run's folder anyway, or above it."""


def sweep(overrides: Sequence[str], checked: Sequence[tuple[list[str], Config]], say: Say) -> None:
    """Hand over to Hydra, which calls back once for each combination. Raises NelfErrors, as a single run does.

    checked: what `checked_combinations` makes of the overrides.

    A combination that fails does not keep the others from being tried; the first failure is raised after the last. A
    page over all runs is written in any case.
    """
    launcher = launcher_of(overrides)
    check_launcher(overrides)
    folders = check_combinations(overrides, checked, say)
    varied = swept_keys(overrides)

    register()
    sys.argv = ["nelf run", "--multirun", *overrides]
    try:
        with one_line_errors(), _errors_as_they_are(), lost_jobs_in_one_line():
            hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=ROOT)(
                _Job(launcher, varied, say)
            )()
    except KeyboardInterrupt as stopped:
        raise Interrupted("sweep: stopped; the same command goes on from there") from stopped
    finally:
        if any(is_measured(folder) for folder in folders):
            say(f"sweep: summary of all runs in {write_summary(folders)}")


@dataclass(frozen=True)
class _Job:
    """What Hydra calls for each combination; another process may have to unpickle it."""

    launcher: str
    varied: set[str]
    say: Say

    def __call__(self, config: DictConfig) -> None:
        run = Run.compose(list(HydraConfig.get().overrides.task), NEEDS["run"], self.say)
        run.folder = folder_of(run.config, run.scene.name, run.overrides, self.varied)
        run.check_pictures()
        try:
            with run.locked(), stoppable() as stop:
                run.prepare()
                STAGES["run"](run, stop, self.say)
        except Interrupted as error:
            if self.launcher in LAUNCHERS:
                raise  # the process that waits for this one is told
            raise KeyboardInterrupt from error  # Hydra would go on with the next combination


def check_combinations(overrides: Sequence[str], checked: Sequence[tuple[list[str], Config]], say: Say) -> list[Path]:
    """Look at every scene, so that a mistake shows before hours of work.

    Returns the folders that the runs will have; none where they cannot be known yet.
    """
    scenes: dict[str, str] = {}
    folders: dict[Path, list[str]] = {}
    varied = swept_keys(overrides)
    for combination, config in checked:
        if config.device.devices * config.device.num_nodes > 1 or not is_first_process():
            raise ConfigError("a sweep gives each of its runs one process; leave device.devices and torchrun out")
        scene = repr(config.scene)
        if scene not in scenes:
            scenes[scene] = Run.compose(combination, NEEDS["run"], say).scene.name
        folder = folder_of(config, scenes[scene], combination, varied)
        if folder in folders:
            first, second = (" ".join(one) or "(nothing)" for one in (folders[folder], combination))
            raise ConfigError(
                f"sweep: {first} and {second} would both be {folder}; give the scenes' folders other names"
            )
        folders[folder] = combination
    return list(folders)


def folder_of(config: Config, scene: str, overrides: Sequence[str], varied: set[str]) -> Path:
    """The folder of one run of a sweep: named as a single run, and after the values that vary."""
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
