"""Damage files: bytes by a random generator, JSON and arrays by hypothesis."""

import functools
import io
import json
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from PIL import Image

HOSTILE_NUMBERS = (0, -1, 1, 255, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**64, 10**400)
HOSTILE_FLOATS = (0.0, -0.0, 1e-320, 1e308, -1e308, 1e-9, 1e9, 1e200, float("inf"), float("-inf"), float("nan"))
HOSTILE_TEXTS = (
    "", ".", "..", "../../../etc/passwd", "/etc/passwd", "/dev/zero", "/dev/stdin", "C:\\x", "\0", "a" * 5000, "\ud83e",
    "images/../../x", "%s%n", "${oc.env:HOME}", "file:///etc/passwd", "\n\n", "NaN", "\u202e", "con", "~", "~root/x",
)  # fmt: skip

Mutation = Callable[[Path], None]
"""Changes one file in place."""

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(HOSTILE_NUMBERS),
    st.integers(),
    st.sampled_from(HOSTILE_FLOATS),
    st.floats(),
    st.sampled_from(HOSTILE_TEXTS),
    st.text(max_size=20),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)


@st.composite
def json_edits(draw: Any) -> Mutation:
    """One to four edits of a JSON tree: a value replaced, removed, repeated, nested deeply, or under another key."""
    edits = draw(
        st.lists(
            st.tuples(
                st.lists(st.integers(0, 10**6), min_size=1, max_size=8),
                st.sampled_from(["replace", "replace", "replace", "remove", "repeat", "deepen", "scale", "rename"]),
                values,
                st.sampled_from(HOSTILE_TEXTS),
            ),
            min_size=1,
            max_size=4,
        )
    )

    abyss = draw(st.integers(0, 39)) == 0

    def mutate(path: Path) -> None:
        if abyss:  # deeper than Python's parser goes
            path.write_text('{"frames": ' + "[" * 100_000)
            return
        content = json.loads(path.read_text())
        for way, action, value, key in edits:
            content = _edit(content, way, action, key if action == "rename" else value)
        path.write_text(json.dumps(content), errors="surrogatepass")

    return mutate


@st.composite
def small_words(draw: Any) -> Mutation:
    """Change one to four 16-bit words with small numbers: in a flatbuffer these are offsets, indices and sizes."""
    edits = draw(
        st.lists(
            st.tuples(st.integers(0, 10**9), st.sampled_from([0, 1, 2, 4, 5, 8, 63, 255, 2**15, 2**16 - 1])),
            min_size=1,
            max_size=4,
        )
    )

    def mutate(path: Path) -> None:
        content = bytearray(path.read_bytes())
        small = [i for i in range(0, len(content) - 1, 2) if 0 < int.from_bytes(content[i : i + 2], "little") < 128]
        for choice, value in edits:
            place = small[choice % len(small)]
            content[place : place + 2] = value.to_bytes(2, "little")
        path.write_bytes(content)

    return mutate


def _edit(tree: Any, way: list[int], action: str, value: Any) -> Any:
    """The tree with the node at `way` (a choice per level) changed."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    if not keys or not way or (len(way) == 1 and action == "replace" and not keys):
        if action == "scale" and isinstance(tree, (int, float)) and not isinstance(tree, bool):
            scale = len(str(value)) % 40 - 20
            return tree * 10.0**scale if abs(tree) < 1e300 else tree * 10 ** abs(scale)  # integers have no end
        return value if action != "deepen" else _deep(tree)
    key = keys[way[0] % len(keys)]
    if action == "remove" and len(way) == 1:
        del tree[key]
    elif action == "rename" and isinstance(tree, dict) and len(way) == 1:
        tree[value] = tree.pop(key)
    elif action == "repeat" and isinstance(tree, list) and len(way) == 1:
        tree *= 2
    else:
        tree[key] = _edit(tree[key], way[1:], action, value)
    return tree


def _deep(value: Any) -> Any:
    for _ in range(500):
        value = [value]
    return value


def change_bytes(path: Path, rng: random.Random) -> None:
    """One to six random changes: bits, interesting integers, chunks removed, doubled, swapped or zeroed, truncation."""
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        if not data:
            break
        at, length = _place(data, rng), rng.choice([1, 2, 4, 8, 16, 64, 1024])
        kind = rng.randrange(9)
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.choice([0, 1, 127, 128, 255, ord("{"), ord("-"), ord("9"), ord("/"), ord(".")])
        elif kind in (2, 3):
            width = rng.choice([1, 2, 4, 8])
            number = rng.choice(HOSTILE_NUMBERS[:-1]) % 256**width
            data[at : at + width] = number.to_bytes(width, rng.choice(["little", "big"]))
        elif kind == 4:
            del data[at : at + length]
        elif kind == 5:
            data[at:at] = data[at : at + length] * rng.choice([1, 2, 50])
        elif kind == 6:
            data[at : at + length] = rng.randbytes(length)
        elif kind == 7:
            data[at : at + 8] = struct.pack("<d", rng.choice(HOSTILE_FLOATS))
        else:
            del data[at:]
    path.write_bytes(data)


def _place(data: bytearray, rng: random.Random) -> int:
    """Headers matter most: half of the places are in the first 256 bytes."""
    return rng.randrange(min(len(data), 256)) if rng.random() < 0.5 else rng.randrange(len(data))


def png(width: int, height: int, depth: int, color: int, content: bytes) -> bytes:
    """A PNG with any header; with few bytes behind it, a decompression bomb."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def _small(format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), (9, 99, 199)).save(stream, format, **options)
    return stream.getvalue()


