"""Describe a scene and find its problems. `nelf data check` and `nelf run` use the same checks.

`problems` needs the scene's files and the images' headers; `pictures.picture_problems` decodes every image.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from nelf.core.cameras import focus_point, see_the_same
from nelf.core.errors import SceneError
from nelf.scene.bounds import axis_angle, camera_spread
from nelf.scene.config import SceneConfig
from nelf.scene.contact_sheet import gap_in_circle
from nelf.scene.images import list_images
from nelf.scene.lens import outside_share
from nelf.scene.load import SPLITS, Loaded, load
from nelf.scene.parsed import Problem
from nelf.scene.pictures import look_at_all, picture_problems, views_are
from nelf.scene.scene import Scene, SceneType
from nelf.scene.validate import Prepared

FEW_VIEWS = {SceneType.OBJECT: 20, SceneType.FORWARD_FACING: 10, SceneType.UNBOUNDED: 20}
FEWEST_VIEWS = 2  # for training: pseudo views lie between cameras
OUTSIDE = 0.02  # share of pixels without a source that makes undistortion worth a warning
MOSTLY_OUTSIDE = 0.5  # share that makes the scene useless
FOCAL_SPREAD = 1.05  # largest over smallest focal length
MANY_GB = 4.0  # of training pixels; worth a warning
SAME_PLACE = 1e-4  # of the camera spread
ONE_SPOT = 2e-3  # of the nearest depth: cameras that move less see things as from one spot
MOST_COMPARED = 5000  # views
AXES = "check the poses: nelf expects camera to world, x right, y up, and looking along -z"
NEEDED = ("train", "test")  # splits for `nelf run`


@dataclass(frozen=True)
class SceneReport:
    """rows: findings, label and value. problems: what to know or to correct, fatal ones first. loaded: the scene as it
    would be used, with its sources."""

    loaded: Loaded
    rows: list[tuple[str, str]]
    problems: list[Problem]

    @property
    def scene(self) -> Scene:
        """The scene that was loaded."""
        return self.loaded.scene


def report(config: SceneConfig) -> SceneReport:
    """Load the scene as `nelf run` does, and check all of it.

    Frames that cannot be used become problems. Raises SceneError when no frame can be used, or none is listed.
    """
    loaded = load(config, NEEDED, want=("val",), tolerant=True, pictures=True)
    found = picture_problems(loaded.scene, loaded.pictures) + problems(loaded, config.downscale)
    return SceneReport(loaded, _describe(loaded.scene, loaded.prepared), fatal_first(found))


def load_checked(config: SceneConfig, need: Sequence[str], want: Sequence[str] = ()) -> Scene:
    """Load the scene to work with it. Raises SceneError with its first fatal problem.

    Does not decode images: `check_pictures` does.
    """
    loaded = load(config, need, want, tolerant=True)
    refuse(loaded.scene, problems(loaded, config.downscale))
    return loaded.scene


def check_pictures(scene: Scene) -> None:
    """Decode every image. Raises SceneError with the first fatal problem."""
    refuse(scene, picture_problems(scene, look_at_all(scene.splits)))


def refuse(scene: Scene, found: Sequence[Problem]) -> None:
    """Raise SceneError if one of the problems is fatal."""
    fatal = [problem for problem in found if problem.fatal]
    if not fatal:
        return
    more = f" {len(fatal) - 1} more: nelf data check {scene.root}" if len(fatal) > 1 else ""
    end = "." if more and not str(fatal[0]).endswith(".") else ""
    raise SceneError(f"scene '{scene.name}': {fatal[0]}{end}{more}")


def fatal_first(found: Sequence[Problem]) -> list[Problem]:
    """Fatal problems first, otherwise in the same order."""
    return sorted(found, key=lambda problem: not problem.fatal)


def problems(loaded: Loaded, downscale: int) -> list[Problem]:
    """All problems that can be found without decoding an image."""
    scene = loaded.scene
    return [
        *loaded.faults.problems(),
        *loaded.capture.problems,
        *_few_views(scene),
        *_twice_listed(loaded.prepared, scene.name),
        *_poses(scene),
        *_directions(scene),
        *_lenses(loaded.prepared),
        *_unused(loaded),
        *_memory(scene, downscale),
    ]


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
        ("type", f"{scene.type.value}: {scene.type_reason}"),
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


def _few_views(scene: Scene) -> list[Problem]:
    found, count, enough = [], len(scene.train), FEW_VIEWS[scene.type]
    views = f"{count} training view{'s' * (count != 1)}"
    if 0 < count < FEWEST_VIEWS:
        what = f"{views} {'is' if count == 1 else 'are'} too few: pseudo views lie between training views"
        found.append(Problem(what, f"add photos, {enough} or more", fatal=True))
    if FEWEST_VIEWS <= count < enough:
        found.append(Problem(f"{views} are few", f"{enough} or more give a usable {scene.type.value} scene"))
    return found


def _twice_listed(prepared: Prepared, scene: str) -> list[Problem]:
    """Photos listed with different poses."""
    frames = defaultdict(list)
    for i, photo in enumerate(prepared.photos):
        frames[photo.path].append(i)
    contrary = []
    for path, numbers in frames.items():
        poses = prepared.c2w[numbers]
        if not torch.allclose(poses, poses[:1].expand_as(poses), rtol=SAME_PLACE, atol=SAME_PLACE):
            contrary.append((path, numbers))
    if not contrary:
        return []
    path, numbers = contrary[0]
    places = " and ".join(prepared.frames[i].where.removeprefix(f"scene '{scene}': ") for i in numbers[:2])
    more = f"; {len(contrary) - 1} more {'has' if len(contrary) == 2 else 'have'} too" if len(contrary) > 1 else ""
    what = f"{path.name} has {len(numbers)} different poses: {places}{more}"
    return [Problem(what, "keep the right frame of each photo", fatal=True)]


def _poses(scene: Scene) -> list[Problem]:
    """Views with the same pose."""
    names = [f"{split}/{name}" for split in SPLITS for name in scene.splits[split].names]
    c2w = torch.cat([scene.splits[split].c2w for split in SPLITS])
    if not 2 <= len(c2w) <= MOST_COMPARED:
        return []
    spread = max(float((c2w[:, :, 3] - c2w[:, :, 3].mean(0)).norm(dim=1).max()), 1e-9)
    apart = torch.cdist(c2w[:, :, 3] / spread, c2w[:, :, 3] / spread, compute_mode="donot_use_mm_for_euclid_dist")
    turned = torch.cdist(c2w[:, :, 2], c2w[:, :, 2], compute_mode="donot_use_mm_for_euclid_dist")
    same = torch.triu((apart < SAME_PLACE) & (turned < SAME_PLACE), diagonal=1)
    place = scene.train.c2w[:, :, 3]
    moved = float((place - place.mean(0)).norm(dim=1).max()) if len(place) else math.inf
    if len(place) > 1 and moved <= max(ONE_SPOT * scene.near, 1e-6 * float(place.abs().max())):
        what = f"all {len(place)} training cameras stand in one spot, so nothing shows how far away things are"
        return [Problem(what, "walk around the scene while you take photos, or find the poses again", fatal=True)]
    # Training views come first. Test paths may pass a place twice, as NeRF-synthetic's do.
    pairs = same[: len(scene.train)].nonzero()
    if len(pairs) == 0:
        return []
    first, second = pairs[0].tolist()
    which = "1 pair of views has" if len(pairs) == 1 else f"{len(pairs)} pairs of views have"
    what = f"{which} one pose{', the first is' * (len(pairs) > 1)}{':' * (len(pairs) == 1)} {names[first]} and "
    return [Problem(what + names[second], "remove the copies, most of all those in different splits")]


def _directions(scene: Scene) -> list[Problem]:
    """Views that share nothing with others, cameras that look out of their circle, and gaps in it."""
    views = scene.train
    if not FEWEST_VIEWS <= len(views) <= MOST_COMPARED:
        return []
    corner = torch.tensor([views.width, views.height]) / 2
    shared = see_the_same(views.c2w, torch.atan((corner / views.intrinsics[:, :2]).norm(dim=1)))
    alone = [views.names[i] for i in (shared.sum(1) < 2).nonzero()[:, 0].tolist()]  # each sees what itself sees
    if len(alone) == len(views):
        what = f"the {len(views)} training cameras look away from each other: no two of them can see the same thing"
        return [Problem(what, f"{AXES}; or take photos that share two thirds of what they show", fatal=True)]
    found = []
    if alone:
        found.append(Problem(f"{views_are(alone)} alone: no other camera sees what they show", "add photos in between"))
    backwards = ((focus_point(views.c2w) - views.c2w[:, :, 3]) * views.c2w[:, :, 2]).sum(1) > 0
    if scene.channels == 4 and bool(backwards.all()):
        what = "the images show an object with alpha, but all training cameras look away from each other"
        found.append(Problem(what, AXES, fatal=True))
    if (gap := gap_in_circle(scene)) is not None:
        first, second = views.names[gap.first], views.names[gap.second]
        found.append(
            Problem(
                f"no photo over {gap.degrees:.0f} degrees of the circle, between {first} and {second}",
                "take photos there, every 10 degrees or so; to see it",
                command="nelf data check {scene} --sheet cameras.png",
            )
        )
    return found


def _lenses(prepared: Prepared) -> list[Problem]:
    found = []
    focal = [photo.intrinsics[0] for photo in prepared.photos]
    if max(focal) / min(focal) > FOCAL_SPREAD:
        found.append(
            Problem(
                f"focal lengths differ from {min(focal):.1f} to {max(focal):.1f} pixels",
                "a student renders one field of view: check that no photo is zoomed or cropped",
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
    shares = {}
    for photo in prepared.photos:
        lens = photo.distortion, (photo.own or photo.camera).intrinsics, photo.width, photo.height
        if any(photo.distortion) and lens not in shares:
            shares[lens] = outside_share(*lens)
    worst = max(shares.values(), default=0.0)
    if worst > OUTSIDE:
        what = f"undistortion has no source for {100 * worst:.0f} % of the pixels, which repeat the border"
        if worst > MOSTLY_OUTSIDE:
            lens = max(shares, key=lambda lens: shares[lens])
            what = f"distortion k1, k2, k3, p1, p2 = {lens[0]} is impossible: {what}"
            found.append(Problem(what, "calibrate again, or undistort the photos beforehand", fatal=True))
        else:
            found.append(Problem(what, "undistort the photos beforehand and crop them"))
    return found


def _memory(scene: Scene, downscale: int) -> list[Problem]:
    """Training pixels that need much memory: the teacher's training keeps them all, as bytes."""
    height, width = scene.size
    gigabytes = len(scene.train) * height * width * scene.channels / 1e9
    if gigabytes <= MANY_GB:
        return []
    factor = downscale * math.ceil(math.sqrt(gigabytes / MANY_GB))
    what = f"the pixels of the {len(scene.train)} training views take {gigabytes:.1f} GB of memory"
    command = f"nelf run {{scene}} scene.downscale={factor}"
    return [Problem(what, f"set scene.downscale={factor}, or use a machine with more memory", command=command)]


