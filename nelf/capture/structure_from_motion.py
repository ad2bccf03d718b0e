"""Camera poses by structure from motion (COLMAP through pycolmap)."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from nelf.capture.photos import masks_folder, pictures_folder
from nelf.capture.prepare import Prepared
from nelf.core.errors import SceneError, one_line
from nelf.core.files import refused_by_the_system, remove
from nelf.core.processes import usable_cores
from nelf.core.progress import ProgressLine
from nelf.scene.config import PhotosConfig

ALL_PAIRS_UP_TO = 100  # photos: above that every pair takes longer than everything else together
NEIGHBOURS = 10  # following photos that each is compared with
KEYS = 40  # photos, evenly spread, that are compared with each other: they close a loop


def all_pairs(count: int) -> list[tuple[int, int]]:
    return list(combinations(range(count), 2))


def sequential_pairs(count: int) -> list[tuple[int, int]]:
    """Each photo with the next ones, with those 2^i farther on, and some spread over all with each other."""
    steps = [*range(1, NEIGHBOURS + 1), *(2**i for i in range(4, 32) if NEIGHBOURS < 2**i < count)]
    pairs = {(i, i + step) for i in range(count) for step in steps if i + step < count}
    keys = sorted({round(i * (count - 1) / (KEYS - 1)) for i in range(KEYS)}) if count > 1 else []
    return sorted(pairs | set(combinations(keys, 2)))


def choose_pairs(count: int, matching: str, ordered: bool) -> list[tuple[int, int]]:
    """matching: see PhotosConfig. ordered: the photos follow each other, as frames of a video do."""
    sequential = matching == "sequential" or (matching == "auto" and (ordered or count > ALL_PAIRS_UP_TO))
    return sequential_pairs(count) if sequential else all_pairs(count)


DATABASE = "features.db"
PHOTOS_AT_ONCE = 4  # between looks at whether to stop
PAIRS_AT_ONCE = 40
MANY = 20  # photos from which tangential distortion, and the principal point, can be told
UNKNOWN_FOCAL = 1.2  # focal length over the longest side that mapping starts from where EXIF has none (COLMAP's)
LONGEST_TRACK_ERROR = 2.0  # pixels; points that are off by more say nothing about depths
SHORTEST_TRACK = 3  # photos that must see a point for it to count

Ask = Callable[[], None]
"""Raises when the user asked to stop."""


@dataclass(frozen=True)
class Solution:
    """What was found.

    placed: indices into the prepared photos, ascending. c2w: float64 [n, 3, 4], OpenGL axes, any scale and orientation.
    intrinsics: fx, fy, cx, cy in working pixels. distortion: k1, k2, k3, p1, p2.
    points: [m, 3], seen by three photos or more. angle: of each point the largest angle, in degrees, between two rays
    that see it, and their median. error: mean reprojection error, working pixels.
    others: number of photos of each other model.
    """

    placed: list[int]
    c2w: Float[np.ndarray, "n 3 4"]
    intrinsics: tuple[float, float, float, float]
    distortion: tuple[float, float, float, float, float]
    points: Float[np.ndarray, "m 3"]
    angle: float
    error: float
    others: list[int]


@dataclass(frozen=True)
class Evidence:
    """features: number found in each photo. inliers: [n, n] matches of each pair that fit one motion."""

    features: Int[np.ndarray, "n"]
    inliers: Int[np.ndarray, "n n"]


def import_pycolmap(name: str) -> Any:
    try:
        import pycolmap
    except ImportError as error:
        raise SceneError(
            f"photos '{name}': finding poses needs pycolmap; install it: pip install nelf[colmap]"
        ) from error
    pycolmap.logging.minloglevel = pycolmap.logging.stderrthreshold = int(pycolmap.logging.FATAL)
    pycolmap.logging.alsologtostderr = False
    return pycolmap


@contextlib.contextmanager
def errors_in_one_line(folder: Path, name: str) -> Iterator[None]:
    """COLMAP's own errors in the block: working files in `folder` that it can neither read nor write."""
    try:
        yield
    except RuntimeError as error:
        if refused_by_the_system(error) is not None:
            raise
        said = one_line(error)
        raise SceneError(
            f"photos '{name}': COLMAP gave up ({said}); most likely the disk is full: make room, and give the same "
            f"command again. If that does not help, remove its working files first: {folder}"
        ) from error


