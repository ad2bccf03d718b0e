"""transforms*.json: the Blender format (one file per split), and nerfstudio's and instant-ngp's (one file)."""

import math
import posixpath
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nelf.scene.config import SceneConfig
from nelf.scene.images import DepthFile, find_image
from nelf.scene.lens import Lens, LensError, check_lens
from nelf.scene.parsed import Fields, FrameErrors, ParsedFrame, ParsedScene, Problem, read_json, shorten
from nelf.scene.scene import SceneType

SPLITS = ("train", "val", "test")
SPLIT_KEYS = {"train": "train_filenames", "val": "val_filenames", "test": "test_filenames"}
CAMERA_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")


def detect_blender(root: Path) -> bool:
    """Whether a folder holds a scene in three splits, as Blender scripts write it."""
    return any((root / f"transforms_{split}.json").is_file() for split in SPLITS)


def load_blender(root: Path, config: SceneConfig, name: str, faults: FrameErrors) -> ParsedScene:
    """NeRF-synthetic: transforms_train.json and, optionally, transforms_val.json and transforms_test.json."""
    frames: list[ParsedFrame] = []
    files = []
    for split in SPLITS:
        if (root / f"transforms_{split}.json").is_file():
            files.append(Path(f"transforms_{split}.json"))
            shared = read_json(root / files[-1], name)
            frames += [replace(frame, split=split) for frame in _frames(root, shared, faults)]
    return ParsedScene("Blender", frames, config.downscale, files)


def detect_transforms(root: Path) -> bool:
    """Whether a folder holds one transforms.json."""
    return (root / "transforms.json").is_file()


def load_transforms(root: Path, config: SceneConfig, name: str, faults: FrameErrors) -> ParsedScene:
    """nerfstudio, instant-ngp, and scenes that nelf writes."""
    shared = read_json(root / "transforms.json", name)
    frames, problems = _assign_splits(_frames(root, shared, faults), shared)
    by = "nelf" if shared.has("nelf") else "nerfstudio / instant-ngp"
    capture = ParsedScene(by, frames, config.downscale, [Path("transforms.json")], problems=problems)
    capture.near, capture.far = shared.positive("near"), shared.positive("far")
    capture.center, capture.radius = shared.vector("center"), shared.positive("radius")
    capture.up = shared.vector("up")
    if capture.up is not None and math.hypot(*capture.up) < 1e-6:
        raise shared.error(f"has up = {list(capture.up)}; it must be a direction, such as [0, 0, 1]")
    kind = shared.text("scene_type")
    if kind is not None:
        if kind not in list(SceneType):
            raise shared.error(f"has scene_type = {shorten(kind)}; it must be one of {', '.join(SceneType)}")
        capture.type = SceneType(kind)
    return capture


def _frames(root: Path, shared: Fields, faults: FrameErrors) -> list[ParsedFrame]:
    frames = []
    for number, content in enumerate(shared.objects("frames")):
        with faults.of_a_frame(str(content.get("file_path") or f"frame {number}")):
            frames.append(_frame(root, shared, Fields(content, f"{shared.where}: frame {number}")))
    return frames


def _frame(root: Path, shared: Fields, own: Fields) -> ParsedFrame:
    listed = own.text("file_path")
    if not listed:
        raise own.error("has no file_path; it must name the image")
    own = Fields(own.content, f"{own.where} ({listed})")
    return ParsedFrame(
        where=own.where,
        listed=listed,
        path=find_image(root, listed, own.where),
        c2w=own.pose("transform_matrix"),
        lens=_lens(shared, own),
        depth=_depth(root, shared, own),
    )


def _depth(root: Path, shared: Fields, own: Fields) -> DepthFile | None:
    """The frame's depth map. Maps with unknown units (a phone's, for example) are ignored."""
    listed, scale = own.text("depth_file_path"), shared.positive("integer_depth_scale")
    if listed is None or scale is None:
        return None
    found = find_image(root, listed, own.where)
    if found is None:
        raise own.error(f"names the depth map {listed}, which does not exist; add it or remove depth_file_path")
    return DepthFile(found, scale)


def _lens(shared: Fields, own: Fields) -> Lens:
    """The frame's own numbers override the shared ones."""
    model = own.text("camera_model") or shared.text("camera_model") or "OPENCV"
    if model not in CAMERA_MODELS or shared.content.get("is_fisheye") or own.content.get("is_fisheye"):
        fisheye = shorten(model) if model not in CAMERA_MODELS else "fisheye"
        raise own.error(f"has camera model {fisheye}; use one of {', '.join(CAMERA_MODELS)}, or undistort the photos")

    def number(key: str) -> float | None:
        return own.number(key) if own.has(key) else shared.number(key)

    if (number("k4") or 0.0) != 0.0:
        raise own.error("has distortion k4, of a fisheye or rational model; use k1 k2 k3 p1 p2 or undistort the photos")
    lens = Lens(
        focal_x=number("fl_x"),
        focal_y=number("fl_y"),
        center_x=number("cx"),
        center_y=number("cy"),
        width=number("w"),
        height=number("h"),
        angle_x=number("camera_angle_x"),
        angle_y=number("camera_angle_y"),
        distortion=(
            number("k1") or 0.0,
            number("k2") or 0.0,
            number("k3") or 0.0,
            number("p1") or 0.0,
            number("p2") or 0.0,
        ),
    )
    try:
        return check_lens(lens)
    except LensError as error:
        raise own.error(str(error)) from error


def _assign_splits(frames: list[ParsedFrame], shared: Fields) -> tuple[list[ParsedFrame], list[Problem]]:
    """Splits by nerfstudio's lists of file names. Without lists no frame gets one."""
    listed: dict[str, Mapping[str, Any]] = {
        split: dict.fromkeys(posixpath.normpath(entry) for entry in shared.strings(key))
        for split, key in SPLIT_KEYS.items()
        if shared.has(key)
    }
    if not listed:
        return frames, []
    problems: list[Problem] = []
    chosen: list[ParsedFrame] = []
    dropped = 0
    for frame in frames:
        name = posixpath.normpath(frame.listed)
        members = [split for split in ("test", "val", "train") if name in listed.get(split, {})]
        dropped += not members
        if members:
            chosen.append(replace(frame, split=members[0]))
        if len(members) > 1 and not any("more than one" in p.what for p in problems):
            problems.append(
                Problem(
                    f"{frame.listed} is in more than one split ({', '.join(members)}) and counts as {members[0]} only, "
                    "as does every other such view",
                    "name each view in one of train_filenames, val_filenames, test_filenames",
                )
            )
    if dropped:
        problems.append(
            Problem(
                f"{dropped} of {len(frames)} frames are in no split and are not used",
                "add them to train_filenames, val_filenames or test_filenames",
            )
        )
    return chosen, problems
