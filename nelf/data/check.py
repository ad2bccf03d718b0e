"""What is in a scene and what is wrong with it: what `nelf data check SCENE` prints. Decodes every image."""

import hashlib
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nelf.data.assemble import Prepared
from nelf.data.capture import Problem
from nelf.data.config import SceneConfig
from nelf.data.kind import axis_angle, camera_spread
from nelf.data.load import Loaded, load
from nelf.data.paths import list_images
from nelf.data.scene import Kind, Scene
from nelf.data.splits import SPLITS
from nelf.data.undistort import outside_share
from nelf.errors import SceneError

FEW_VIEWS = {Kind.OBJECT: 20, Kind.FORWARD_FACING: 10, Kind.UNBOUNDED: 20}
OUTSIDE = 0.02  # share of pixels without a source from which undistortion is worth a word
FOCAL_SPREAD = 1.05  # largest over smallest focal length
MANY_GB = 4.0  # training pixels from which memory is worth a word
SAME_PLACE = 1e-4  # of the camera spread
NAMED = 4  # views that a problem names


@dataclass(frozen=True)
class SceneReport:
    """rows: what was found, label and value. problems: what to know or to mend. scene: as it would be used."""

    scene: Scene
    rows: list[tuple[str, str]]
    problems: list[Problem]


def report(config: SceneConfig) -> SceneReport:
    """Load the scene without asking for any split, and look at all of it.

    Frames that cannot be used are among the problems. SceneError is raised where none can be, or none is listed.
    """
    loaded = load(config, need=(), tolerant=True)
    scene, problems = loaded.scene, loaded.faults.problems() + loaded.capture.problems
    problems += _empty_splits(scene)
    problems += _decoding(scene)
    problems += _poses(scene)
    problems += _lenses(loaded.prepared, scene.name)
    problems += _unused(loaded)
    problems += _memory(scene, config.downscale)
    return SceneReport(scene, _describe(scene, loaded.prepared), problems)


def _describe(scene: Scene, prepared: Prepared) -> list[tuple[str, str]]:
    fx, fy, cx, cy = torch.tensor([photo.intrinsics for photo in prepared.photos]).median(0).values.tolist()
    photo = prepared.photos[0]
    height, width = photo.height, photo.width
    along, across = camera_spread(prepared.c2w)
    lens = f"fx {fx:.2f}  fy {fy:.2f}  cx {cx:.2f}  cy {cy:.2f} pixels"
    view = f"{_degrees(width / fx)} x {_degrees(height / fy)} degrees"
    distorted = sum(any(photo.distortion) for photo in prepared.photos)
    return [
        ("scene", f"{scene.name} ({scene.root})"),
        ("format", scene.format),
        ("kind", f"{scene.kind.value}: {scene.kind_reason}"),
        ("views", ", ".join(f"{len(scene.splits[split])} {split}" for split in SPLITS)),
        ("image size", f"{width} x {height} (width x height), {'RGBA' if scene.channels == 4 else 'RGB'}"),
        ("intrinsics", lens),
        ("field of view", view),
        ("distortion", f"{distorted} views are undistorted when read" if distorted else "none"),
        ("depths", f"near {scene.near:.4g}, far {scene.far:.4g} along the view axis"),
        ("of interest", f"ball of radius {scene.radius:.4g} around {_vector(scene.center)}"),
        ("up", _vector(scene.up)),
        (
            "cameras",
            f"spread {across:.4g} across and {along:.4g} along the mean axis, within "
            f"{axis_angle(prepared.c2w):.0f} degrees of it",
        ),
    ]


def _empty_splits(scene: Scene) -> list[Problem]:
    found = []
    for split, user in (("train", "training needs"), ("test", "`nelf run` and `nelf eval` need")):
        if not len(scene.splits[split]):
            found.append(Problem(f"there are no {split} views", f"{user} a {split} split", fatal=True))
    if not len(scene.val):
        found.append(
            Problem("there are no val views", "every n-th training view is used (n = scene.val_holdout), or add some")
        )
    enough = FEW_VIEWS[scene.kind]
    if 0 < len(scene.train) < enough:
        found.append(
            Problem(
                f"{len(scene.train)} training views are few", f"{enough} or more give a usable {scene.kind.value} scene"
            )
        )
    return found


def _decoding(scene: Scene) -> list[Problem]:
    """Images that cannot be decoded, that are twice there, or whose alpha says nothing."""
    found = []
    contents: dict[bytes, list[tuple[str, str]]] = defaultdict(list)
    transparent = False
    invisible: list[str] = []
    for split in SPLITS:
        views = scene.splits[split]
        for i, name in enumerate(views.names):
            try:
                image = views.read(i)
            except SceneError as error:
                found.append(Problem(str(error).removeprefix(f"scene '{scene.name}': "), "", fatal=True))
                continue
            if scene.channels == 4:
                transparent |= bool((image[..., 3] < 255).any())
                if not image[..., 3].any():
                    invisible.append(f"{split}/{name}")
            if int(np.ptp(image[..., :3])) > 0:  # views of one colour say nothing about being copies
                contents[hashlib.blake2b(image.tobytes(), digest_size=16).digest()].append((split, name))
    for copies in contents.values():
        splits = {split for split, _ in copies}
        names = ", ".join(f"{split}/{name}" for split, name in copies[:NAMED])
        if len(splits) > 1:
            found.append(
                Problem(f"the same image is in {' and '.join(sorted(splits))}: {names}", "keep it in one split only")
            )
        elif len(copies) > 1:
            found.append(Problem(f"the same image is there {len(copies)} times: {names}", "remove the copies"))
    if invisible:
        found.append(
            Problem(
                f"{_views_are(invisible)} transparent all over (alpha is 0)",
                "they say that there is nothing; remove them, or mend their alpha",
            )
        )
    if scene.channels == 4 and not transparent:
        found.append(Problem("the alpha of all images is opaque", "save them as RGB, the result is smaller"))
    return found


