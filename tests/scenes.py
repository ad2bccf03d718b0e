"""Tiny scenes with consistent images, rendered analytically: a coloured ball, alone or in a coloured room.

The cameras and the rendering are plain numpy and share nothing with nelf, so that a loader with another idea
of axes or pixel centres does not pass. Each maker fills the folder that it is given and returns it.

    make_blender_scene(folder)       object, RGBA, cameras on the upper hemisphere, a JSON file each split
    make_plain_scene(folder)         the same without alpha, on a background of one colour
    make_nerfstudio_scene(folder)    unbounded, RGB JPEG or PNG, one transforms.json, distortion if asked
    make_llff_scene(folder)          forward-facing, RGB, poses_bounds.npy
    make_polycam_scene(folder)       unbounded, RGB, keyframes/cameras/*.json
    make_record3d_scene(folder)      unbounded, RGB, metadata.json
    make_colmap_scene(folder)        unbounded, RGB, sparse/0 written by pycolmap

Blender world: z up, ball of radius 1 at the origin, cameras 4 away.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BALL_RADIUS = 1.0
ROOM_RADIUS = 8.0
CAMERA_DISTANCE = 4.0
FIELD_OF_VIEW = 0.69


def pose_towards(eye: np.ndarray, target: np.ndarray, up: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> np.ndarray:
    """4x4 camera to world, OpenGL axes."""
    backward = (eye - target) / np.linalg.norm(eye - target)
    right = np.cross(np.asarray(up), backward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(backward, right), backward, eye], axis=1)
    return pose


def hemisphere_poses(count: int, seed: int = 0, distance: float = CAMERA_DISTANCE) -> np.ndarray:
    """[count, 4, 4]: cameras on the upper hemisphere that look at the origin."""
    poses = []
    for i in range(count):
        height = 0.15 + 0.7 * ((i + 0.5) / count)
        angle = 2.399963 * i + seed  # golden angle
        side = math.sqrt(1 - height * height)
        eye = distance * np.array([side * math.cos(angle), side * math.sin(angle), height])
        poses.append(pose_towards(eye, np.zeros(3)))
    return np.stack(poses)


def facing_poses(count: int) -> np.ndarray:
    """[count, 4, 4]: cameras side by side at z near 6 that look along -z (y up)."""
    poses = []
    for i in range(count):
        angle, reach = 2.399963 * i, 0.8 * math.sqrt((i + 0.5) / count)
        eye = np.array([reach * math.cos(angle), 0.6 * reach * math.sin(angle), 6.0 + 0.05 * math.sin(3 * angle)])
        poses.append(pose_towards(eye, np.array([0.1 * eye[0], 0.1 * eye[1], -2.0]), up=(0.0, 1.0, 0.0)))
    return np.stack(poses)


def render(
    pose: np.ndarray,
    focal: float,
    height: int,
    width: int,
    room: bool = False,
    points: np.ndarray | None = None,
) -> np.ndarray:
    """[height, width, 4] float in 0..1, straight alpha: ball and the room's wall (a far sphere) if asked.

    points: [height, width, 2] image points (x, y) to render instead of pixel centres, one sample a pixel.
    """
    if points is None:
        offsets = [(x, y) for y in (0.25, 0.75) for x in (0.25, 0.75)]
        columns, rows = np.meshgrid(np.arange(width), np.arange(height))
        samples = [_shade(np.stack([columns + x, rows + y], -1), pose, focal, height, width, room) for x, y in offsets]
    else:
        samples = [_shade(points, pose, focal, height, width, room)]
    premultiplied = np.mean([s * np.concatenate([s[..., 3:]] * 3 + [np.ones_like(s[..., 3:])], -1) for s in samples], 0)
    alpha = premultiplied[..., 3:]
    colour = np.where(alpha > 0, premultiplied[..., :3] / np.maximum(alpha, 1e-6), 0.0)
    return np.concatenate([colour, alpha], -1).clip(0, 1)


def _shade(points: np.ndarray, pose: np.ndarray, focal: float, height: int, width: int, room: bool) -> np.ndarray:
    camera = np.stack(
        [
            (points[..., 0] - width / 2) / focal,
            -(points[..., 1] - height / 2) / focal,
            -np.ones(points.shape[:-1]),
        ],
        -1,
    )
    direction = camera @ pose[:3, :3].T
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    colour = np.zeros((*points.shape[:-1], 4))
    if room:
        wall = _hit(pose[:3, 3], direction, ROOM_RADIUS, outermost=True)[1] / ROOM_RADIUS
        colour[..., :3] = 0.5 + 0.3 * np.sin(5 * wall + np.array([0.0, 1.0, 2.0]))
        colour[..., 3] = 1
    hit, position = _hit(pose[:3, 3], direction, BALL_RADIUS)
    stripes = 0.75 + 0.25 * np.tanh(4 * np.sin(6 * position[..., 2:]))
    colour[..., :3] = np.where(hit[..., None], (0.5 + 0.45 * position) * stripes, colour[..., :3])
    colour[..., 3] = np.where(hit, 1, colour[..., 3])
    return colour


def _hit(
    origin: np.ndarray, direction: np.ndarray, radius: float, outermost: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Whether unit rays hit the sphere of `radius` around the origin of the world, and where."""
    along = direction @ origin
    inside = along**2 - origin @ origin + radius**2
    root = np.sqrt(np.maximum(inside, 0))
    depth = -along + (root if outermost else -root)
    return (inside > 0) & (depth > 0), origin + depth[..., None] * direction


