"""Bundles that must be refused, each with one line and exit code 2."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nelf.bundle import open_bundle, read_manifest, verify_bundle
from nelf.bundle.contents import read_golden
from nelf.core.errors import BundleError, BundleErrorCode, ExportError
from nelf.runtime.litert_structure import check_lite
from tests.export.conftest import Exported

pytestmark = pytest.mark.slow


@pytest.fixture
def bundle(bundles: Exported, tmp_path: Path) -> Path:
    """A copy to damage. Core ML, since its model is a folder."""
    folder = tmp_path / "bundle"
    shutil.copytree(bundles["ios", "fp16"][0], folder)
    return folder


def refused(folder: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as error:
        open_bundle(folder)
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)
    with pytest.raises(BundleError):
        verify_bundle(folder)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_no_folder(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "nothing does not exist; give the folder that nelf export wrote")


def test_no_manifest(bundle: Path) -> None:
    (bundle / "manifest.json").unlink()
    refused(bundle, "has no manifest.json, so it is not a bundle")


def test_manifest_cut_short(bundle: Path) -> None:
    text = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(text[: len(text) // 2])
    refused(bundle, "manifest.json cannot be read")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[1, 2]", b'{"format": "other"}', b"[" * 100_000])
def test_something_else(bundle: Path, content: bytes) -> None:
    (bundle / "manifest.json").write_bytes(content)
    refused(bundle, "manifest.json (cannot be read|is not the manifest)")


def test_unknown_major_version(bundle: Path) -> None:
    edit(bundle, lambda m: m.update(version="1.1"))
    refused(bundle, r"has format version '1\.1', this nelf reads 2 and 3; export again with: nelf export RUN")


def test_later_minor_version_is_read(bundle: Path) -> None:
    edit(bundle, lambda m: m.update(version="2.9", a_new_key={"x": 1}))
    edit(bundle, lambda m: m["image"].update(another=True))
    assert open_bundle(bundle).manifest.image.width == 28


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda m: m.pop("camera"), "camera: Field required"),
        (lambda m: m["image"].update(width="wide"), r'image\.width should be a valid integer, got "wide"'),
        (lambda m: m["image"].update(channels=5), r"image\.channels should be 3 or 4, got 5"),
        (lambda m: m["camera"].update(near=-1), r"camera\.near should be greater than 0, got -1"),
        (lambda m: m["camera"]["intrinsics"].pop(), r"camera\.intrinsics\.3: Field required"),
        (
            lambda m: m["files"][0].update(sha256="xyz"),
            r"files\.0\.sha256: String should match pattern .* got .xyz",
        ),
        (lambda m: m["region"].update(type="torus"), r"region: Input tag 'torus' .* expected tags: 'orbit', 'box'"),
        (lambda m: m["region"].pop("radius"), r"region\.radius: Field required"),
        (lambda m: m["parity"].update(views=3), r"parity\.views should be greater than or equal to 8, got 3"),
        (lambda m: m.update(parity={"status": "not_run"}), r"parity\.reason: Field required"),
        (lambda m: m["provenance"].update(versions={"a\nb": 1}), r"provenance\.versions\.a b should be a valid string"),
        (lambda m: m["camera"].update(far=float("nan")), "manifest.json cannot be read .*expected value"),
    ],
)
def test_schema_violations_name_the_key(bundle: Path, change: Callable[[dict[str, Any]], object], where: str) -> None:
    edit(bundle, change)
    refused(bundle, where)


@pytest.mark.parametrize(
    "name", ["../outside.bin", "/etc/passwd", "golden\\poses.json", "C:/model", "golden/../../x", "\\\\host\\x", "."]
)
def test_names_that_leave_the_folder(bundle: Path, name: str) -> None:
    (bundle.parent / "outside.bin").touch()
    edit(bundle, lambda m: m["files"][0].update(path=name))
    refused(bundle, "outside the bundle; do not use it")


@pytest.mark.parametrize("key", ["golden", "model"])
def test_other_names_that_leave_the_folder(bundle: Path, key: str) -> None:
    edit(bundle, lambda m: m.update(golden="../poses.json") if key == "golden" else m["model"].update(path="../m"))
    refused(bundle, "outside the bundle; do not use it")


def test_links_that_leave_the_folder(bundle: Path) -> None:
    image = bundle / "golden/r_0.rgba"
    shutil.move(image, bundle.parent / "r_0.rgba")
    image.symlink_to(Path("..") / ".." / "r_0.rgba")
    refused(bundle, "'golden/r_0.rgba', which is or could be outside the bundle")


def test_missing_file(bundle: Path) -> None:
    (bundle / "golden/r_1.rgba").unlink()
    refused(bundle, r"r_1\.rgba is missing; the bundle is incomplete")


def test_unlisted_model(bundle: Path) -> None:
    edit(bundle, lambda m: m["model"].update(path="other.mlpackage"))
    refused(bundle, "does not list the file 'other.mlpackage'")


def test_wrong_size(bundle: Path) -> None:
    with (bundle / "golden/r_1.rgba").open("ab") as stream:
        stream.write(b"x")
    refused(bundle, r"r_1\.rgba has \d+ bytes, the manifest says \d+")


def test_changed_byte(bundle: Path) -> None:
    path = bundle / "model.mlpackage/Data/com.apple.CoreML/weights/weight.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(bundle, r"weight\.bin was changed: its SHA-256 is not the manifest's")
    open_bundle(bundle, check_hashes=False)  # the way to have a look at it all the same


def test_a_model_that_cannot_be_loaded(bundles: Exported, tmp_path: Path) -> None:
    for target in ("android", "onnx", "ios"):
        folder = tmp_path / target
        shutil.copytree(bundles[target, "fp32"][0], folder)
        path = next(p for p in folder.rglob("model.*") if p.is_file())
        path.write_bytes(b"x" * path.stat().st_size)
        with pytest.raises(BundleError, match=rf"{target}: .*model\.\w+ (.*failed|is damaged)"):
            open_bundle(folder, check_hashes=False).model  # noqa: B018 (loads it)


def test_a_model_of_another_type(bundle: Path) -> None:
    edit(bundle, lambda m: m["model"].update(path="golden/poses.json"))
    with pytest.raises(BundleError, match=r"of the type '.json', this nelf can execute .tflite, .onnx, ") as error:
        open_bundle(bundle).render(torch.eye(3, 4))
    assert error.value.code is BundleErrorCode.UNSUPPORTED_TARGET


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        (lambda golden: golden.update(views=[]), "damaged_file", "views: List should have at least 1 item"),
        (lambda golden: golden["views"][2]["c2w"].pop(), "damaged_file", r"views\.2\.c2w: List should have at least 3"),
        (lambda golden: golden["views"][0].update(c2w="x"), "damaged_file", r"views\.0\.c2w should be a valid array"),
        (lambda golden: golden["views"][0].update(image="golden/poses.json"), "damaged_file", "21 x 28 x 4 bytes"),
        (lambda golden: golden["views"][0].update(image="golden/gone.rgba"), "damaged_file", "21 x 28 x 4 bytes"),
        (lambda golden: golden["views"][0].update(image="../x.rgba"), "unsafe_path", "outside the bundle"),
    ],
)
def test_damaged_golden_views(bundle: Path, change: Callable[[dict[str, Any]], object], code: str, where: str) -> None:
    poses = bundle / "golden/poses.json"
    content = json.loads(poses.read_text())
    change(content)
    poses.write_text(json.dumps(content))
    with pytest.raises(BundleError, match=where) as error:
        read_golden(bundle, read_manifest(bundle))
    assert error.value.code == code


def first(model: Any, kind: str) -> Any:
    """The first operation of a kind."""
    from ai_edge_litert import schema_py_generated as schema

    wanted = getattr(schema.BuiltinOperator, kind)
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return next(op for op in model.subgraphs[0].operators if codes[op.opcodeIndex] == wanted)


DAMAGES: dict[str, Callable[[Any], object]] = {
    "the model has no list of subgraphs": lambda model: setattr(model, "subgraphs", None),
    "graph 0 has no list of operators": lambda model: setattr(model.subgraphs[0], "operators", None),
    r"operation 0 is of kind 999 of \d+": lambda model: setattr(model.subgraphs[0].operators[0], "opcodeIndex", 999),
    r"operation 1 uses tensor 9999 of \d+": lambda model: setattr(model.subgraphs[0].operators[1], "outputs", [9999]),
    r"operation \d+ \(SLICE\) has 1 inputs, LiteRT reads 3": lambda model: setattr(
        first(model, "SLICE"), "inputs", first(model, "SLICE").inputs[:1]
    ),
    r"operation \d+ \(SLICE\) lacks input 1": lambda model: setattr(
        first(model, "SLICE"), "inputs", [first(model, "SLICE").inputs[0], -1, -1]
    ),
    r"tensor 2 is in buffer 9999 of \d+": lambda model: setattr(model.subgraphs[0].tensors[2], "buffer", 9999),
    r"tensor \d+ of shape \[.*\] has 4 bytes instead of \d{2,}": lambda model: setattr(
        max(model.buffers, key=lambda buffer: 0 if buffer.data is None else len(buffer.data)), "data", [0, 0, 0, 0]
    ),
    r"signature 0 names tensor 9999 of \d+": lambda model: setattr(
        model.signatureDefs[0].inputs[0], "tensorIndex", 9999
    ),
}


@pytest.mark.parametrize("reason", DAMAGES)
def test_a_lite_file_that_would_end_its_runtime(bundles: Exported, reason: str) -> None:
    """Some of these crash LiteRT with a segmentation fault: found by benchmarks/fuzz.py."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = (bundles["android", "fp32"][0] / "model.tflite").read_bytes()
    check_lite(content, "model.tflite")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    DAMAGES[reason](model)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(ExportError, match=rf"model\.tflite is damaged \({reason}\); export it again"):
        check_lite(bytes(builder.Output()), "model.tflite")
