"""Photos without poses as a run's scene: the first thing that is done with them is to find their poses."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

from nelf.data import SceneConfig
from nelf.errors import ConfigError
from nelf.locking import locked
from nelf.photos import PhotoFolder, import_scene, is_raw
from nelf.photos.importing import Imported
from nelf.pipeline.config import Config
from nelf.progress import stoppable

PHOTOS = "photos"
LOCK = ".lock"


def lock_run(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Nobody else works in a run's folder during the block. Raises StorageError where someone does."""
    return locked(folder / LOCK, f"the run {folder}")


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
    with lock_run(folder), stoppable() as stop:
        tell(import_scene(PhotoFolder(root, name), folder / PHOTOS, config.photos, stop, say), say)
    return dataclasses.replace(scene, path=str(folder / PHOTOS), name=name)


def tell(imported: Imported, say: Callable[[str], None]) -> None:
    """What came of it, and what to shoot better."""
    say(f"photos: {imported.summary}")
    for problem in imported.problems:
        say(f"photos: problem: {problem}")
