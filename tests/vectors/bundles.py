"""Bundles for the vectors, good and broken. A case changes the text of a manifest, or the content of its files."""

from typing import Any

from nelf.core.errors import BundleErrorCode as Code
from tests.vectors.manifests import FILES, MANIFESTS

MODEL = '"path": "model.bin",\n      "role"'
SHA = MANIFESTS["around"]["files"][1]["sha256"]


def output(dtype: str, layout: str) -> tuple[str, str]:
    """Another output of the model, as text to replace and text instead."""
    as_text = '"dtype": "{}",\n      "layout": "{}"'
    return as_text.format("float32", "NHWC"), as_text.format(dtype, layout)


PICTURE = output("uint8", "CVPixelBuffer")


def bad(name: str, code: Code, *replace: tuple[str, str], manifest: str = "around", **change: Any) -> dict[str, Any]:
    case: dict[str, Any] = {"name": name, "manifest": manifest, "code": str(code)}
    return {**case, **({"replace": [list(pair) for pair in replace]} if replace else {}), **change}


def tiles(name: str, *replace: tuple[str, str], code: Code = Code.INVALID_MANIFEST) -> dict[str, Any]:
    """A broken bundle with a program."""
    return bad(name, code, *replace, manifest="tiles")


def path(name: str, wrong: str) -> dict[str, Any]:
    """The model's entry among the files, named `wrong` (as written in JSON)."""
    return bad(name, Code.UNSAFE_PATH, (MODEL, f'"path": "{wrong}",\n      "role"'))


