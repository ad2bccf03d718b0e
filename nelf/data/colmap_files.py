"""Whether COLMAP's large binary files are whole.

pycolmap believes the counts in them: cut short at the wrong place, a file of 100 bytes keeps it busy for minutes.
Layout: https://colmap.github.io/format.html
"""

import struct
from pathlib import Path

POINT_HEAD = 43  # id u64, xyz 3 f64, rgb 3 u8, error f64
POINT_TRACK = 8  # image u32, point u32
IMAGE_HEAD = 64  # id u32, rotation 4 f64, translation 3 f64, camera u32
IMAGE_POINT = 24  # xy 2 f64, point u64


def check_complete(model: Path) -> None:
    """Raise ValueError when images.bin or points3D.bin of the model's folder ends before its content does."""
    for name, walk in (("images.bin", _images_end), ("points3D.bin", _points_end)):
        path = model / name
        if not path.is_file():
            continue
        data = path.read_bytes()
        try:
            whole = walk(data) <= len(data)
        except (struct.error, ValueError):
            whole = False
        if not whole:
            raise ValueError(f"{name} ends too early, after {len(data)} bytes")


def _points_end(data: bytes) -> int:
    """Where the last point ends. Reading a count behind the end raises struct.error."""
    count, position = _count(data, 0), 8
    for _ in range(count):
        position += POINT_HEAD
        position += 8 + POINT_TRACK * _count(data, position)
    return position


def _images_end(data: bytes) -> int:
    count, position = _count(data, 0), 8
    for _ in range(count):
        position = data.index(b"\0", position + IMAGE_HEAD) + 1  # the image's name
        position += 8 + IMAGE_POINT * _count(data, position)
    return position


def _count(data: bytes, position: int) -> int:
    return int(struct.unpack_from("<Q", data, position)[0])