def _unused(loaded: Loaded) -> list[Problem]:
    """Images next to the used ones that no frame names."""
    scene = loaded.scene
    used: dict[Path, set[str]] = defaultdict(set)
    for frame in loaded.capture.frames:
        if frame.path is not None:
            used[(scene.root / frame.path).parent].add(frame.path.name)
    # A frame may have failed before its image was looked for.
    faulty = {Path(fault.frame).stem for fault in loaded.faults.found}
    found = []
    for folder, names in used.items():
        unused = [path.name for path in list_images(folder) if path.name not in names]
        unused = [name for name in unused if Path(name).stem not in faulty]
        # NeRF-synthetic's test folders hold depth and normal maps as well.
        unused = [name for name in unused if not any(name.startswith(f"{Path(n).stem}_") for n in names)]
        if unused:
            where = folder.relative_to(scene.root)
            what = f"{len(unused)} images in {where} have no frame, the first is {unused[0]}"
            if len(unused) == 1:
                what = f"1 image in {where} has no frame: {unused[0]}"
            found.append(Problem(what, "they are not used; give them poses or remove them"))
    return found


def _degrees(size_over_focal: float) -> str:
    return f"{2 * math.degrees(math.atan(0.5 * size_over_focal)):.1f}"


def _vector(values: torch.Tensor) -> str:
    floor = 1e-6 * float(values.abs().max())
    return "(" + ", ".join(f"{value if abs(value) > floor else 0.0:.4g}" for value in values.tolist()) + ")"
