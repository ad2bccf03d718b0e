"""Manifests for the vectors: one for each way in which a region can be."""

import hashlib
import math
from typing import Any

FILES = {
    "model.bin": "the weights of a model\n",
    "parts/first.bin": "the weights of a first part\n",
    "parts/decoder.bin": "the weights of a decoder\n",
    "golden/poses.json": '{"views": []}\n',
    "golden/r_0.rgb": "a picture\n",
    "golden/r_0.rgba": "a picture with alpha\n",
}
"""Content of the files next to every manifest here, which lists the picture of its number of channels."""

PIXELS = {"width": 48, "height": 32}


def orbit(radius: tuple[float, float], elevation: tuple[float, float], start: float, width: float) -> dict[str, Any]:
    """Around (0.1, -0.2, 0.3), z upwards."""
    return {
        "center": [0.1, -0.2, 0.3],
        "up": [0.0, 0.0, 1.0],
        "radius": list(radius),
        "elevation": list(elevation),
        "azimuth_zero": [1.0, 0.0, 0.0],
        "azimuth_start": start,
        "azimuth_width": width,
        "type": "orbit",
    }


def tilted_orbit() -> dict[str, Any]:
    """Up along no axis."""
    return {
        **orbit((2.0, 2.0), (-10.0, 60.0), 350.0, 50.0),
        "up": [0.48, 0.64, 0.6],
        "azimuth_zero": [0.8, -0.6, 0.0],
    }


def box(low: list[float], high: list[float], angle: float) -> dict[str, Any]:
    """Before a camera at (1, 2, 3) that is turned by 30 degrees about y."""
    c, s = round(math.cos(math.radians(30)), 9), 0.5
    return {
        "reference": [c, 0.0, s, 1.0, 0.0, 1.0, 0.0, 2.0, -s, 0.0, c, 3.0],
        "low": low,
        "high": high,
        "angle": angle,
        "type": "box",
    }


def camera_at(eye: tuple[float, float, float], back: tuple[float, float, float]) -> list[float]:
    """c2w with up along y; nine decimals."""
    size = math.hypot(*back)
    x, y, z = (value / size for value in back)
    across = math.hypot(x, z)
    right = (z / across, 0.0, -x / across)
    up = (y * right[2] - z * right[1], z * right[0] - x * right[2], x * right[1] - y * right[0])
    rows = zip(right, up, (x, y, z), eye, strict=True)
    return [round(value, 9) + 0.0 for row in rows for value in row]


def ring() -> list[list[float]]:
    """Cameras around the origin that look at it, at uneven angles and heights."""
    cameras = []
    for i in range(14):
        angle, radius, height = 0.1 + 0.43 * i + 0.02 * (i % 3), 3 + 0.2 * (i % 4), 0.8 + 0.15 * (i % 5)
        eye = (round(radius * math.cos(angle), 6), round(height, 6), round(radius * math.sin(angle), 6))
        cameras.append(camera_at(eye, eye))
    return cameras


def room() -> list[list[float]]:
    """Cameras near one place that look outwards all around."""
    cameras = []
    for i in range(9):
        angle = 0.2 + 0.7 * i + 0.03 * (i % 4)
        eye = (round(0.05 * math.cos(3 * angle), 6), round(1.5 + 0.02 * (i % 3), 6), round(0.05 * math.sin(angle), 6))
        cameras.append(camera_at(eye, (-math.cos(angle), 0.1 * (i % 2), -math.sin(angle))))
    return cameras


def open_box(cameras: list[list[float]], max_distance: float, max_angle: float) -> dict[str, Any]:
    around = {"low": [-4.5, -3.0, -7.0], "high": [4.0, 1.0, 2.5], "angle": 180.0}
    return {**box(**around), "cameras": cameras, "max_distance": max_distance, "max_angle": max_angle}  # type: ignore[arg-type]