def find_features(prepared: Prepared, folder: Path, config: PhotosConfig, name: str, ask: Ask) -> None:
    """SIFT of every working picture in `folder`, into its database; what is there is kept."""
    pycolmap = import_pycolmap(name)
    database, pictures = folder / DATABASE, pictures_folder(folder)
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "OPENCV" if len(prepared.photos) >= MANY else "SIMPLE_RADIAL"
    height, width = prepared.size
    focal = prepared.focal or UNKNOWN_FOCAL * max(height, width)
    lens = [focal, focal, width / 2, height / 2] if len(prepared.photos) >= MANY else [focal, width / 2, height / 2]
    if prepared.focal:
        reader.camera_params = ",".join(map(str, [*lens, *[0.0] * (4 if len(prepared.photos) >= MANY else 1)]))
    if masks_folder(folder).is_dir():
        reader.mask_path = str(masks_folder(folder))
    options = pycolmap.FeatureExtractionOptions()
    options.use_gpu, options.num_threads = False, usable_cores()
    options.max_image_size = config.feature_size
    options.sift.max_num_features = config.features
    _remove_if_damaged(database)
    there, camera = _with_features(database, pycolmap)
    files = [photo.file for photo in prepared.photos if photo.file not in there]
    with ProgressLine("photos: features", len(files), "photos") as line:
        for first in range(0, len(files), PHOTOS_AT_ONCE):
            ask()
            some = files[first : first + PHOTOS_AT_ONCE]
            if camera is not None:  # else each call would make a camera of its own
                reader.existing_camera_id = camera
            pycolmap.extract_features(
                str(database),
                str(pictures),
                image_names=some,
                camera_mode=pycolmap.CameraMode.SINGLE,
                reader_options=reader,
                extraction_options=options,
                device=pycolmap.Device.cpu,
            )
            _, camera = _with_features(database, pycolmap)
            line.update(first + len(some))


def _remove_if_damaged(database: Path) -> None:
    """What a machine left that died: COLMAP's threads would end the process over it. Features are found again."""
    if not database.is_file():
        return
    try:
        with contextlib.closing(sqlite3.connect(database)) as opened:
            whole = opened.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    except sqlite3.DatabaseError:
        whole = False
    if not whole:
        for path in database.parent.glob(f"{database.name}*"):  # SQLite's own files beside it, too
            remove(path)


def _with_features(database: Path, pycolmap: Any) -> tuple[set[str], int | None]:
    """Files whose features the database has, and the one camera that took them."""
    if not database.is_file():
        return set(), None
    opened = pycolmap.Database.open(str(database))
    try:
        files = {image.name for image in opened.read_all_images() if opened.exists_descriptors(image.image_id)}
        return files, min((camera.camera_id for camera in opened.read_all_cameras()), default=None)
    finally:
        opened.close()


def match(pairs: Sequence[tuple[int, int]], prepared: Prepared, folder: Path, seed: int, name: str, ask: Ask) -> None:
    """Compare the pairs (indices into the prepared photos); those that the database has are skipped."""
    pycolmap = import_pycolmap(name)
    options, verification = pycolmap.FeatureMatchingOptions(), pycolmap.TwoViewGeometryOptions()
    options.use_gpu, options.num_threads = False, usable_cores()
    verification.ransac.random_seed = seed
    pairing, listed = pycolmap.ImportedPairingOptions(), folder / "pairs.txt"
    pairing.match_list_path = str(listed)
    with ProgressLine("photos: matches", len(pairs), "pairs") as line:
        for first in range(0, len(pairs), PAIRS_AT_ONCE):
            ask()
            some = pairs[first : first + PAIRS_AT_ONCE]
            listed.write_text("".join(f"{prepared.photos[i].file} {prepared.photos[j].file}\n" for i, j in some))
            pycolmap.match_image_pairs(
                str(folder / DATABASE),
                matching_options=options,
                pairing_options=pairing,
                verification_options=verification,
                device=pycolmap.Device.cpu,
            )
            line.update(first + len(some))


def read_evidence(prepared: Prepared, folder: Path, name: str) -> Evidence:
    """What features and matches there are, to say why photos could not be placed."""
    pycolmap = import_pycolmap(name)
    count = len(prepared.photos)
    features, inliers = np.zeros(count, dtype=np.int64), np.zeros((count, count), dtype=np.int64)
    database = pycolmap.Database.open(str(folder / DATABASE))
    try:
        ids = {database.read_image_with_name(photo.file).image_id: i for i, photo in enumerate(prepared.photos)}
        for image, i in ids.items():
            features[i] = database.num_keypoints_for_image(image)
        pairs, counts = database.read_two_view_geometry_num_inliers()
        for pair, number in zip(pairs, counts, strict=True):
            first, second = (ids[image] for image in pycolmap.pair_id_to_image_pair(pair))
            inliers[first, second] = inliers[second, first] = number
    finally:
        database.close()
    return Evidence(features, inliers)


