"""Find a scene's format, read it, and split its views. Training, validation and test views never overlap."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nelf.core.errors import SceneError
from nelf.scene.bounds import decide
from nelf.scene.config import SceneConfig, check_folder
from nelf.scene.formats.colmap import FOLDERS, detect_colmap, load_colmap
from nelf.scene.formats.llff import detect_llff, load_llff
from nelf.scene.formats.phones import detect_polycam, detect_record3d, load_polycam, load_record3d
from nelf.scene.formats.transforms import detect_blender, detect_transforms, load_blender, load_transforms
from nelf.scene.images import Photo, photo_files
from nelf.scene.parsed import FrameErrors, ParsedFrame, ParsedScene, Problem
from nelf.scene.pictures import Picture, look_at, look_at_all, readable
from nelf.scene.scene import Scene
from nelf.scene.validate import Prepared, make_views, prepare

SPLITS = ("train", "val", "test")


def split_frames(
    frames: Sequence[ParsedFrame], config: SceneConfig, need: Sequence[str], want: Sequence[str]
) -> tuple[dict[str, list[int]], list[Problem]]:
    """Indices of the frames of each split, and problems.

    If the format has no split, views 0, n, 2n, ... are test views (n = holdout, LLFF's rule), and every val_holdout-th
    of the others is a validation view. If it has one, but lacks a validation split that is needed or wanted, training
    views become validation views. An empty split that is needed is a fatal problem.
    """
    problems: list[Problem] = []
    if any(frame.split for frame in frames):
        chosen = {split: [i for i, frame in enumerate(frames) if frame.split == split] for split in SPLITS}
        if "val" in (*need, *want) and not chosen["val"] and config.val_holdout:
            chosen["train"], chosen["val"] = _take_out(chosen["train"], config.val_holdout)
        if chosen["val"] and not any(frame.split == "val" for frame in frames):
            problems.append(
                Problem(
                    f"the scene has no val views; {len(chosen['val'])} of the training views are used instead",
                    "add a val split, or set scene.val_holdout to hold out more or fewer",
                )
            )
    else:
        everything = range(len(frames))
        test = [i for i in everything if config.holdout and i % config.holdout == 0]
        rest = [i for i in everything if i not in set(test)]
        train, val = _take_out(rest, config.val_holdout) if config.val_holdout else (rest, [])
        chosen = {"train": train, "val": val, "test": test}
    return chosen, [_empty(split, frames) for split in need if not chosen[split]] + problems


def _take_out(indices: list[int], every: int) -> tuple[list[int], list[int]]:
    """Take every n-th out, from the middle of each run of n. Takes at least one if two stay for training."""
    offset = min(every, len(indices)) // 2
    taken = indices[offset::every] if len(indices) > 2 else []
    return [i for i in indices if i not in set(taken)], taken


def _empty(split: str, frames: Sequence[ParsedFrame]) -> Problem:
    what = f"no {split} views among the {len(frames)} views"
    if any(frame.split for frame in frames):
        remedy = f"add transforms_{split}.json, or {split}_filenames to transforms.json, with at least one view"
        command = "nelf train {scene}" if split == "test" else ""
    elif split == "train":
        remedy = "give at least 3, so that some can be held out, or set scene.holdout=0 and `nelf train` on all"
        command = "nelf train {scene} scene.holdout=0"
    else:
        key = "scene.holdout" if split == "test" else "scene.val_holdout"
        remedy = f"set {key} to 2 or more (every n-th view is held out), and give at least 3 views"
        command = f"nelf run {{scene}} {key}=8"
    return Problem(what, remedy, fatal=True, command=command)


# Tried in this order: formats written on purpose come before leftovers of tools.
FORMATS: dict[str, tuple[Callable[[Path], bool], Callable[[Path, SceneConfig, str, FrameErrors], ParsedScene]]] = {
    "transforms_train.json (Blender)": (detect_blender, load_blender),
    "transforms.json (nerfstudio, instant-ngp)": (detect_transforms, load_transforms),
    "poses_bounds.npy (LLFF)": (detect_llff, load_llff),
    f"{' or '.join(FOLDERS)} (COLMAP)": (detect_colmap, load_colmap),
    "keyframes/cameras (Polycam)": (detect_polycam, load_polycam),
    "metadata.json and rgb (Record3D)": (detect_record3d, load_record3d),
}


@dataclass(frozen=True)
class Loaded:
    """A scene, and what was noticed while reading it.

    capture: content of its files, including frames that cannot be used. faults: errors of these frames. pictures: what
    the images of each split show, if asked for.
    """

    scene: Scene
    prepared: Prepared
    capture: ParsedScene
    faults: FrameErrors
    pictures: Mapping[str, list[Picture]]


def load_scene(config: SceneConfig, need: Sequence[str] = ("train",), want: Sequence[str] = ()) -> Scene:
    """Read the scene in `config.path`. Raises SceneError.

    need: splits (train, val, test) that must not be empty. want: splits that are held out like those, but may be empty.
    """
    return load(config, need, want).scene


def load(
    config: SceneConfig,
    need: Sequence[str],
    want: Sequence[str] = (),
    tolerant: bool = False,
    pictures: bool = False,
) -> Loaded:
    """Read the scene. tolerant: skip frames that cannot be used and note fatal problems, instead of refusing the scene.

    pictures: decode all images, and decide type and bounds from those that can be decoded.
    """
    root = Path(config.path).expanduser()
    name = config.name or root.resolve().name
    faults = FrameErrors(name, tolerant=tolerant)
    capture = _read(root, config, name, faults)
    prepared = prepare(capture, root, config.allow_missing, faults)
    chosen, split_problems = split_frames(prepared.frames, config, need, want)
    capture.problems += split_problems
    fatal = [problem for problem in split_problems if problem.fatal]
    if fatal and not tolerant:
        raise SceneError(f"scene '{name}': {fatal[0]}")
    splits = {split: make_views(prepared, chosen[split], name) for split in SPLITS}
    looked = look_at_all(splits) if pictures else {}
    train = splits["train"] if chosen["train"] else make_views(prepared, range(len(prepared.frames)), name)
    if pictures:
        train = readable(train, looked["train"] or look_at(train))
    bounds = decide(config, capture, prepared.c2w, train, prepared.channels, name)
    scene = Scene(
        **vars(bounds),
        name=name,
        root=root,
        format=capture.format,
        splits=splits,
        channels=prepared.channels,
        files=(*capture.files, *dict.fromkeys(path.relative_to(root) for path in _paths(prepared.photos))),
        problems=tuple(str(problem) for problem in capture.problems),
    )
    return Loaded(scene, prepared, capture, faults, looked)


def _paths(photos: Sequence[Photo]) -> Iterator[Path]:
    for photo in photos:
        yield photo.path
        if photo.depth is not None:
            yield photo.depth.path


def _read(root: Path, config: SceneConfig, name: str, faults: FrameErrors) -> ParsedScene:
    check_folder(root)
    for detect, read in FORMATS.values():
        if detect(root):
            return read(root, config, name, faults)
    photos = photo_files(root)
    remedy = f"; it holds {len(photos)} photos: `nelf data import photos {root}` finds their poses" if photos else ""
    raise SceneError(f"scene '{name}': no known format in {root}; looked for {', '.join(FORMATS)}{remedy}")
