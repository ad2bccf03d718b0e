"""Where the runs of a sweep are computed: one after the other here, all at once here, or as jobs of a cluster.

The last two are configs/hydra/launcher; hydra-submitit-launcher, an extra, does the work.
"""

import contextlib
import importlib.metadata
import shutil
from collections.abc import Iterator, Sequence

from nelf.errors import ConfigError, NelfError

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
        said = " ".join(str(error).split())[:300]
        raise NelfError(
            f"sweep: a job ended without an answer ({said}); its log is in the folder .submitit of the sweep. "
            "The other jobs go on; when they are done, the same command does what is missing"
        ) from error