def to_bytes(image: np.ndarray, alpha: bool) -> np.ndarray:
    """uint8 [height, width, 4 or 3]."""
    return (image[..., : 4 if alpha else 3] * 255).round().astype(np.uint8)


def make_blender_scene(
    folder: Path,
    size: int = 16,
    views: tuple[int, int, int] = (8, 2, 2),
    alpha: bool = True,
    width: int | None = None,
) -> Path:
    """An object in Blender format: `views` are the counts of train, val and test (0 leaves that file out)."""
    width = width or size
    focal = 0.5 * width / math.tan(0.5 * FIELD_OF_VIEW)
    for seed, (split, count) in enumerate(zip(("train", "val", "test"), views, strict=True)):
        if count == 0:
            continue
        frames = []
        (folder / split).mkdir(parents=True)
        for i, pose in enumerate(hemisphere_poses(count, seed)):
            save(
                folder / split / f"r_{i}.png",
                to_bytes(render(pose, focal, size, width, room=not alpha), alpha),
            )
            frames.append({"file_path": f"./{split}/r_{i}", "rotation": 0.01, "transform_matrix": pose.tolist()})
        write_json(folder / f"transforms_{split}.json", {"camera_angle_x": FIELD_OF_VIEW, "frames": frames})
    return folder


def make_plain_scene(folder: Path, color: tuple[int, int, int] = (255, 255, 255), **options: Any) -> Path:
    """`make_blender_scene` as RGB: the ball before a background of one colour."""
    make_blender_scene(folder, **options)
    for path in folder.glob("*/*.png"):
        with Image.open(path) as image:
            plain = Image.alpha_composite(Image.new("RGBA", image.size, (*color, 255)), image).convert("RGB")
        plain.save(path)
    return folder


