"""Photos without poses as a run's scene: the first thing that is done with them is to find their poses."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from nelf.data import SceneConfig
from nelf.errors import ConfigError
from nelf.locking import locked
from nelf.photos import PhotoFolder, import_scene, is_raw
from nelf.photos.importing import Imported, read_imported
from nelf.pipeline.config import Config
from nelf.processes import is_first_process
from nelf.progress import stoppable
from nelf.storage import remove, remove_leftovers

PHOTOS = "photos"
LOCK = ".lock"


@contextlib.contextmanager
def lock_run(folder: Path) -> Iterator[None]:
    """Nobody else works in a run's folder during the block, and nothing half written is left in it from before.

    Raises StorageError where someone does.
    """
    with locked(folder / LOCK, f"the run {folder}"):
        if is_first_process():
            remove_leftovers(folder)
        yield


def with_poses(config: Config, folder: Path | None, say: Callable[[str], None] | None) -> SceneConfig:
    """The scene to load: where `config.scene` names raw photos, the one that is made of them, in the run's folder."""
    scene, root = config.scene, Path(config.scene.path)
    if not is_raw(root):
        return scene
    name = scene.name or root.name
    folder = folder or Path(config.runs) / (config.name or name)
    if say is None:
        raise ConfigError(
            f"{root} holds photos without poses, and the configuration depends on how their cameras stand; "
            f"make a scene of them first: nelf data import photos {root}"
        )
    out = folder / PHOTOS
    if not is_first_process():
        # A process that the first one started finds what that has made; others came at the same time.
        if read_imported(out) is None:
            raise ConfigError(
                f"{root} holds photos without poses, which one process has to find before several work together; "
                f"make a scene of them first: nelf data import photos {root}"
            )
        return dataclasses.replace(scene, path=str(out), name=name)
    with lock_run(folder), stoppable() as stop:
        if out.exists() and read_imported(out) is None:
            say(f"photos: {out} is not whole any more: the poses are found again")
            remove(out)
        tell(import_scene(PhotoFolder(root, name), out, config.photos, stop, say), say)
    return dataclasses.replace(scene, path=str(out), name=name)


def tell(imported: Imported, say: Callable[[str], None]) -> None:
    """What came of it, and what to shoot better."""
    say(f"photos: {imported.summary}")
    for problem in imported.problems:
        say(f"photos: problem: {problem}")
