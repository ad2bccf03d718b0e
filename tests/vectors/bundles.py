"""Bundles for the vectors, good and broken. A case changes the text of a manifest, or the content of its files."""

from typing import Any

from nelf.export.coherence import Refusal, Unsupported
from tests.vectors.manifests import FILES, MANIFESTS

MODEL = '"path": "model.bin",\n      "role"'
SHA = MANIFESTS["around"]["files"][1]["sha256"]


def output(dtype: str, layout: str) -> tuple[str, str]:
    """Another output of the model, as text to replace and text instead."""
    as_text = '"dtype": "{}",\n      "layout": "{}"'
    return as_text.format("float32", "NHWC"), as_text.format(dtype, layout)


PICTURE = output("uint8", "CVPixelBuffer")


def bad(name: str, code: Refusal, *replace: tuple[str, str], manifest: str = "around", **change: Any) -> dict[str, Any]:
    case: dict[str, Any] = {"name": name, "manifest": manifest, "code": str(code)}
    return {**case, **({"replace": [list(pair) for pair in replace]} if replace else {}), **change}


def nested(deep: int) -> tuple[str, str]:
    """A manifest with a key of its own that makes it so many levels deep; the manifest itself is one."""
    return '"version": "1.1"', f'"version": "1.1", "new": {"[" * (deep - 1)}{"]" * (deep - 1)}'


def path(name: str, wrong: str) -> dict[str, Any]:
    """The model's entry among the files, named `wrong` (as written in JSON)."""
    return bad(name, Refusal.PATH_OUTSIDE, (MODEL, f'"path": "{wrong}",\n      "role"'))