def jpeg(width: int, height: int) -> bytes:
    content = _small("JPEG")
    at = content.index(b"\xff\xc0") + 5  # behind the marker, the segment's length and the depth
    return content[:at] + struct.pack(">HH", height % 2**16, width % 2**16) + content[at + 4 :]


def gif(width: int, height: int) -> bytes:
    content, size = _small("GIF"), struct.pack("<HH", width % 2**16, height % 2**16)
    at = content.index(b",\0\0\0\0") + 5  # the picture's own size, behind its place in the screen
    return content[:6] + size + content[10:at] + size + content[at + 4 :]


def tiff(width: int, height: int) -> bytes:
    content = bytearray(_small("TIFF"))
    (directory,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", content, entry)
        if tag in (0x100, 0x101, 0x116):  # width, height, rows of a strip
            struct.pack_into("<HII", content, entry + 2, 4, 1, (width if tag == 0x100 else height) % 2**32)
    return bytes(content)


def webp(width: int, height: int) -> bytes:
    content = bytearray(_small("WEBP", lossless=True))
    at = content.index(b"VP8L") + 9  # behind the chunk's length and a signature
    (bits,) = struct.unpack_from("<I", content, at)
    size = (width - 1) % 2**14 | (height - 1) % 2**14 << 14
    struct.pack_into("<I", content, at, bits & ~(2**28 - 1) | size)
    return bytes(content)


CLAIMS = {"jpeg": jpeg, "gif": gif, "tiff": tiff, "webp": webp}
"""Format -> a picture of 16x16 pixels whose header claims another size."""


@st.composite
def bombs(draw: Any) -> Mutation:
    """A picture whose header claims any size: PNG or another format, whatever the file's suffix."""
    side = st.one_of(st.integers(0, 300), st.sampled_from([4096, 16384, 65535, 2**31 - 1, 2**32 - 1]))
    width, height = draw(side), draw(side)
    if (form := draw(st.sampled_from(["png", "png", *CLAIMS]))) != "png":
        return lambda path: _write(path, CLAIMS[form](width, height))
    depth, color = draw(st.sampled_from([1, 2, 4, 8, 16])), draw(st.sampled_from([0, 2, 3, 4, 6]))
    zeros = zlib.compress(bytes(draw(st.sampled_from([0, 100, 10**6, 3 * 10**7]))))
    return lambda path: _write(path, png(width, height, depth, color, zeros))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@st.composite
def arrays(draw: Any) -> Mutation:
    """A .npy file whose header claims any shape and type; or an .npz with a gigabyte of zeros in a megabyte."""
    if draw(st.integers(0, 19)) == 0:
        return lambda path: _write(path, _npz())
    side = st.one_of(st.integers(0, 40), st.sampled_from([17, 12, 10**6, 10**12, -1, 2**63]))
    shape = tuple(draw(st.lists(side, max_size=4)))
    kind = draw(st.sampled_from(["<f8", "<f4", ">f8", "<i4", "|O", "|S9", "<U5", "<c16", "|b1", "<f2", "x", "<M8[s]"]))
    head = f"{{'descr': {kind!r}, 'fortran_order': {draw(st.booleans())}, 'shape': {shape}, }}"
    body = draw(st.binary(max_size=64)) + draw(st.sampled_from([b"", bytes(12 * 17 * 8), b"\xff" * (12 * 17 * 8)]))
    version = draw(st.sampled_from([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"]))
    size = struct.pack("<H" if version[0] == 1 else "<I", len(head) + 1)
    return lambda path: _write(path, b"\x93NUMPY" + version + size + head.encode() + b"\n" + body)


@functools.cache
def _npz() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("arr_0.npy", "w") as member:
        head = "{'descr': '<f8', 'fortran_order': False, 'shape': (7895160, 17), }"
        member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head) + 1) + head.encode() + b"\n")
        for _ in range(1024):
            member.write(bytes(2**20))
    return stream.getvalue()


@st.composite
def colmap_texts(draw: Any) -> Mutation:
    """One to four words of a COLMAP text file replaced, removed or repeated."""
    word = st.one_of(
        st.sampled_from([str(number) for number in (*HOSTILE_NUMBERS, *HOSTILE_FLOATS)]), st.sampled_from(HOSTILE_TEXTS)
    )
    action = st.sampled_from(["replace", "replace", "remove", "repeat"])
    edits = draw(st.lists(st.tuples(st.integers(0, 10**6), action, word), min_size=1, max_size=4))

    def mutate(path: Path) -> None:
        words = re.split(r"(\s+)", path.read_text())  # with what is between them
        for choice, action, value in edits:
            at = choice % len(words)
            words[at : at + 1] = {"replace": [value], "remove": [], "repeat": 3 * words[at : at + 2]}[action]
        path.write_text("".join(words), errors="surrogatepass")

    return mutate


@st.composite
def colmap_binaries(draw: Any) -> Mutation:
    """One to four fields of a COLMAP binary file replaced: counts, ids, sizes, numbers."""
    edits = draw(
        st.lists(
            st.tuples(st.integers(0, 10**6), st.sampled_from(HOSTILE_NUMBERS), st.sampled_from(HOSTILE_FLOATS)),
            min_size=1,
            max_size=4,
        )
    )

    def mutate(path: Path) -> None:
        content = bytearray(path.read_bytes())
        fields = _colmap_fields(bytes(content))
        for choice, number, value in edits:
            at, form = fields[choice % len(fields)]
            size = struct.calcsize(form)
            new = struct.pack("<d", value) if form == "<d" else (number % 256**size).to_bytes(size, "little")
            content[at : at + size] = new
        path.write_bytes(content)

    return mutate


def _colmap_fields(content: bytes) -> list[tuple[int, str]]:
    """Position and format of values that look like fields: counts and ids are small, coordinates moderate."""
    fields = []
    for at in range(len(content) - 7):
        (number,), (value,) = struct.unpack_from("<Q", content, at), struct.unpack_from("<d", content, at)
        if number < 1000:
            fields += [(at, "<Q"), (at, "<I")]
        elif 1e-3 < abs(value) < 1e4:
            fields.append((at, "<d"))
    return fields


@st.composite
def checkpoints(draw: Any) -> Mutation:
    """A checkpoint, still a valid archive, with one to four edits of its content."""
    way = st.lists(st.integers(0, 10**6), min_size=1, max_size=4)
    edits = draw(
        st.lists(st.tuples(way, st.sampled_from(["replace", "remove", "rename"]), values), min_size=1, max_size=4)
    )

    def mutate(path: Path) -> None:
        content = torch.load(path, weights_only=True)
        for way, action, value in edits:
            content = _edit(content, way, action, str(value) if action == "rename" else value)
        torch.save(content, path)

    return mutate


@st.composite
def safetensors_heads(draw: Any) -> Mutation:
    """A safetensors file with an edited JSON header, or an edit of nelf's own JSON in it."""
    edit, inner = draw(json_edits()), draw(st.booleans())

    def mutate(path: Path) -> None:
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        head, beside = json.loads(data[8 : 8 + length]), path.with_suffix(".head")
        beside.write_text(head["__metadata__"]["nelf"] if inner else json.dumps(head))
        edit(beside)
        text = beside.read_text(errors="surrogatepass")
        beside.unlink()
        if inner:
            head["__metadata__"]["nelf"] = text
            text = json.dumps(head)
        encoded = text.encode(errors="surrogatepass")
        path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data[8 + length :])

    return mutate