def _poses(scene: Scene) -> list[Problem]:
    """Views from one and the same pose."""
    names = [f"{split}/{name}" for split in SPLITS for name in scene.splits[split].names]
    c2w = torch.cat([scene.splits[split].c2w for split in SPLITS])
    if len(c2w) < 2 or len(c2w) > 5000:
        return []
    spread = max(float((c2w[:, :, 3] - c2w[:, :, 3].mean(0)).norm(dim=1).max()), 1e-9)
    apart = torch.cdist(c2w[:, :, 3] / spread, c2w[:, :, 3] / spread, compute_mode="donot_use_mm_for_euclid_dist")
    turned = torch.cdist(c2w[:, :, 2], c2w[:, :, 2], compute_mode="donot_use_mm_for_euclid_dist")
    same = torch.triu((apart < SAME_PLACE) & (turned < SAME_PLACE), diagonal=1)
    # Views of training come first. Test paths may pass a place twice, as NeRF-synthetic's do.
    pairs = same[: len(scene.train)].nonzero()
    if len(pairs) == 0:
        return []
    first, second = pairs[0].tolist()
    what = f"{len(pairs)} pairs of views have one pose, the first is {names[first]} and {names[second]}"
    return [Problem(what, "remove the copies, above all those that are in different splits")]


def _lenses(prepared: Prepared, name: str) -> list[Problem]:
    found = []
    focal = [photo.intrinsics[0] for photo in prepared.photos]
    if max(focal) / min(focal) > FOCAL_SPREAD:
        found.append(
            Problem(
                f"focal lengths differ from {min(focal):.1f} to {max(focal):.1f} pixels",
                "a student renders one field of view: check that no zoomed or cropped photo is among them",
            )
        )
    uneven = max(abs(math.log(photo.intrinsics[0] / photo.intrinsics[1])) for photo in prepared.photos)
    if uneven > math.log(FOCAL_SPREAD):
        found.append(
            Problem("fx and fy differ by more than 5 %", "check the image size that the intrinsics were made for")
        )
    photo = prepared.photos[0]
    _, _, cx, cy = photo.intrinsics
    if abs(cx / photo.width - 0.5) > 0.15 or abs(cy / photo.height - 0.5) > 0.15:
        found.append(
            Problem(f"the principal point ({cx:.1f}, {cy:.1f}) is far from the image's centre", "check cx and cy")
        )
    if any(photo.distortion):
        share = outside_share(photo.distortion, photo.intrinsics, photo.width, photo.height)
        if share > OUTSIDE:
            found.append(
                Problem(
                    f"undistortion has no source for {100 * share:.0f} % of the pixels, which repeat the border",
                    "undistort the photos beforehand and crop them",
                )
            )
    return found


def _memory(scene: Scene, downscale: int) -> list[Problem]:
    """Training pixels that are a lot to hold: the teacher's training keeps them all, as bytes."""
    height, width = scene.size
    gigabytes = len(scene.train) * height * width * scene.channels / 1e9
    if gigabytes <= MANY_GB:
        return []
    factor = downscale * math.ceil(math.sqrt(gigabytes / MANY_GB))
    what = f"the pixels of the {len(scene.train)} training views take {gigabytes:.1f} GB of memory"
    return [Problem(what, f"set scene.downscale={factor}, or have the memory")]


def _unused(loaded: Loaded) -> list[Problem]:
    """Images beside the used ones that no frame names."""
    scene = loaded.scene
    used: dict[Path, set[str]] = defaultdict(set)
    for frame in loaded.capture.frames:
        if frame.path is not None:
            used[(scene.root / frame.path).parent].add(frame.path.name)
    found = []
    for folder, names in used.items():
        unused = [path.name for path in list_images(folder) if path.name not in names]
        unused = [name for name in unused if not _is_named(Path(name).stem, loaded.faults.found)]
        # NeRF-synthetic's test folders hold depth and normal maps beside the images: those are no photos left out.
        unused = [name for name in unused if not any(name.startswith(f"{Path(n).stem}_") for n in names)]
        if unused:
            what = f"{len(unused)} images in {folder.relative_to(scene.root)} have no frame, the first is {unused[0]}"
            found.append(Problem(what, "they are not used; give them poses or remove them"))
    return found


def _is_named(stem: str, faults: list[str]) -> bool:
    """Whether a fault is about the image: its frame may have been given up before the image was looked for."""
    return any(re.search(rf"(?<!\w){re.escape(stem)}(?!\w)", fault) for fault in faults)


def _views_are(names: list[str]) -> str:
    """How many views, and the first few by name: "3 views (a, b, c) are"."""
    listed = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"{len(names)} view{'s' if len(names) > 1 else ''} ({listed}) {'are' if len(names) > 1 else 'is'}"


def _degrees(size_over_focal: float) -> str:
    return f"{2 * math.degrees(math.atan(0.5 * size_over_focal)):.1f}"


def _vector(values: torch.Tensor) -> str:
    floor = 1e-6 * float(values.abs().max())
    return "(" + ", ".join(f"{value if abs(value) > floor else 0.0:.4g}" for value in values.tolist()) + ")"
