"""A run's folder: its scene, settings and lock. Photos without poses become a scene first."""

import contextlib
import dataclasses
import functools
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric
from omegaconf import DictConfig

from nelf.capture import PhotoFolder, import_scene, is_raw
from nelf.capture.importer import Imported, read_imported
from nelf.core.devices import accelerator_of, check_rank, make_fabric, processes
from nelf.core.errors import ConfigError, Interrupted, NelfError
from nelf.core.files import locked, read_json, remove, remove_leftovers, sha256, write_bytes, write_json
from nelf.core.processes import blame_others, end_with_others, end_with_parent, is_first_process, is_started_by_nelf
from nelf.core.progress import Stop, stoppable
from nelf.pipeline.config import Config, as_yaml, compose_config, typed
from nelf.pipeline.overrides import (
    SETTINGS,
    absolute,
    is_run,
    last_of_each_key,
    overrides_of,
    with_absolute_paths,
)
from nelf.pipeline.record import StageRecord, fingerprint
from nelf.scene import Scene, SceneConfig, SceneType, check_pictures, load_checked

PHOTOS = "photos"
LOCK = ".lock"


@contextlib.contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Lock a run's folder during the block, and remove half-written files from before.

    Raises StorageError if another process has the lock.
    """
    with locked(folder / LOCK, f"the run {folder}"):
        if is_first_process():
            remove_leftovers(folder)
        yield


def with_poses(config: Config, folder: Path | None, echo: Callable[[str], None] | None) -> SceneConfig:
    """The scene to load. If `config.scene` names raw photos, it is the scene made from them in the run's folder."""
    scene, root = config.scene, Path(config.scene.path)
    if not is_raw(root):
        return scene
    name = scene.name or root.name
    folder = folder or Path(config.runs) / (config.name or name)
    if echo is None:
        raise ConfigError(
            f"{root} holds photos without poses, but the configuration depends on their cameras; "
            f"make a scene of them first: nelf data import photos {root}"
        )
    out = folder / PHOTOS
    if not is_first_process():
        # A process started by the first one uses its scene; processes of a launcher came at the same time.
        if read_imported(out) is None:
            raise ConfigError(
                f"{root} holds photos without poses, which one process must find before several work together; "
                f"make a scene of them first: nelf data import photos {root}"
            )
        return dataclasses.replace(scene, path=str(out), name=name)
    with lock_run(folder), stoppable() as stop:
        if out.exists() and read_imported(out) is None:
            echo(f"photos: {out} is incomplete: finding the poses again")
            remove(out)
        report_import(import_scene(PhotoFolder(root, name), out, config.photos, stop, echo), echo)
    return dataclasses.replace(scene, path=str(out), name=name)


def report_import(imported: Imported, echo: Callable[[str], None]) -> None:
    """Report the result of an import, and what to shoot better."""
    echo(f"photos: {imported.summary}")
    for problem in imported.problems:
        echo(f"photos: problem: {problem}")


CHECKED = "checked_scene"  # in SETTINGS: digest of a scene whose images were all decoded
TEACHER = Path("teacher/teacher.safetensors")
PSEUDO = Path("pseudo")
STUDENT = Path("student/student.safetensors")
EXPORT = Path("export")
GRACE = 60.0  # seconds for finished processes to end

Echo = Callable[[str], None]
"""Shows one line to the user."""