KEYS = (
    "scene.path", "scene.near", "scene.up", "scene.type", "scene.downscale", "train.max_steps", "train.max_minutes",
    "student",
    "student.width", "student.family", "student.fine_nodes", "student.depth_spacing", "distill.views",
    "distill.folder", "export.targets", "eval.video_seconds", "device.threads", "name",
    "runs", "teacher", "teacher.max_minutes", "experiment", "photos.size", "hydra.run.dir", "hydra.searchpath",
    "scene_type", "",
)  # fmt: skip
WORDS = (
    "null", "true", "nan", "inf", "-1", "0", "1e999", "[]", "[1,2", "{a:1}", "${scene.path}", "${oc.env:PATH}", "???",
    "${now:%Y}", "s,m", "range(1,9)", "glob(*)", "'", '"', "\\", "../x", "m@x", "choice(a,b)", "\n", "=", ":", "[[[[[",
    "${", "${a", "${nothing}", "${.}", "_target_", "os.system", "10000000000000000000000", "0x10", "1_000",
)  # fmt: skip


@st.composite
def overrides(draw: Any) -> list[str]:
    """One to three words that a user may write after `nelf run SCENE`."""
    value = st.one_of(
        st.sampled_from(WORDS), st.text(max_size=12), st.lists(st.sampled_from(WORDS), max_size=4).map("".join)
    )
    head = st.tuples(
        st.sampled_from(["", "", "", "+", "++", "~"]), st.one_of(st.sampled_from(KEYS), st.text(max_size=8))
    )
    one = st.tuples(head, st.sampled_from(["=", "=", "=", "", "=="]), value).map(lambda o: "".join((*o[0], o[1], o[2])))
    found: list[str] = draw(st.lists(one, min_size=1, max_size=3))
    return found
