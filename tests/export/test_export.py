"""Exporting, opening, executing and verifying whole bundles."""

import dataclasses
import errno
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from nelf.bundle import BoxRegion, OrbitRegion, open_bundle, read_manifest, verify_bundle
from nelf.bundle.contents import list_files
from nelf.core.errors import ConfigError, ExportError, StorageError
from nelf.core.files import write_json
from nelf.export import (
    TARGETS,
    Conversions,
    ExportConfig,
    config,
    coreml,
    export_bundle,
    plan,
)
from nelf.runtime import OUTPUT
from nelf.student import Student, count_parameters
from tests.export.conftest import ALL, Exported
from tests.export.networks import ahead, around, context, student

pytestmark = pytest.mark.slow

FLOAT = [(target, precision) for target, precision in ALL if precision in ("fp32", "fp16")]
QUANTIZED = [form for form in ALL if form not in FLOAT]


@pytest.mark.parametrize(("target", "precision"), FLOAT)
@torch.no_grad()
def test_bundle_renders_what_the_student_renders(
    bundles: Exported, model: Student, target: str, precision: str
) -> None:
    folder, manifest = bundles[target, precision]
    bundle = open_bundle(folder)
    assert bundle.manifest == manifest
    pose = around(1, seed=9)[0]
    image = bundle.render(pose)
    assert tuple(image.shape) == (21, 28, 4)
    difference = (image - model(pose[None])[0].permute(1, 2, 0)).abs().max()
    assert difference < (1e-5 if precision == "fp32" else 0.01)  # the gates' reasons: 60 dB and 45 dB
    assert manifest.parity.status == "passed"
    assert manifest.parity.psnr_min is not None
    assert manifest.parity.psnr_min >= (100 if precision == "fp32" else 55)


@pytest.mark.parametrize(("target", "precision"), QUANTIZED)
@torch.no_grad()
def test_quantized_bundle(bundles: Exported, model: Student, target: str, precision: str) -> None:
    folder, manifest = bundles[target, precision]
    assert read_manifest(folder) == manifest
    image = open_bundle(folder).render(context().golden[0])
    error = (image - model(context().golden[:1])[0].permute(1, 2, 0)).square().mean()
    assert 1e-9 < error < 10**-2.5, "neither in float (100 dB) nor broken"
    assert manifest.quantization is not None
    assert manifest.quality is not None
    assert manifest.quality.drop_db is not None
    assert manifest.quality.psnr == pytest.approx(manifest.quality.pytorch_psnr - manifest.quality.drop_db)
    assert manifest.quality.drop_db < 0.5
    assert manifest.quality.photos == "test"
    assert verify_bundle(folder).passed


@pytest.mark.parametrize(("target", "precision"), FLOAT)
def test_verifies(bundles: Exported, target: str, precision: str) -> None:
    folder, manifest = bundles[target, precision]
    result = verify_bundle(folder)
    assert result.passed, result.reason
    assert len(result.differences) == 8
    assert manifest.parity.psnr_min is not None
    # 8-bit rounding is spread evenly over half a step: 1 / (255 sqrt 12) is 58.9 dB. What the file errs comes to it.
    error = 10**-5.89 + 10 ** (-manifest.parity.psnr_min / 10)
    assert min(d.psnr for d in result.differences) == pytest.approx(-10 * math.log10(error), abs=0.6)


def test_manifest_says_what_a_viewer_needs(bundles: Exported, model: Student) -> None:
    folder, manifest = bundles["ios", "fp16"]
    assert manifest == read_manifest(folder)
    assert (manifest.image.width, manifest.image.height, manifest.image.channels) == (28, 21, 4)
    assert manifest.image.alpha == "premultiplied"
    assert manifest.camera.intrinsics == pytest.approx(model.frame.intrinsics)
    assert manifest.model.output.shape == [1, 21, 28, 4]
    assert isinstance(manifest.region, OrbitRegion)
    assert manifest.region.radius == pytest.approx([4, 4], abs=1e-5)
    assert manifest.deployment == {"ios": "16"}
    assert manifest.student.parameters == count_parameters(model)
    assert manifest.provenance.checkpoint == "0" * 64
    assert "litert-torch" in manifest.provenance.versions
    assert {file.role for file in manifest.files} == {"model", "golden"}
    assert not list(folder.parent.glob(".*")), "nothing temporary is left"


def test_golden_images_are_the_students(bundles: Exported, model: Student) -> None:
    pixels = np.fromfile(bundles["android", "fp32"][0] / "golden" / "r_3.rgba", np.uint8).reshape(21, 28, 4)
    with torch.no_grad():
        reference = model(context().golden[3:4])[0].permute(1, 2, 0)
    np.testing.assert_array_equal(pixels, (reference * 255).round().numpy().astype(np.uint8))