BAD = [
    bad("no manifest", Code.NOT_A_BUNDLE, files={"manifest.json": None}),
    bad("one byte more than 4 MiB", Code.INVALID_MANIFEST, pad=(4 << 20) + 1),
    bad("empty", Code.INVALID_MANIFEST, text=""),
    bad("not JSON", Code.INVALID_MANIFEST, text="name: vectors\n"),
    bad("cut in half", Code.INVALID_MANIFEST, keep=900),
    bad("something after the end", Code.INVALID_MANIFEST, ('"version": "2.0"\n}', '"version": "2.0"\n}}')),
    bad("a comma too many", Code.INVALID_MANIFEST, ('"version": "2.0"\n', '"version": "2.0",\n')),
    bad("not UTF-8", Code.INVALID_MANIFEST, base64="/v8AAHsAfQA="),
    bad("NaN", Code.INVALID_MANIFEST, ('"near": 2.0', '"near": NaN')),
    bad("infinity", Code.INVALID_MANIFEST, ('"far": 6.0', '"far": Infinity')),
    bad("a number beyond double precision", Code.INVALID_MANIFEST, ('"far": 6.0', '"far": 1e999')),
    bad("nested without end", Code.INVALID_MANIFEST, text="[" * 2000),
    bad("a list", Code.NOT_A_BUNDLE, text="[1, 2]\n"),
    bad("null", Code.NOT_A_BUNDLE, text="null"),
    bad("another format", Code.NOT_A_BUNDLE, ("nelf-bundle", "gltf")),
    bad("no format", Code.NOT_A_BUNDLE, ('"format": "nelf-bundle",', "")),
    bad("a later major version", Code.UNSUPPORTED_VERSION, ('"version": "2.0"', '"version": "4.0"')),
    bad(
        "a later major version with other keys",
        Code.UNSUPPORTED_VERSION,
        text='{"format": "nelf-bundle", "version": "4.0"}',
    ),
    bad("a version of two digits", Code.UNSUPPORTED_VERSION, ('"version": "2.0"', '"version": "20.0"')),
    bad("an earlier major version", Code.UNSUPPORTED_VERSION, ('"version": "2.0"', '"version": "1.1"')),
    bad("a version without a minor", Code.INVALID_MANIFEST, ('"version": "2.0"', '"version": "2"')),
    bad("a version that is a number", Code.INVALID_MANIFEST, ('"version": "2.0"', '"version": 2.0')),
    bad("no camera", Code.INVALID_MANIFEST, ('"camera"', '"photo"')),
    bad("no radius", Code.INVALID_MANIFEST, ('"radius"', '"radii"')),
    bad("no file", Code.INVALID_MANIFEST, ('"sha256"', '"sha1"')),
    bad("a camera that is null", Code.INVALID_MANIFEST, ('"near": 2.0', '"near": null')),
    bad("a width in words", Code.INVALID_MANIFEST, ('"width": 48', '"width": "wide"')),
    bad("a width in quotes", Code.INVALID_MANIFEST, ('"width": 48', '"width": "48"')),
    bad("a width that is true", Code.INVALID_MANIFEST, ('"width": 48', '"width": true')),
    bad("a width with a fraction", Code.INVALID_MANIFEST, ('"width": 48', '"width": 48.5')),
    bad("a negative width", Code.INVALID_MANIFEST, ('"width": 48', '"width": -48')),
    bad("no height", Code.INVALID_MANIFEST, ('"height": 32', '"height": 0')),
    bad("an image beyond all screens", Code.INVALID_MANIFEST, ('"width": 48', '"width": 100000')),
    bad("five channels", Code.INVALID_MANIFEST, ('"channels": 4', '"channels": 5')),
    bad("straight alpha", Code.INVALID_MANIFEST, ('"premultiplied"', '"straight"')),
    bad("a background out of range", Code.INVALID_MANIFEST, ("[1.0, 1.0, 1.0]", "[1.0, 1.0, 255]")),
    bad("other axes", Code.INVALID_MANIFEST, ('"opengl"', '"opencv"')),
    bad("three intrinsics", Code.INVALID_MANIFEST, ("[50.0, 51.5, 24.0, 16.0]", "[50.0, 51.5, 24.0]")),
    bad("a negative focal length", Code.INVALID_MANIFEST, ("[50.0, 51.5", "[-50.0, 51.5")),
    bad("a near depth of zero", Code.INVALID_MANIFEST, ('"near": 2.0', '"near": 0')),
    bad("a focus of words", Code.INVALID_MANIFEST, ('"focus": [0.1, ', '"focus": ["x", ')),
    bad("an unknown region", Code.INVALID_MANIFEST, ('"orbit"', '"torus"')),
    bad("an elevation above the zenith", Code.INVALID_MANIFEST, ("[-5.0, 85.0]", "[-5.0, 95.0]")),
    bad("an arc of more than a circle", Code.INVALID_MANIFEST, ('"azimuth_width": 360.0', '"azimuth_width": 361.0')),
    bad("a negative radius", Code.INVALID_MANIFEST, ("[3.0, 5.0]", "[-3.0, 5.0]")),
    bad("a pose of eleven numbers", Code.INVALID_MANIFEST, (", 3.0],", "],"), manifest="window"),
    bad("cameras without a distance", Code.INVALID_MANIFEST, ('"max_distance": 1.4,', ""), manifest="ring"),
    bad("half precision", Code.INVALID_MANIFEST, ('"float32"', '"float16"')),
    bad("a pose of bytes", Code.INVALID_MANIFEST, ('"float32"', '"uint8"')),
    bad("an image of half precision", Code.INVALID_MANIFEST, output("float16", "NHWC")),
    bad("a negative size", Code.INVALID_MANIFEST, ('"bytes": 23', '"bytes": -23')),
    bad("a hash that is too short", Code.INVALID_MANIFEST, (SHA, SHA[:-1])),
    bad("a hash in capitals", Code.INVALID_MANIFEST, (SHA, SHA.upper())),
    bad("a file of another role", Code.INVALID_MANIFEST, ('"role": "model"', '"role": "script"')),
    bad("no files", Code.INVALID_MANIFEST, ('"files": [', '"files": [], "others": [')),
    bad("an unknown type of scene", Code.INVALID_MANIFEST, ('"scene_type": "object"', '"scene_type": "subject"')),
    bad("an empty name", Code.INVALID_MANIFEST, ('"name": "vectors"', '"name": ""')),
    bad("parity without a reason", Code.INVALID_MANIFEST, ('"reason"', '"because"')),
    bad("a pose of another shape", Code.INVALID_MANIFEST, ("[1, 3, 4]", "[1, 4, 4]")),
    bad("an image of another shape", Code.INVALID_MANIFEST, ("[1, 32, 48, 4]", "[1, 48, 32, 4]")),
    bad("alpha that the image lacks", Code.INVALID_MANIFEST, ('"none"', '"premultiplied"'), manifest="window"),
    bad("up of length two", Code.INVALID_MANIFEST, ('"up": [0.0, 0.0, 1.0]', '"up": [0.0, 0.0, 2.0]')),
    bad("a slanted azimuth", Code.INVALID_MANIFEST, ('_zero": [1.0, 0.0, 0.0]', '_zero": [0.6, 0.0, 0.8]')),
    bad("a rotation with a scale", Code.INVALID_MANIFEST, ("1.0, 0.0, 2.0", "1.1, 0.0, 2.0"), manifest="window"),
    bad("a mirrored pose", Code.INVALID_MANIFEST, ("0.0, 1.0, 0.0, 2.0", "0.0, -1.0, 0.0, 2.0"), manifest="window"),
    bad(
        "a listed camera without a turn",
        Code.INVALID_MANIFEST,
        ('"cameras": [\n      [', '"cameras": [\n      [9'),
        manifest="ring",
    ),
    bad("far before near", Code.INVALID_MANIFEST, ('"far": 6.0', '"far": 1.0')),
    bad("radii reversed", Code.INVALID_MANIFEST, ("[3.0, 5.0]", "[5.0, 3.0]")),
    bad("a box inside out", Code.INVALID_MANIFEST, ("[-1.0, -0.5, -0.3]", "[-1.0, -0.5, 0.3]"), manifest="window"),
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
        Code.UNSAFE_PATH,
        ('"path": "model.bin",\n    "input"', '"path": "../model.bin",\n    "input"'),
    ),
    bad("golden poses upwards", Code.UNSAFE_PATH, ('"golden": "golden/', '"golden": "../golden/')),
    bad("a file twice", Code.INVALID_MANIFEST, ('"path": "golden/r_0.rgba"', '"path": "golden/poses.json"')),
    bad(
        "a model that is not listed",
        Code.INVALID_MANIFEST,
        ('"path": "model.bin",\n    "input"', '"path": "other.bin",\n    "input"'),
    ),
    bad(
        "golden poses that are not listed",
        Code.INVALID_MANIFEST,
        ('"golden": "golden/poses', '"golden": "golden/places'),
    ),
    tiles("a program in version 2", ('"version": "3.0"', '"version": "2.1"')),
    tiles("a program of another type", ('"type": "tiles"', '"type": "layers"')),
    tiles("a program without a decoder", ('"decoder": "parts/decoder.bin"', '"other": "parts/decoder.bin"')),
    tiles("a program with a decoder that is not listed", ('"decoder": "parts/decoder', '"decoder": "parts/missing')),
    tiles("a program with a first part that is not listed", ('"first": "parts/first', '"first": "parts/missing')),
    tiles("a program with a part upwards", ('"first": "parts', '"first": "../parts'), code=Code.UNSAFE_PATH),
    tiles("no blocks at once", ('"blocks": [30]', '"blocks": [0]')),
    tiles("half a block at once", ('"blocks": [30]', '"blocks": [30.5]')),
    tiles("a call with no room for one block", ('"blocks": [30]', '"blocks": [24, 30]')),
    tiles("no call", ('"blocks": [30]', '"blocks": []')),
    tiles("calls of one size", ('"blocks": [30]', '"blocks": [30, 30]')),
    tiles("calls that shrink", ('"blocks": [30]', '"blocks": [40, 30]')),
    tiles("a number for calls", ('"blocks": [30]', '"blocks": 30')),
    tiles("a window larger than the image", ('"window": [4, 4]', '"window": [4, 8]')),
    tiles("windows that do not cover the image", ('"window_reach": 1', '"window_reach": 2')),
    tiles("windows that begin at an odd block", ('"window": [4, 4]', '"window": [4, 5]')),
    tiles("a negative reach", ('"reach": 2', '"reach": -1')),
    tiles("a reach beyond all blocks", ('"reach": 2', '"reach": 9007199254740991')),
    tiles("a state without channels", ('"channels": 9', '"channels": 0')),
    tiles("no threshold", ('"empty_below": 0.25', '"empty_above": 0.25')),
    tiles("a threshold in words", ('"easy_below": -4.5', '"easy_below": "never"')),
    bad("a file is missing", Code.DAMAGED_FILE, files={"golden/r_0.rgba": None}),
    bad("a file is longer", Code.DAMAGED_FILE, files={"golden/r_0.rgba": FILES["golden/r_0.rgba"] + "x"}),
    bad("a file is empty", Code.DAMAGED_FILE, files={"model.bin": ""}),
    bad("a changed byte", Code.DAMAGED_FILE, files={"model.bin": FILES["model.bin"].replace("w", "W")}),
    bad("a changed hash", Code.DAMAGED_FILE, (SHA, "0" + SHA[1:] if SHA[0] != "0" else "1" + SHA[1:])),
]