def manifest(scene_type: str, region: dict[str, Any], channels: int = 3, **camera: Any) -> dict[str, Any]:
    """A whole valid manifest, as nelf export writes it."""
    return {
        "name": "vectors",
        "scene_type": scene_type,
        "target": "any",
        "precision": "fp32",
        "image": {
            **PIXELS,
            "channels": channels,
            "alpha": "premultiplied" if channels == 4 else "none",
            "background": [1.0, 1.0, 1.0],
        },
        "camera": {
            "intrinsics": [50.0, 51.5, 24.0, 16.0],
            "near": 2.0,
            "far": 6.0,
            "up": [0.0, 1.0, 0.0],
            "focus": [0.0, 0.0, 0.0],
            "axes": "opengl",
            **camera,
        },
        "region": region,
        "model": {
            "path": "model.bin",
            "input": {"name": "pose", "shape": [1, 3, 4], "dtype": "float32", "layout": "row-major c2w"},
            "output": {
                "name": "image",
                "shape": [1, PIXELS["height"], PIXELS["width"], channels],
                "dtype": "float32",
                "layout": "NHWC",
            },
        },
        "files": [
            {
                "path": path,
                "role": "model" if path == "model.bin" else "golden",
                "bytes": len(content.encode()),
                "sha256": hashlib.sha256(content.encode()).hexdigest(),
            }
            for path, content in FILES.items()
            if path != f"golden/r_0.{'rgb' if channels == 4 else 'rgba'}" and not path.startswith("parts/")
        ],
        "golden": "golden/poses.json",
        "parity": {"status": "not_run", "reason": "made for tests"},
        "student": {"name": "none", "parameters": 1, "macs": 1},
        "deployment": {},
        "provenance": {"versions": {}},
        "format": "nelf-bundle",
        "version": "2.0",
    }


def in_tiles(whole: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a bundle with a program. The image has 4 x 6 blocks."""
    content = FILES["parts/first.bin"], FILES["parts/decoder.bin"]
    parts = [
        {**whole["files"][0], "path": path, "bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
        for path, text in zip(("parts/first.bin", "parts/decoder.bin"), content, strict=True)
    ]
    program = {
        "type": "tiles",
        "first": "parts/first.bin",
        "decoder": "parts/decoder.bin",
        "window": [4, 4],
        "window_reach": 1,
        "blocks": [30],
        "reach": 2,
        "channels": 9,
        "empty_below": 0.25,
        "easy_below": -4.5,
        "required_psnr": 50.0,
    }
    return {
        **whole,
        "model": {**whole["model"], "path": "parts"},
        "files": [*parts, *whole["files"][1:]],
        "program": program,
        "version": "3.0",
    }


Z_UP = {"up": [0.0, 0.0, 1.0], "focus": [0.1, -0.2, 0.3]}

MANIFESTS = {
    "around": manifest("object", orbit((3.0, 5.0), (-5.0, 85.0), 0.0, 360.0), 4, **Z_UP),
    "poles": manifest("object", orbit((0.0, 4.0), (-90.0, 90.0), 0.0, 360.0), **Z_UP),
    "arc": manifest("object", tilted_orbit(), 4, up=[0.48, 0.64, 0.6], focus=[0.1, -0.2, 0.3]),
    "point": manifest("object", orbit((4.0, 4.0), (30.0, 30.0), 120.0, 0.0), **Z_UP),
    "window": manifest("forward-facing", box([-1.0, -0.5, -0.3], [1.2, 0.4, 0.2], 20.0), focus=[-1.3, 1.8, -1.0]),
    "narrow": manifest("forward-facing", box([-1.0, 0.0, 0.0], [1.0, 0.0, 0.0], 3.0), focus=[-1.0, 2.2, -0.5]),
    "parallel": manifest("forward-facing", box([-2.0, -2.0, -2.0], [2.0, 2.0, 2.0], 0.0), focus=[9.0, 9.0, 9.0]),
    "wide": manifest("unbounded", box([-2.0, -2.0, -2.0], [2.0, 2.0, 2.0], 170.0), focus=[1.1, 2.1, 2.9], near=0.05),
    "ring": manifest("unbounded", open_box(ring(), 1.4, 30.0), near=0.1, far=300.0, focus=[0.1, 0.2, -0.1]),
    "room": manifest("unbounded", open_box(room(), 0.12, 45.0), near=0.1, far=90.0, focus=[0.0, 1.5, 0.01]),
    "alone": manifest("unbounded", open_box(ring()[3:4], 0.0, 5.0), near=0.1, far=300.0),
}
MANIFESTS["tiles"] = in_tiles(MANIFESTS["around"])
"""name -> manifest."""
