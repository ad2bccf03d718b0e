"""Where raw photos come from: a folder of them, or a video."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nelf.errors import SceneError
from nelf.photos import video
from nelf.photos.config import PhotosConfig
from nelf.photos.folder import FEWEST, RawPhotos, list_photos
from nelf.progress import ProgressLine
from nelf.storage import sha256


@dataclass
class PhotoFolder:
    """A folder with photos. name: of the scene, for messages.

    ordered: whether each photo was taken just after the one before it.
    """

    root: Path
    name: str
    ordered = False

    def digest(self) -> Any:
        """What tells today's content from another, as JSON."""
        return list_photos(self.root, self.name).digests()

    def photos(self, folder: Path, config: PhotosConfig, ask: Callable[[], None]) -> RawPhotos:
        """The photos; `folder` is for files that have to be made. ask: raises when the user asked to stop."""
        return list_photos(self.root, self.name)


@dataclass
class Video:
    """A video file. See PhotoFolder."""

    path: Path
    name: str
    ordered = True

    def digest(self) -> Any:
        if not self.path.is_file():
            what = "is a folder; for photos: nelf data import photos FOLDER" if self.path.is_dir() else "does not exist"
            raise SceneError(f"video {self.path} {what}")
        return {"video": sha256(self.path)}

    def photos(self, folder: Path, config: PhotosConfig, ask: Callable[[], None]) -> RawPhotos:
        with ProgressLine("video: looking at frames", 1.0) as line:

            def looked(share: float) -> None:
                ask()
                line.update(share)

            chosen = video.choose(video.judge(self.path, looked), config.frames)
        if len(chosen) < FEWEST:
            raise SceneError(
                f"video '{self.name}': the view hardly changes in it, only {len(chosen)} different frames were found; "
                "walk around the scene while recording"
            )
        with ProgressLine("video: taking frames", len(chosen), "frames") as line:

            def taken(done: int) -> None:
                ask()
                line.update(done)

            files = video.extract(self.path, chosen, folder / "frames", config.size, taken)
        return RawPhotos(self.name, tuple(files), (None,) * len(files))


Source = PhotoFolder | Video