GOOD = [
    *({"name": name, "manifest": name} for name in MANIFESTS),
    {"name": "a later minor version", "manifest": "around",
     "replace": [['"version": "2.0"', '"version": "2.27", "new": [{}]']]},
    {"name": "a path of many folders", "manifest": "around", "replace": [["golden/r_0.rgba", "a b/..c/é/r_0.rgba"]],
     "files": {"golden/r_0.rgba": None, "a b/..c/é/r_0.rgba": FILES["golden/r_0.rgba"]}},
    {"name": "a file that is not listed", "manifest": "around", "files": {"notes.txt": "ours\n"}},
    {"name": "a file of the page around it", "manifest": "around",
     "replace": [['"path": "golden/r_0.rgba",\n      "role": "golden"', '"path": "index.html",\n      "role": "page"']],
     "files": {"golden/r_0.rgba": None, "index.html": FILES["golden/r_0.rgba"]}},
    {"name": "as Windows writes text", "manifest": "around", "replace": [["{\n", "{\r\n\t "]]},
    {"name": "exactly 4 MiB", "manifest": "around", "pad": 4 << 20},
    {"name": "brackets in a string", "manifest": "around",
     "replace": [['"version": "2.0"', f'"version": "2.0", "new": "\\\\\\"{"[" * 99}"']]},
    {"name": "a window that is the whole image", "manifest": "tiles",
     "replace": [['"window": [4, 4]', '"window": [4, 6]']]},
    {"name": "a bundle of version 3 without a program", "manifest": "around",
     "replace": [['"version": "2.0"', '"version": "3.0"']]},
    {"name": "a picture of the system's", "manifest": "window", "replace": [list(PICTURE)]},
]  # fmt: skip


