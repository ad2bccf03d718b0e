"""Make a scene of photos or a video, in steps that you can interrupt."""

import dataclasses
import functools
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nelf.capture import advice, structure_from_motion, video
from nelf.capture.photos import FEWEST, RawPhotos, list_photos
from nelf.capture.prepare import Prepared, prepare
from nelf.capture.structure_from_motion import choose_pairs
from nelf.capture.video import BLURRED
from nelf.capture.write import write_imported
from nelf.core.errors import Interrupted, SceneError
from nelf.core.files import atomic_path, read_json, remove, remove_leftovers_of, sha256, write_json
from nelf.core.progress import ProgressLine, Stop
from nelf.scene import Problem
from nelf.scene.config import PhotosConfig


@dataclass
class PhotoFolder:
    """A folder with photos. name: of the scene, for messages.

    ordered: whether each photo was taken right after the one before it.
    """

    root: Path
    name: str
    ordered = False

    def digest(self) -> Any:
        """JSON that changes when the content does."""
        return list_photos(self.root, self.name).digests()

    def photos(self, folder: Path, config: PhotosConfig, ask: Callable[[], None]) -> RawPhotos:
        """The photos; files made for them go into `folder`. ask: raises when the user asked to stop."""
        return list_photos(self.root, self.name)


@dataclass
class Video:
    """A video file. See PhotoFolder."""

    path: Path
    name: str
    ordered = True

    def digest(self) -> Any:
        """The SHA-256 of the video, as JSON. Raises SceneError where there is no such file."""
        if not self.path.is_file():
            what = "is a folder; for photos: nelf data import photos FOLDER" if self.path.is_dir() else "does not exist"
            raise SceneError(f"video {self.path} {what}")
        return {"video": sha256(self.path)}

    def photos(self, folder: Path, config: PhotosConfig, ask: Callable[[], None]) -> RawPhotos:
        """Sharp frames, evenly apart, as files in `folder`. Raises SceneError where the view hardly changes."""
        with ProgressLine("video: looking at frames", 1.0) as line:

            def looked(share: float) -> None:
                ask()
                line.update(share)

            chosen = video.choose(video.judge(self.path, looked), config.frames)
        if len(chosen) < FEWEST:
            raise SceneError(
                f"video '{self.name}': its view hardly changes: only {len(chosen)} different frames were found; "
                "walk around the scene while recording"
            )
        with ProgressLine("video: taking frames", len(chosen), "frames") as line:

            def taken(done: int) -> None:
                ask()
                line.update(done)

            files = video.extract(self.path, chosen, folder / "frames", config.size, taken)
        return RawPhotos(self.name, tuple(files), (None,) * len(files))


Source = PhotoFolder | Video


FILE = "transforms.json"
METHOD = 1  # increase it when the same photos give another scene
MADE_FROM = "made_from.json"


@dataclass(frozen=True)
class Imported:
    """An imported scene. summary: one line. problems: what to shoot better, one line each."""

    folder: Path
    summary: str
    problems: tuple[str, ...]


def import_scene(source: Source, out: Path, config: PhotosConfig, stop: Stop, echo: Callable[[str], None]) -> Imported:
    """Make the scene `out`, unless it exists and comes from the same photos.

    It appears whole or not at all. Only one process may work on it. Interrupted work stays in a folder next to it, and
    the same call goes on from there.
    Raises SceneError, ConfigError, Interrupted.
    """
    ask = functools.partial(_ask, stop)
    remove_leftovers_of(out)
    made_from = _digest(source, config)
    found = read_imported(out)
    if found is not None and found["made_from"] == made_from:
        echo(f"photos: {out} is up to date")
        return _imported(out, found)
    if found is None and out.exists() and (out.is_file() or any(out.iterdir())):
        raise SceneError(f"{out} exists and is not an imported scene; remove it, or choose another folder with --out")
    folder = out.with_name(f".{out.name}.working")
    structure_from_motion.import_pycolmap(source.name)
    _start_or_go_on(folder, made_from)
    prepared = _prepared(source, folder, config, ask)
    solution, evidence = _solve(source, prepared, folder, config, ask)
    problems = advice.of_photos(prepared) + advice.of_solution(prepared, evidence, solution)
    provenance = {"made_from": made_from, "config": dataclasses.asdict(config)}
    with atomic_path(out) as temporary:
        write_imported(temporary, folder, prepared, solution, source.name, problems, provenance, ask)
    remove(folder)
    found = read_imported(out)
    assert found is not None
    return _imported(out, found)