BAD = [
    bad("no manifest", Refusal.MANIFEST_MISSING, files={"manifest.json": None}),
    bad("one byte more than 4 MiB", Refusal.MANIFEST_TOO_LARGE, pad=(4 << 20) + 1),
    bad("empty", Refusal.MANIFEST_UNREADABLE, text=""),
    bad("not JSON", Refusal.MANIFEST_UNREADABLE, text="name: vectors\n"),
    bad("cut in half", Refusal.MANIFEST_UNREADABLE, keep=900),
    bad("something after the end", Refusal.MANIFEST_UNREADABLE, ('"version": "1.1"\n}', '"version": "1.1"\n}}')),
    bad("a comma too many", Refusal.MANIFEST_UNREADABLE, ('"version": "1.1"\n', '"version": "1.1",\n')),
    bad("not UTF-8", Refusal.MANIFEST_UNREADABLE, base64="/v8AAHsAfQA="),
    bad("NaN", Refusal.MANIFEST_UNREADABLE, ('"near": 2.0', '"near": NaN')),
    bad("infinity", Refusal.MANIFEST_UNREADABLE, ('"far": 6.0', '"far": Infinity')),
    bad("a number beyond double precision", Refusal.MANIFEST_UNREADABLE, ('"far": 6.0', '"far": 1e999')),
    bad("nested without end", Refusal.MANIFEST_UNREADABLE, text="[" * 2000),
    bad("nested 65 deep", Refusal.MANIFEST_UNREADABLE, nested(65)),
    bad("a list", Refusal.NOT_A_BUNDLE, text="[1, 2]\n"),
    bad("null", Refusal.NOT_A_BUNDLE, text="null"),
    bad("another format", Refusal.NOT_A_BUNDLE, ("nelf-bundle", "gltf")),
    bad("no format", Refusal.NOT_A_BUNDLE, ('"format": "nelf-bundle",', "")),
    bad("a later major version", Refusal.VERSION_UNKNOWN, ('"version": "1.1"', '"version": "2.0"')),
    bad(
        "a later major version with other keys",
        Refusal.VERSION_UNKNOWN,
        text='{"format": "nelf-bundle", "version": "2.0"}',
    ),
    bad("a version of two digits", Refusal.VERSION_UNKNOWN, ('"version": "1.1"', '"version": "11.0"')),
    bad("an earlier major version", Refusal.VERSION_UNKNOWN, ('"version": "1.1"', '"version": "0.9"')),
    bad("a version without a minor", Refusal.MANIFEST_INVALID, ('"version": "1.1"', '"version": "1"')),
    bad("a version that is a number", Refusal.MANIFEST_INVALID, ('"version": "1.1"', '"version": 1.1')),
    bad("no camera", Refusal.MANIFEST_INVALID, ('"camera"', '"photo"')),
    bad("no radius", Refusal.MANIFEST_INVALID, ('"radius"', '"radii"')),
    bad("no file", Refusal.MANIFEST_INVALID, ('"sha256"', '"sha1"')),
    bad("a camera that is null", Refusal.MANIFEST_INVALID, ('"near": 2.0', '"near": null')),
    bad("a width in words", Refusal.MANIFEST_INVALID, ('"width": 48', '"width": "wide"')),
    bad("a width that is true", Refusal.MANIFEST_INVALID, ('"width": 48', '"width": true')),
    bad("a width with a fraction", Refusal.MANIFEST_INVALID, ('"width": 48', '"width": 48.5')),
    bad("a negative width", Refusal.MANIFEST_INVALID, ('"width": 48', '"width": -48')),
    bad("no height", Refusal.MANIFEST_INVALID, ('"height": 32', '"height": 0')),
    bad("an image beyond all screens", Refusal.MANIFEST_INVALID, ('"width": 48', '"width": 100000')),
    bad("five channels", Refusal.MANIFEST_INVALID, ('"channels": 4', '"channels": 5')),
    bad("straight alpha", Refusal.MANIFEST_INVALID, ('"premultiplied"', '"straight"')),
    bad("a background out of range", Refusal.MANIFEST_INVALID, ("[1.0, 1.0, 1.0]", "[1.0, 1.0, 255]")),
    bad("other axes", Refusal.MANIFEST_INVALID, ('"opengl"', '"opencv"')),
    bad("three intrinsics", Refusal.MANIFEST_INVALID, ("[50.0, 51.5, 24.0, 16.0]", "[50.0, 51.5, 24.0]")),
    bad("a negative focal length", Refusal.MANIFEST_INVALID, ("[50.0, 51.5", "[-50.0, 51.5")),
    bad("a near depth of zero", Refusal.MANIFEST_INVALID, ('"near": 2.0', '"near": 0')),
    bad("a focus of words", Refusal.MANIFEST_INVALID, ('"focus": [0.1, ', '"focus": ["x", ')),
    bad("an unknown region", Refusal.MANIFEST_INVALID, ('"shell"', '"torus"')),
    bad("an elevation above the zenith", Refusal.MANIFEST_INVALID, ("[-5.0, 85.0]", "[-5.0, 95.0]")),
    bad("an arc of more than a circle", Refusal.MANIFEST_INVALID, ('"azimuth_width": 360.0', '"azimuth_width": 361.0')),
    bad("a negative radius", Refusal.MANIFEST_INVALID, ("[3.0, 5.0]", "[-3.0, 5.0]")),
    bad("a pose of eleven numbers", Refusal.MANIFEST_INVALID, (", 3.0],", "],"), manifest="window"),
    bad("cameras without reach", Refusal.MANIFEST_INVALID, ('"reach": 1.4,', ""), manifest="ring"),
    bad("half precision", Refusal.MANIFEST_INVALID, ('"float32"', '"float16"')),
    bad("a pose of bytes", Refusal.MANIFEST_INVALID, ('"float32"', '"uint8"')),
    bad("an image of half precision", Refusal.MANIFEST_INVALID, output("float16", "NHWC")),
    bad("a negative size", Refusal.MANIFEST_INVALID, ('"bytes": 23', '"bytes": -23')),
    bad("a hash that is too short", Refusal.MANIFEST_INVALID, (SHA, SHA[:-1])),
    bad("a hash in capitals", Refusal.MANIFEST_INVALID, (SHA, SHA.upper())),
    bad("a file of another role", Refusal.MANIFEST_INVALID, ('"role": "model"', '"role": "script"')),
    bad("no files", Refusal.MANIFEST_INVALID, ('"files": [', '"files": [], "others": [')),
    bad("an unknown kind", Refusal.MANIFEST_INVALID, ('"kind": "object"', '"kind": "subject"')),
    bad("an empty name", Refusal.MANIFEST_INVALID, ('"name": "vectors"', '"name": ""')),
    bad("parity without a reason", Refusal.MANIFEST_INVALID, ('"reason"', '"because"')),
    bad("a pose of another shape", Refusal.SHAPE_MISMATCH, ("[1, 3, 4]", "[1, 4, 4]")),
    bad("an image of another shape", Refusal.SHAPE_MISMATCH, ("[1, 32, 48, 4]", "[1, 48, 32, 4]")),
    bad("alpha that the image lacks", Refusal.SHAPE_MISMATCH, ('"none"', '"premultiplied"'), manifest="window"),
    bad("up of length two", Refusal.DIRECTION_NOT_UNIT, ('"up": [0.0, 0.0, 1.0]', '"up": [0.0, 0.0, 2.0]')),
    bad("a slanted azimuth", Refusal.DIRECTION_NOT_UNIT, ('_zero": [1.0, 0.0, 0.0]', '_zero": [0.6, 0.0, 0.8]')),
    bad("a rotation with a scale", Refusal.ROTATION_INVALID, ("1.0, 0.0, 2.0", "1.1, 0.0, 2.0"), manifest="window"),
    bad("a mirrored pose", Refusal.ROTATION_INVALID, ("0.0, 1.0, 0.0, 2.0", "0.0, -1.0, 0.0, 2.0"), manifest="window"),
    bad(
        "a listed camera without a turn",
        Refusal.ROTATION_INVALID,
        ('"cameras": [\n      [', '"cameras": [\n      [9'),
        manifest="ring",
    ),
    bad("far before near", Refusal.RANGE_EMPTY, ('"far": 6.0', '"far": 1.0')),
    bad("radii reversed", Refusal.RANGE_EMPTY, ("[3.0, 5.0]", "[5.0, 3.0]")),
    bad("a box inside out", Refusal.RANGE_EMPTY, ("[-1.0, -0.5, -0.3]", "[-1.0, -0.5, 0.3]"), manifest="window"),
    path("a path upwards", "../model.bin"),
    path("a path down and upwards", "golden/../../model.bin"),
    path("an absolute path", "/etc/passwd"),
    path("a path with backslashes", "golden\\\\model.bin"),
    path("a path on a drive", "C:/model.bin"),
    path("a path on another machine", "//host/model.bin"),
    path("a path with a null", "model.bin\\u0000.png"),
    path("a path with a percent sign", "%2e%2e/model.bin"),
    path("the folder itself", "."),
    path("a path with a dot", "./model.bin"),
    path("a path that ends in a slash", "golden/"),
    path("a URL", "https://host/model.bin"),
    bad(
        "a model upwards",
        Refusal.PATH_OUTSIDE,
        ('"path": "model.bin",\n    "input"', '"path": "../model.bin",\n    "input"'),
    ),
    bad("golden poses upwards", Refusal.PATH_OUTSIDE, ('"golden": "golden/', '"golden": "../golden/')),
    bad("a file twice", Refusal.FILE_TWICE, ('"path": "golden/r_0.png"', '"path": "golden/poses.json"')),
    bad(
        "a model that is not listed",
        Refusal.FILE_UNLISTED,
        ('"path": "model.bin",\n    "input"', '"path": "other.bin",\n    "input"'),
    ),
    bad(
        "golden poses that are not listed",
        Refusal.FILE_UNLISTED,
        ('"golden": "golden/poses', '"golden": "golden/places'),
    ),
    bad("a file is missing", Refusal.FILE_MISSING, files={"golden/r_0.png": None}),
    bad("a file is longer", Refusal.FILE_SIZE, files={"golden/r_0.png": FILES["golden/r_0.png"] + "x"}),
    bad("a file is empty", Refusal.FILE_SIZE, files={"model.bin": ""}),
    bad("a changed byte", Refusal.FILE_CHANGED, files={"model.bin": FILES["model.bin"].replace("w", "W")}),
    bad("a changed hash", Refusal.FILE_CHANGED, (SHA, "0" + SHA[1:] if SHA[0] != "0" else "1" + SHA[1:])),
]