def viewer(
    name: str, target: str, *replace: tuple[str, str], not_by: str = "", manifest: str = "window"
) -> dict[str, Any]:
    """A valid bundle for `target`, and the apps that do not show it."""
    pairs = [('"target": "any"', f'"target": "{target}"'), *replace]
    codes = dict.fromkeys(not_by.split(), str(Code.UNSUPPORTED_TARGET))
    return {"name": name, "manifest": manifest, "replace": [list(pair) for pair in pairs], "codes": codes}


VIEWERS = [
    viewer("for ios", "ios", not_by="android web"),
    viewer("for android", "android", not_by="ios"),
    viewer("for the web", "web", not_by="ios android"),
    viewer("for none of them", "onnx", not_by="ios android web"),
    viewer("a picture for ios", "ios", PICTURE, not_by="android web"),
    viewer("a picture for android", "android", PICTURE, not_by="ios android web"),
    viewer("bytes that are no picture, for ios", "ios", output("uint8", "NHWC"), not_by="ios android web"),
    viewer("tiles for android", "android", not_by="ios", manifest="tiles"),
    viewer("tiles for ios", "ios", not_by="android web", manifest="tiles"),
    viewer("tiles that are a picture for ios", "ios", PICTURE, not_by="ios android web", manifest="tiles"),
    viewer("floats in another order", "android", output("float32", "NCHW"), not_by="ios android web"),
]


def bundle_cases() -> dict[str, Any]:
    return {"made_by": "python -m tests.vectors.make", "files": FILES, "good": GOOD, "bad": BAD, "viewers": VIEWERS}