def test_published_shape_in_device_coordinates(tmp_path: Path) -> None:
    model = student("mobiler2l", "ndc", size=(25, 36), upscale_factor=12)
    manifest = export_bundle(model, "onnx", "fp16", context("ndc"), ExportConfig(), tmp_path / "onnx")
    assert isinstance(manifest.region, BoxRegion)
    assert manifest.image.alpha == "none"
    with torch.no_grad():
        pose = ahead(1, seed=9)
        difference = open_bundle(tmp_path / "onnx").render(pose[0]) - model(pose)[0].permute(1, 2, 0)
    assert difference.abs().max() < 0.01


def test_a_file_that_disagrees_is_not_kept(tmp_path: Path, model: Student) -> None:
    folder = tmp_path / "onnx"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(ExportError, match=r"onnx fp16: the file disagrees .* view r_\d: .* dB, at least 120\.0 dB"):
        export_bundle(model, "onnx", "fp16", context(), ExportConfig(min_psnr_fp16=120.0), folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["onnx", "old"]


def test_an_export_replaces_what_stood_there(tmp_path: Path, model: Student) -> None:
    folder = tmp_path / "onnx"
    folder.mkdir()
    (folder / "old").touch()
    export_bundle(model, "onnx", "fp32", context(), ExportConfig(), folder)
    assert not (folder / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["onnx"]


def test_numbers_that_are_none_do_not_pass(tmp_path: Path, model: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = np.full((1, 21, 28, 4), np.nan, np.float32)
    monkeypatch.setattr("nelf.runtime.onnx.OnnxModel.run", lambda model, inputs: {OUTPUT: broken})
    with pytest.raises(ExportError, match=r"in ONNX Runtime: view r_0: 0\.0 dB"):
        export_bundle(model, "onnx", "fp32", context(), ExportConfig(), tmp_path / "onnx")


def test_full_disk(tmp_path: Path, model: Student, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="disk full while writing"):
        export_bundle(model, "onnx", "fp32", context(), ExportConfig(), tmp_path / "onnx")
    assert not list(tmp_path.iterdir())


def test_verify_sees_a_model_that_drifted(bundles: Exported, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundles["onnx", "fp32"][0], folder)
    image = folder / "golden/r_2.rgba"
    pixels = bytearray(image.read_bytes())
    pixels[(10 * 28 + 10) * 4 + 1] ^= 0x40
    image.write_bytes(pixels)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = [file.model_dump() for file in list_files(folder, "model.onnx")]
    write_json(folder / "manifest.json", manifest)
    result = verify_bundle(folder)
    assert not result.passed
    assert result.reason is not None
    assert "r_2" in result.reason


def test_what_a_user_may_ask_is_what_the_targets_know() -> None:
    """The configuration repeats the names, since it is checked before converters are loaded."""
    assert {
        name: config.Choice(tuple(one.forms), one.auto, one.default, one.image_output, config.CHOICES[name].tiles)
        for name, one in TARGETS.items()
    } == config.CHOICES
    assert set(config.DEPLOYMENTS) == set(coreml.DEPLOYMENTS)


def test_plan() -> None:
    assert plan(["ios", "android", "onnx"], "auto") == [
        ("ios", "fp16", "ios"),
        ("android", "fp32", "android"),
        ("android", "fp16", "android-fp16"),
        ("onnx", "fp32", "onnx"),
    ]
    assert plan(["ios", "ios", "android"], "fp32") == [("ios", "fp32", "ios-fp32"), ("android", "fp32", "android")]
    assert plan(["ios"], "w6", image_output=True) == [("ios", "w6", "ios-w6-image")]
    assert plan(["ios", "onnx"], "fp32", image_output=True)[1] == ("onnx", "fp32", "onnx")


def test_a_file_that_loses_too_much_is_refused(tmp_path: Path, model: Student, conversions: Conversions) -> None:
    of_scene, folder = context(model=model), tmp_path / "ios"
    strict = ExportConfig(max_drop_db=0.0)
    with pytest.raises(ExportError, match=r"ios w4: .* lost, but export.max_drop_db=0 is allowed; .*force=true") as e:
        export_bundle(model, "ios", "w4", of_scene, strict, folder, conversions=conversions)
    assert e.value.exit_code == 2
    assert not list(tmp_path.iterdir())
    forced = dataclasses.replace(strict, force=True)
    manifest = export_bundle(model, "ios", "w4", of_scene, forced, folder, conversions=conversions)
    assert manifest.quality is not None
    assert manifest.quality.forced
    assert verify_bundle(folder).passed


@pytest.mark.parametrize("channels", [3, 4])
@torch.no_grad()
def test_picture_output(channels: int, tmp_path: Path) -> None:
    model = student(channels=channels)
    of_scene = dataclasses.replace(context(), background=(1.0, 0.5, 0.25))
    manifest = export_bundle(model, "ios", "fp16", of_scene, ExportConfig(image_output=True), tmp_path / "ios")
    assert (manifest.model.output.dtype, manifest.model.output.layout) == ("uint8", "CVPixelBuffer")
    assert manifest.model.output.shape == [1, 21, 28, 3]
    assert (manifest.image.channels, manifest.image.alpha) == (3, "none")
    assert manifest.image.composited_over == ([1.0, 0.5, 0.25] if channels == 4 else None)
    assert read_manifest(tmp_path / "ios") == manifest
    assert verify_bundle(tmp_path / "ios").passed
    pose = around(1, seed=9)
    expected = model(pose)[0].permute(1, 2, 0)
    if channels == 4:
        expected = expected[..., :3] + (1 - expected[..., 3:]) * torch.tensor([1.0, 0.5, 0.25])
    picture = 255 * open_bundle(tmp_path / "ios").render(pose[0])
    torch.testing.assert_close(picture, picture.round(), atol=1e-4, rtol=0)
    # Half precision errs by up to a step of 8 bits here and there (0.01, as above), and rounding adds half of one.
    assert (picture - 255 * expected.clamp(0, 1)).abs().max() < 3
    assert (picture - 255 * expected.clamp(0, 1)).abs().mean() < 0.4, "half a step at most, a quarter in the mean"


def test_without_photos(tmp_path: Path, model: Student, conversions: Conversions) -> None:
    folder = tmp_path / "ios"
    with pytest.raises(ExportError, match=r"ios w8: without a photo .* its loss is unknown; .*export\.force=true"):
        export_bundle(model, "ios", "w8", context(), ExportConfig(), folder, conversions=conversions)
    manifest = export_bundle(model, "ios", "w8", context(), ExportConfig(force=True), folder, conversions=conversions)
    assert manifest.quality is not None
    assert (manifest.quality.status, manifest.quality.forced) == ("not_run", True)
    for precision in ("int8", "int8-dynamic"):
        with pytest.raises(ExportError, match=f"{precision} needs training views with photos"):
            export_bundle(model, "android", precision, context(), ExportConfig(), tmp_path / "android")
    assert [path.name for path in tmp_path.iterdir()] == ["ios"]


def test_without_test_views_training_views_say_what_is_lost(
    tmp_path: Path, model: Student, conversions: Conversions
) -> None:
    of_scene = dataclasses.replace(context(model=model), golden_photos={})
    strict = ExportConfig(max_drop_db=0.0)
    with pytest.raises(ExportError, match=r"photos of 8 training views where PyTorch has .*max_drop_db=0 is allowed"):
        export_bundle(model, "ios", "w4", of_scene, strict, tmp_path / "ios", conversions=conversions)


def test_latency_where_it_says_something(bundles: Exported) -> None:
    on_android, on_ios = bundles["android", "fp32"][1].latency, bundles["ios", "fp16"][1].latency
    assert on_android is not None
    assert on_android.status == "measured"
    assert on_android.milliseconds is not None
    assert on_android.milliseconds > 0
    assert on_ios is not None
    assert on_ios.status == "not_run", "our interpreter's speed is not Core ML's"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"targets": ["ios", "tv"]}, r"export.targets=\[ios,tv\]: tv is not known; use a list, each one of ios"),
        (
            {"targets": ["android"], "precision": "w6"},
            "export.precision=w6 is not known for the target android; use one of auto, fp32, fp16, int8, int8-dynamic",
        ),
        (
            {"targets": ["android", "ios"], "precision": "int8"},
            "export.precision=int8 is not known for the target ios; use one of auto, fp32, fp16, w8, w6, w4",
        ),
        (
            {"targets": ["onnx"], "image_output": True},
            "export.image_output=true has no effect on onnx; it is for ios",
        ),
        ({"ios_deployment": "9"}, "export.ios_deployment=9 is not known; use one of 16, 17, 18"),
        ({"golden_views": 3}, "export.golden_views=3 is too small; use a whole number from 8"),
    ],
)
def test_bad_configuration(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExportConfig(**values)  # type: ignore[arg-type]


def test_bad_requests(tmp_path: Path, model: Student) -> None:
    with pytest.raises(
        ConfigError, match=r"export\.targets=tv is not known; use one of ios, android, onnx, web, coreai"
    ):
        export_bundle(model, "tv", "fp32", context(), ExportConfig(), tmp_path / "x")
    with pytest.raises(
        ConfigError, match=r"export\.precision=fp8 is not known for the target onnx; use one of fp32, fp16"
    ):
        export_bundle(model, "onnx", "fp8", context(), ExportConfig(), tmp_path / "x")
    few = dataclasses.replace(context(), golden=around(3), golden_names=("a", "b", "c"))
    with pytest.raises(ConfigError, match="at least 8 golden poses"):
        export_bundle(model, "onnx", "fp32", few, ExportConfig(), tmp_path / "x")
    nowhere = dataclasses.replace(context(), golden=torch.full((8, 3, 4), torch.nan))
    with pytest.raises(ConfigError, match="golden pose r_0 is not a rigid camera pose"):
        export_bundle(model, "onnx", "fp32", nowhere, ExportConfig(), tmp_path / "x")
    named = dataclasses.replace(context(), golden_names=("../x", *(f"r_{i}" for i in range(7))))
    with pytest.raises(ConfigError, match=r"fit for files, got \.\./x"):
        export_bundle(model, "onnx", "fp32", named, ExportConfig(), tmp_path / "x")
    assert not list(tmp_path.iterdir())