def make_nerfstudio_scene(
    folder: Path,
    size: int = 16,
    width: int = 24,
    views: int = 12,
    suffix: str = ".png",
    distortion: dict[str, float] | None = None,
    per_frame: bool = False,
) -> Path:
    """A ball in a room, one transforms.json; `distortion` (k1, k2, k3, p1, p2) is rendered in.

    per_frame: each photo has its own lens, with another focal length and centre.
    """
    focal = 0.5 * width / math.tan(0.5 * FIELD_OF_VIEW)
    points = None
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(size) + 0.5), -1)
    middle = np.array([width / 2, size / 2])
    if distortion:
        points = undistort_points(pixels, focal, size, width, **distortion)
    camera = {
        "fl_x": focal,
        "fl_y": focal,
        "cx": width / 2,
        "cy": size / 2,
        "w": width,
        "h": size,
        **(distortion or {}),
    }
    frames: list[dict[str, Any]] = []
    (folder / "images").mkdir(parents=True)
    for i, pose in enumerate(hemisphere_poses(views)):
        name = f"images/{i + 1:04d}{suffix}"
        own: dict[str, Any] = {}
        if per_frame:
            longer, center = focal * (1 + 0.05 * (i % 5)), middle + np.array([i % 3 - 1, i % 4 - 2])
            own = {**camera, "fl_x": longer, "fl_y": longer, "cx": float(center[0]), "cy": float(center[1])}
            points = (pixels - center) * focal / longer + middle  # where the shared lens has these rays
            if distortion:
                points = undistort_points(points, focal, size, width, **distortion)
        save(folder / name, to_bytes(render(pose, focal, size, width, room=True, points=points), alpha=False))
        frames.append({"file_path": name, "transform_matrix": pose.tolist(), **own})
    write_json(folder / "transforms.json", {**({} if per_frame else camera), "frames": frames})
    return folder


def distort_points(
    points: np.ndarray,
    focal: float,
    height: int,
    width: int,
    k1: float = 0.0,
    k2: float = 0.0,
    k3: float = 0.0,
    p1: float = 0.0,
    p2: float = 0.0,
) -> np.ndarray:
    """Where the OPENCV camera model puts the image points (x, y) of the ideal camera."""
    centre = np.array([width / 2, height / 2])
    x, y = np.moveaxis((points - centre) / focal, -1, 0)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    moved = np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ],
        -1,
    )
    return moved * focal + centre


def undistort_points(points: np.ndarray, focal: float, height: int, width: int, **coefficients: float) -> np.ndarray:
    """The inverse of `distort_points`, by fixed-point iteration."""
    ideal = points
    for _ in range(100):
        ideal = ideal + points - distort_points(ideal, focal, height, width, **coefficients)
    return ideal


def make_llff_scene(folder: Path, size: int = 24, width: int = 32, views: int = 16, factor: int = 8) -> Path:
    """A forward-facing scene: poses_bounds.npy for full-size photos, images_FACTOR of `size` x `width`."""
    focal = 0.8 * width
    (folder / f"images_{factor}").mkdir(parents=True)
    rows = []
    for i, pose in enumerate(facing_poses(views)):
        image = to_bytes(render(pose, focal, size, width, room=True), alpha=False)
        save(folder / f"images_{factor}" / f"image{i:03d}.png", image)
        right, up, backward, eye = pose[:3].T
        stored = np.stack([-up, right, backward, eye, [size * factor, width * factor, focal * factor]], axis=1)
        rows.append(np.concatenate([stored.ravel(), [4.0, 15.0]]))
    np.save(folder / "poses_bounds.npy", np.stack(rows))
    return folder


def make_colmap_scene(
    folder: Path,
    size: int = 16,
    width: int = 24,
    views: int = 12,
    text: bool = False,
    model: str = "PINHOLE",
    sparse: str = "sparse/0",
    distortion: tuple[float, ...] = (),
) -> Path:
    """A ball in a room as COLMAP reconstructs it, with 300 points on the ball; written by pycolmap."""
    import pycolmap

    focal = 0.5 * width / math.tan(0.5 * FIELD_OF_VIEW)
    heads = {"SIMPLE_PINHOLE": [focal], "SIMPLE_RADIAL": [focal], "RADIAL": [focal]}
    parameters = [*heads.get(model, [focal, focal]), width / 2, size / 2, *distortion]
    reconstruction = pycolmap.Reconstruction()
    reconstruction.add_camera_with_trivial_rig(
        pycolmap.Camera(model=model, width=width, height=size, params=parameters, camera_id=1)
    )
    (folder / "images").mkdir(parents=True)
    for i, pose in enumerate(hemisphere_poses(views)):
        name = f"photo_{i:03d}.png"
        save(folder / "images" / name, to_bytes(render(pose, focal, size, width, room=True), alpha=False))
        c2w = pose[:3] * np.array([1, -1, -1, 1])  # COLMAP's camera: y down, looks along +z
        rotation = c2w[:, :3].T
        world_to_camera = pycolmap.Rigid3d(np.concatenate([rotation, -rotation @ c2w[:, 3:]], axis=1))
        image = pycolmap.Image(name=name, camera_id=1, image_id=i + 1)
        reconstruction.add_image_with_trivial_frame(image, world_to_camera)
    random = np.random.default_rng(0)
    for direction in random.normal(size=(300, 3)):
        surface = BALL_RADIUS * direction / np.linalg.norm(direction)
        reconstruction.add_point3D(surface, pycolmap.Track(), np.array([200, 200, 200], np.uint8))
    (folder / sparse).mkdir(parents=True)
    (reconstruction.write_text if text else reconstruction.write_binary)(str(folder / sparse))
    return folder