def find_poses(prepared: Prepared, folder: Path, seed: int, name: str, ask: Ask) -> Solution | None:
    """Incremental mapping; the model with most photos, refined at last. None where not one could be begun."""
    pycolmap = import_pycolmap(name)
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed, options.extract_colors = usable_cores(), seed, False
    options.min_model_size = 3
    token, stopped = pycolmap.CancellationToken(), []
    total = len(prepared.photos)
    with ProgressLine("photos: poses", total, "photos") as line:
        placed = 1

        def one_more() -> None:
            nonlocal placed
            placed = min(placed + 1, total)
            line.update(placed)
            try:
                ask()
            except Exception as error:  # must not pass through C++
                stopped.append(error)
                token.cancel()

        models_folder = folder / "models"
        models_folder.mkdir(exist_ok=True)
        models = pycolmap.incremental_mapping(
            str(folder / DATABASE),
            str(pictures_folder(folder)),
            str(models_folder),
            options,
            initial_image_pair_callback=one_more,
            next_image_callback=one_more,
            cancellation_token=token,
        )
    if stopped:
        raise stopped[0]
    found = sorted(models.values(), key=lambda model: (-model.num_reg_images(), -model.num_points3D()))
    if not found or found[0].num_reg_images() < 3:
        return None
    _refine(found[0], pycolmap)
    return _solution(found[0], [model.num_reg_images() for model in found[1:]], prepared)


def _refine(model: Any, pycolmap: Any) -> None:
    """One last adjustment, with the principal point free where there are photos enough to tell it."""
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_principal_point = model.num_reg_images() >= MANY
    options.print_summary = False
    options.ceres.solver_options.num_threads = usable_cores()
    config = pycolmap.BundleAdjustmentConfig()
    for image in model.reg_image_ids():
        config.add_image(image)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()
    model.update_point_3d_errors()


def _solution(model: Any, others: list[int], prepared: Prepared) -> Solution:
    index = {photo.file: i for i, photo in enumerate(prepared.photos)}
    images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: index[image.name])
    c2w = np.stack([opengl_pose(image.cam_from_world().matrix()) for image in images])
    where = {image.image_id: pose[:, 3] for image, pose in zip(images, c2w, strict=True)}
    points, angles = [], []
    for point in model.points3D.values():
        seen = sorted({element.image_id for element in point.track.elements})
        if len(seen) >= SHORTEST_TRACK and point.error <= LONGEST_TRACK_ERROR:
            points.append(point.xyz)
            angles.append(widest_angle(np.stack([where[i] for i in seen]) - point.xyz))
    assert len({image.camera_id for image in images}) == 1
    camera = model.camera(images[0].camera_id)
    fx, fy, cx, cy = camera.focal_length_x, camera.focal_length_y, camera.principal_point_x, camera.principal_point_y
    extra = [float(camera.params[i]) for i in camera.extra_params_idxs()]
    k1, k2, p1, p2 = (extra + [0.0] * 4)[:4]
    return Solution(
        placed=[index[image.name] for image in images],
        c2w=c2w,
        intrinsics=(float(fx), float(fy), float(cx), float(cy)),
        distortion=(k1, k2, 0.0, p1, p2),
        points=np.array(points, dtype=np.float64).reshape(-1, 3),
        angle=float(np.median(angles)) if angles else 0.0,
        error=float(model.compute_mean_reprojection_error()),
        others=others,
    )


def opengl_pose(world_to_camera: Float[np.ndarray, "3 4"]) -> Float[np.ndarray, "3 4"]:
    """Camera to world, OpenGL axes, of COLMAP's world to camera (y down, looks along +z)."""
    rotation = world_to_camera[:, :3].T
    center = -rotation @ world_to_camera[:, 3:]
    return np.concatenate([rotation * [1.0, -1.0, -1.0], center], axis=1)


def widest_angle(towards: Float[np.ndarray, "n 3"]) -> float:
    """Largest angle between two of the directions, in degrees."""
    unit = towards / np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-12)
    return float(np.degrees(np.arccos(np.clip((unit @ unit.T).min(), -1, 1))))