class Run:
    """Configuration, scene and folder of one run.

    composed: the whole configuration as Hydra composed it. overrides: what the user asked for.
    """

    def __init__(self, composed: DictConfig, config: Config, scene: Scene, overrides: Sequence[str]) -> None:
        self.composed = composed
        self.config = config
        self.scene = scene
        self.overrides = tuple(overrides)
        self.folder = Path(config.runs) / (config.name or scene.name)

    @classmethod
    def open(
        cls, target: Path, overrides: Sequence[str], need: Sequence[str] = ("train",), echo: Echo | None = None
    ) -> "Run":
        """The run of a scene folder, or the run in a run folder with `overrides` on top of its own.

        need: splits without which the work is impossible. echo: see compose.
        """
        moved = not is_run(target) or any(override.startswith(("name=", "runs=")) for override in overrides)
        # A moved run is used where it is now, from any working directory.
        new = not is_run(target)
        return cls.compose([*overrides_of(target), *overrides], need, echo, None if moved else target, new=new)

    @classmethod
    def compose(
        cls,
        overrides: Sequence[str],
        need: Sequence[str] = ("train",),
        echo: Echo | None = None,
        folder: Path | None = None,
        new: bool = True,
    ) -> "Run":
        """Compose once to find the scene, and again with the defaults of its type.

        echo: reports how poses are found for photos without them. Without `echo` such photos are refused, unless their
        poses are known from before. folder: of the run, if it does not follow from its name. new: choose sizes for this
        machine; they become an override, so that the run keeps them on every other machine.
        """
        config = typed(compose_config(overrides))
        check_rank(config.device)
        sized = any(override.startswith("size=") for override in overrides)
        if new and not sized and accelerator_of(config.device) != "cpu":
            overrides = [*overrides, "size=gpu"]
        overrides = last_of_each_key(with_absolute_paths(overrides, config))
        config.scene.path = absolute(config.scene.path)
        asked = with_poses(config, folder, echo)
        scene = load_checked(asked, need, want=("val",))
        composed = compose_config([f"scene_type={scene.type.value}", *overrides])
        config = typed(composed)
        of_type = dataclasses.replace(config.scene, path=asked.path, name=asked.name)
        if of_type != asked:
            scene = load_checked(of_type, need, want=("val",))
        run = cls(composed, config, scene, overrides)
        run.folder = folder or run.folder
        return run

    def prepare(self) -> None:
        """Create the folder and record the settings. Several processes meet here."""
        if not is_first_process():
            self.fabric.barrier()
            self._check_alike()
            return
        write_bytes(self.folder / "config.yaml", as_yaml(self.composed).encode())
        write_json(self.folder / SETTINGS, {"overrides": list(self.overrides), CHECKED: self.scene_digest})
        if self.ranks > 1:
            self.fabric.barrier()
            self._check_alike()

    def check_pictures(self) -> None:
        """Decode every image of the scene, unless that was done before. Call it before `prepare`.

        Raises SceneError with the first fatal problem.
        """
        if not is_first_process():
            return
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if read_json(self.folder / SETTINGS).get(CHECKED) == self.scene_digest:
                return
        check_pictures(self.scene)

    def _check_alike(self) -> None:
        mine = fingerprint(config=as_yaml(self.composed), scene=self.scene_digest)
        if self.any_rank(self.fabric.broadcast(mine) != mine):
            raise ConfigError(
                f"the {self.ranks} processes do not see the same scene or configuration; "
                "give all of them the same command and shared folders"
            )

    @functools.cached_property
    def ranks(self) -> int:
        """Number of processes that work on the run together."""
        devices, nodes = processes(self.config.device)
        return devices * nodes

    @property
    def rank(self) -> int:
        """Index of this process among them."""
        return self.fabric.global_rank if self.ranks > 1 else 0

    @contextlib.contextmanager
    def ending_workers(self) -> Iterator[None]:
        """Processes that this one starts during the block end with it."""
        try:
            yield
        except Interrupted:
            self._end_others(GRACE)  # they stop too
            raise
        except BaseException as error:
            if not isinstance(error, NelfError):
                blame_others()
            self._end_others(0.0)  # they wait for this process, which failed
            raise
        self._end_others(GRACE)

    def _end_others(self, grace: float) -> None:
        others = self._others(self.fabric) if "fabric" in self.__dict__ else []
        mine = list(others)  # the watch of this list must not see them end
        others.clear()
        for process in mine:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
            process.kill()
            process.wait()

    @staticmethod
    def _others(fabric: Fabric) -> "list[subprocess.Popen[bytes]]":
        """The processes that this one started; Fabric watches this list."""
        others: list[subprocess.Popen[bytes]] = getattr(fabric.strategy.launcher, "procs", [])
        return others

    def any_rank(self, said: bool = False) -> bool:
        """Wait for all processes; returns whether any of them `said` so."""
        if self.ranks == 1:
            return said
        return bool(self.fabric.all_reduce(torch.tensor(float(said)), reduce_op="sum"))

    def is_current(self, record: StageRecord, fingerprint: Callable[[], str], outputs: Sequence[str]) -> bool:
        """Whether a stage is done; the first process decides. fingerprint: computes the fingerprint of its inputs."""
        return self.any_rank(is_first_process() and record.is_current(fingerprint(), outputs))

    @contextlib.contextmanager
    def running(
        self, record: StageRecord, fingerprint: Callable[[], str], outputs: Sequence[str], *, reuse: bool = False
    ) -> Iterator[None]:
        """`StageRecord.making` in the first process. No process starts before it has cleared the folder, or leaves
        before it is done."""
        with record.running(fingerprint(), outputs, reuse=reuse) if is_first_process() else contextlib.nullcontext():
            self.any_rank()
            yield
            self.any_rank()
        self.any_rank()

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Lock the folder during the block. Raises StorageError if another process has the lock."""
        return lock_run(self.folder)

    @functools.cached_property
    def fabric(self) -> Fabric:
        """Device, precision and processes; launched."""
        fabric = make_fabric(self.config.device)
        fabric.launch()
        if self.config.device.threads is not None:
            torch.set_num_threads(self.config.device.threads)  # launching divides the cores among the processes
        if not torch.distributed.is_torchelastic_launched():  # torchrun watches its processes itself
            if is_started_by_nelf():
                end_with_parent()
            else:
                end_with_others(self._others(fabric))
        return fabric

    @functools.cached_property
    def scene_digest(self) -> str:
        """Fingerprint of the scene's files and of how they are read."""
        settings = dataclasses.asdict(self.config.scene) | {"path": None}
        return fingerprint(files=files_digest(self.scene), settings=settings)

    @property
    def bounded(self) -> bool:
        """Whether the scene is an object, which ends at a known radius."""
        return self.scene.type is SceneType.OBJECT

    @property
    def teacher(self) -> Path | None:
        """File of the run's own teacher; None if the student learns from external renders."""
        return self.folder / TEACHER if self.config.distill.source == "teacher" else None

    @property
    def command(self) -> str:
        """The command that makes this run again, from any folder."""
        rest = (override for override in self.overrides if not override.startswith("scene.path="))
        return shlex.join(["nelf", "run", self.config.scene.path, *rest])


def files_digest(scene: Scene) -> str:
    """Fingerprint of the files that the scene's views are made from; other files in its folder do not count."""
    return fingerprint(files={file.as_posix(): sha256(scene.root / file) for file in scene.files})


def leave_if_asked(stop: Stop, stage: str) -> None:
    """Raise Interrupted if the user asked to stop. Call it between indivisible pieces of work."""
    if stop.requested:
        raise Interrupted(f"{stage}: stopped; the same command goes on from there")