def make_polycam_scene(folder: Path, size: int = 30, width: int = 40, views: int = 12, corrected: bool = True) -> Path:
    """A ball in a room as Polycam exports it raw: one JSON file per photo, ARKit's world (y up)."""
    focal = 0.5 * width / math.tan(0.5 * FIELD_OF_VIEW)
    prefix = "corrected_" if corrected else ""
    for i, pose in enumerate(hemisphere_poses(views)):
        arkit = pose[[1, 2, 0]]  # z up to y up
        camera = {f"t_{row}{column}": arkit[row, column] for row in range(3) for column in range(4)}
        camera |= {"fx": focal, "fy": focal, "cx": width / 2, "cy": size / 2, "width": width, "height": size}
        camera |= {"blur_score": 80.0, "neighbors": [], "timestamp": 1000 * i, "manual_keyframe": False}
        for kind in ("images", "cameras"):
            (folder / f"keyframes/{prefix}{kind}").mkdir(parents=True, exist_ok=True)
        write_json(folder / f"keyframes/{prefix}cameras/{1000 * i}.json", camera)
        image = to_bytes(render(pose, focal, size, width, room=True), alpha=False)
        save(folder / f"keyframes/{prefix}images/{1000 * i}.jpg", image)
    return folder


def make_record3d_scene(folder: Path, size: int = 30, width: int = 40, views: int = 12) -> Path:
    """A ball in a room as Record3D exports it: metadata.json for all photos, ARKit's world (y up)."""
    focal = 0.5 * width / math.tan(0.5 * FIELD_OF_VIEW)
    (folder / "rgb").mkdir(parents=True)
    poses = []
    for i, pose in enumerate(hemisphere_poses(views)):
        save(folder / f"rgb/{i}.jpg", to_bytes(render(pose, focal, size, width, room=True), alpha=False))
        arkit = pose[[1, 2, 0]]
        poses.append([*quaternion(arkit[:, :3]), *arkit[:, 3]])
    k = [focal, 0.0, 0.0, 0.0, focal, 0.0, width / 2, size / 2, 1.0]
    write_json(folder / "metadata.json", {"w": width, "h": size, "fps": 60, "K": k, "poses": poses})
    return folder


def quaternion(rotation: np.ndarray) -> list[float]:
    """x, y, z, w of a rotation: the eigenvector of Bar-Itzhack, "New method for extracting the quaternion", 2000."""
    r = rotation
    k = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], np.trace(r)],
        ]
    )
    vector: list[float] = np.linalg.eigh(k)[1][:, -1].tolist()
    return vector


def save(path: Path, image: np.ndarray) -> None:
    Image.fromarray(image).save(path, **({"quality": 97, "subsampling": 0} if path.suffix == ".jpg" else {}))


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def edit_json(path: Path, **changes: Any) -> dict[str, Any]:
    """Set top-level keys of a JSON file; returns its new content."""
    content: dict[str, Any] = {**json.loads(path.read_text()), **changes}
    write_json(path, content)
    return content