def check_photos(source: Source, config: PhotosConfig) -> tuple[list[tuple[str, str]], list[Problem]]:
    """Check raw photos without estimating poses. Returns rows of label and value, and problems.

    Does everything that an import does before that, and raises the same errors.
    """
    structure_from_motion.import_pycolmap(source.name)
    with tempfile.TemporaryDirectory(prefix="nelf-photos-") as folder:
        prepared = _prepared(source, Path(folder), config, lambda: None)
    height, width = prepared.size
    focal = "not in EXIF; found with the poses" if prepared.focal is None else f"{prepared.focal:.1f} pixels"
    rows = [
        ("photos", f"{source.name}: {len(prepared.photos)} photos without poses"),
        ("image size", f"{width} x {height} (width x height) as used"),
        ("focal length", focal),
    ]
    return rows, advice.of_photos(prepared)


def _prepared(source: Source, folder: Path, config: PhotosConfig, ask: Callable[[], None]) -> Prepared:
    """Write the working pictures to `folder`. Raises SceneError when they are useless."""
    raw = source.photos(folder, config, ask)
    with ProgressLine("photos: pictures", len(raw.photos), "photos") as line:

        def one_more(done: int) -> None:
            ask()
            line.update(done)

        prepared = prepare(raw, folder, config.size, one_more, config.skip_others)
    if all(photo.sharpness < BLURRED for photo in prepared.photos):
        raise SceneError(
            f"photos '{source.name}': all {len(prepared.photos)} photos are blurred or show only plain surfaces; "
            "take sharp ones: more light, hold still, wait for the focus"
        )
    return prepared


def _solve(
    source: Source, prepared: Prepared, folder: Path, config: PhotosConfig, ask: Callable[[], None]
) -> tuple[structure_from_motion.Solution, structure_from_motion.Evidence]:
    with structure_from_motion.errors_in_one_line(folder, source.name):
        structure_from_motion.find_features(prepared, folder, config, source.name, ask)
        pairs = choose_pairs(len(prepared.photos), config.matching, source.ordered)
        structure_from_motion.match(pairs, prepared, folder, config.seed, source.name, ask)
        evidence = structure_from_motion.read_evidence(prepared, folder, source.name)
        solution = structure_from_motion.find_poses(prepared, folder, config.seed, source.name, ask)
    if solution is None:
        reason = advice.why_nothing(prepared, evidence)
        raise SceneError(f"photos '{source.name}': found no camera poses: {reason}")
    return solution, evidence


def _ask(stop: Stop) -> None:
    if stop.requested:
        raise Interrupted("photos: stopped; the same command goes on from there")


def _start_or_go_on(folder: Path, made_from: str) -> None:
    """Keep working files of these photos; remove those of others."""
    try:
        same = read_json(folder / MADE_FROM) == made_from
    except (OSError, ValueError):
        same = False
    if not same:
        remove(folder)
        write_json(folder / MADE_FROM, made_from)


def _digest(source: Source, config: PhotosConfig) -> str:
    text = json.dumps(
        {"method": METHOD, "photos": source.digest(), "config": dataclasses.asdict(config)}, sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()


def read_imported(out: Path) -> dict[str, Any] | None:
    """How an imported scene was made; None if `out` is not one, or is incomplete."""
    try:
        content = read_json(out / FILE)
        whole = all((out / frame["file_path"]).is_file() for frame in content["frames"])
        made = content["nelf"]["photos"]
        return made if whole and isinstance(made["made_from"], str) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _imported(out: Path, found: dict[str, Any]) -> Imported:
    summary = (
        f"{found['placed']} of {found['of']} photos placed, "
        f"reprojection error {found['reprojection_error']:.2f} pixels, "
        f"parallax {found['parallax_degrees']:.1f} degrees (median), {found['points']} points"
    )
    return Imported(out, summary, tuple(found["problems"]))