GOOD = [
    *({"name": name, "manifest": name} for name in MANIFESTS),
    {"name": "a later minor version", "manifest": "around",
     "replace": [['"version": "1.1"', '"version": "1.27", "new": [{}]']]},
    {"name": "the first version", "manifest": "around", "replace": [['"version": "1.1"', '"version": "1.0"']]},
    {"name": "a path of many folders", "manifest": "around", "replace": [["golden/r_0.png", "a b/..c/é/r_0.png"]],
     "files": {"golden/r_0.png": None, "a b/..c/é/r_0.png": FILES["golden/r_0.png"]}},
    {"name": "a file that is not listed", "manifest": "around", "files": {"notes.txt": "ours\n"}},
    {"name": "a file of the page around it", "manifest": "around",
     "replace": [['"path": "golden/r_0.png",\n      "role": "golden"', '"path": "index.html",\n      "role": "page"']],
     "files": {"golden/r_0.png": None, "index.html": FILES["golden/r_0.png"]}},
    {"name": "as Windows writes text", "manifest": "around", "replace": [["{\n", "{\r\n\t "]]},
    {"name": "exactly 4 MiB", "manifest": "around", "pad": 4 << 20},
    {"name": "nested 64 deep", "manifest": "around", "replace": [list(nested(64))]},
    {"name": "brackets in a string", "manifest": "around",
     "replace": [['"version": "1.1"', f'"version": "1.1", "new": "\\\\\\"{"[" * 99}"']]},
    {"name": "a picture of the system's", "manifest": "window", "replace": [list(PICTURE)]},
]  # fmt: skip


def viewer(name: str, target: str, *replace: tuple[str, str], **codes: str) -> dict[str, Any]:
    """A valid bundle for `target`, and of each app that does not show it the code."""
    pairs = [('"target": "any"', f'"target": "{target}"'), *replace]
    return {"name": name, "manifest": "window", "replace": [list(pair) for pair in pairs], "codes": codes}


TARGET, OUTPUT = map(str, Unsupported)
VIEWERS = [
    viewer("for ios", "ios", android=TARGET, web=TARGET),
    viewer("for android", "android", ios=TARGET),
    viewer("for the web", "web", ios=TARGET, android=TARGET),
    viewer("for none of them", "onnx", ios=TARGET, android=TARGET, web=TARGET),
    viewer("a picture for ios", "ios", PICTURE, android=TARGET, web=TARGET),
    viewer("a picture for android", "android", PICTURE, ios=TARGET, android=OUTPUT, web=OUTPUT),
    viewer(
        "bytes that are no picture, for ios", "ios", output("uint8", "NHWC"), ios=OUTPUT, android=TARGET, web=TARGET
    ),
    viewer("floats in another order", "android", output("float32", "NCHW"), ios=TARGET, android=OUTPUT, web=OUTPUT),
]


def bundle_cases() -> dict[str, Any]:
    return {"made_by": "python -m tests.vectors.make", "files": FILES, "good": GOOD, "bad": BAD, "viewers": VIEWERS}
