"""`load_scene`: find the format, read it, check it, decide kind and bounds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nelf.data.assemble import Prepared, make_views, prepare
from nelf.data.bounds import decide
from nelf.data.capture import Capture
from nelf.data.colmap import FOLDERS, detect_colmap, load_colmap
from nelf.data.config import SceneConfig, check_folder
from nelf.data.faults import Faults
from nelf.data.images import Photo
from nelf.data.llff import detect_llff, load_llff
from nelf.data.paths import photo_files
from nelf.data.phones import detect_polycam, detect_record3d, load_polycam, load_record3d
from nelf.data.pictures import Picture, look_at, look_at_all, readable
from nelf.data.scene import Scene
from nelf.data.splits import SPLITS, split_frames
from nelf.data.transforms import detect_blender, detect_transforms, load_blender, load_transforms
from nelf.errors import SceneError

# Looked for in this order: what a user wrote on purpose before what a tool left behind.
FORMATS: dict[str, tuple[Callable[[Path], bool], Callable[[Path, SceneConfig, str, Faults], Capture]]] = {
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

    capture: what its files say, with the frames that cannot be used. faults: these frames'. pictures: what the images
    of each split show, where that was asked for.
    """

    scene: Scene
    prepared: Prepared
    capture: Capture
    faults: Faults
    pictures: Mapping[str, list[Picture]]


def load_scene(config: SceneConfig, need: Sequence[str] = ("train",), want: Sequence[str] = ()) -> Scene:
    """Read the scene in `config.path`.

    need: splits (train, val, test) that must not be empty. want: splits that are held out where the scene has none, as
    those needed are, but may be empty.
    """
    return load(config, need, want).scene


def load(
    config: SceneConfig,
    need: Sequence[str],
    want: Sequence[str] = (),
    tolerant: bool = False,
    pictures: bool = False,
) -> Loaded:
    """tolerant: go on with the frames that can be used, and note what is fatal, instead of refusing the scene.

    pictures: decode all images, and decide kind and bounds from those that can be decoded.
    """
    root = Path(config.path).expanduser()
    name = config.name or root.resolve().name
    faults = Faults(name, tolerant=tolerant)
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
    decision = decide(config, capture, prepared.c2w, train, prepared.channels, name)
    scene = Scene(
        name=name,
        root=root,
        format=capture.format,
        kind=decision.kind,
        splits=splits,
        near=decision.near,
        far=decision.far,
        center=decision.center,
        radius=decision.radius,
        up=decision.up,
        channels=prepared.channels,
        files=(*capture.files, *dict.fromkeys(path.relative_to(root) for path in _paths(prepared.photos))),
        problems=tuple(str(problem) for problem in capture.problems),
        kind_reason=decision.reason,
    )
    return Loaded(scene, prepared, capture, faults, looked)


def _paths(photos: Sequence[Photo]) -> Iterator[Path]:
    for photo in photos:
        yield photo.path
        if photo.depth is not None:
            yield photo.depth.path


def _read(root: Path, config: SceneConfig, name: str, faults: Faults) -> Capture:
    check_folder(root)
    for detect, read in FORMATS.values():
        if detect(root):
            return read(root, config, name, faults)
    photos = photo_files(root)
    remedy = f"; there are {len(photos)} photos: `nelf data import photos {root}` finds their poses" if photos else ""
    raise SceneError(f"scene '{name}': no known format in {root}; looked for {', '.join(FORMATS)}{remedy}")
