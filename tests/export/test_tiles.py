"""Bundles in tiles: exported, executed, refused."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nelf.benchmark import open_subjects
from nelf.bundle import open_bundle, verify_bundle
from nelf.bundle.bundle import Difference, load_program
from nelf.bundle.tiles import Picture, TileModel, check_cover
from nelf.core.errors import BundleError, ConfigError, ExportError
from nelf.export import ExportConfig, export_bundle, litert, plan
from nelf.export.apps import APPS
from nelf.export.config import CHOICES
from nelf.export.export import SLACK_DB, limited
from nelf.export.measured import Measured
from nelf.export.targets import TARGETS
from nelf.export.tiles import block_cost, choose_blocks, choose_sizes, choose_window
from nelf.runtime import RUNTIMES, OperationTime, open_model
from nelf.runtime.protocol import Arrays, Signature
from nelf.student import Layout, Student, count_macs, make_student, network_macs
from nelf.student.tiles import Cut, Estimates, Hull, TileStudent, check_tiles
from tests.bundle.test_program import PROGRAM
from tests.export.networks import around, context, student
from tests.vectors.manifests import MANIFESTS


@pytest.mark.slow
@pytest.mark.parametrize("target", ["android", "onnx"])
def test_a_bundle_in_tiles(target: str, tmp_path: Path) -> None:
    """What each runtime gives is the whole network's image; the manifest says how; a part that changed is noticed."""
    model, folder = student(channels=4, size=(45, 60)), tmp_path / "bundle"
    config = ExportConfig(targets=[target], tiles=True)
    manifest = export_bundle(model, target, "fp32", context(model=model), config, folder)
    assert manifest.version == "3.0"
    assert manifest.parity.status == "passed"
    assert manifest.parity.psnr_min > 100
    program = manifest.program
    assert program is not None
    assert {file.path for file in manifest.files if file.role == "model"} == set(program.parts)
    verified = verify_bundle(folder)
    assert verified.passed, verified.reason
    assert len(verified.chosen) == len(verified.differences) == 8
    assert "with blocks left out" in verified.summary

    bundle, pose = open_bundle(folder), around(1)[0]
    image = bundle.render(pose)
    assert isinstance(bundle.model, TileModel)
    assert bundle.model.drawn.any()
    still = bundle.still(pose.tolist(), 45, 60)
    over = image[..., :3] + 1 - image[..., 3:]
    assert np.abs(still / 255 - over.clamp(0, 1).numpy()).max() < 1 / 255
    with pytest.raises(ConfigError, match="no picture of 8000 x 45 pixels"):
        bundle.still(pose.tolist(), 45, 8000)

    other = manifest.model_copy(update={"program": program.model_copy(update={"blocks": [*program.blocks, 4000]})})
    with pytest.raises(BundleError, match=r"decoder.* takes .*, the program gives "):
        load_program(folder, other, 1)

    (subject,) = open_subjects([folder])  # for `nelf bench`
    assert subject.size == manifest.model.bytes
    assert subject.untimed is None
    opened = open_model(subject.path, 1)
    assert opened.profile({"pose": pose[None].numpy()}, 1)
    again = opened.run({"pose": pose[None].numpy()})["image"]
    np.testing.assert_allclose(again[0], image.numpy(), atol=1e-6)

    part = folder / program.decoder
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match=r"decoder.* was changed"):
        open_bundle(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "system", "psnr"), [("fp32", "16", 100), ("fp16", "17", 50)])
def test_core_ml_in_tiles(precision: str, system: str, psnr: float, tmp_path: Path) -> None:
    """Two packages, which are folders, in our interpreter. For iOS 17 the hull's rows are uint16."""
    model, folder = student(channels=4, size=(45, 60)), tmp_path / "bundle"
    config = ExportConfig(targets=["ios"], tiles=True, ios_deployment=system)
    manifest = export_bundle(model, "ios", precision, context(model=model), config, folder)
    assert manifest.parity.status == "passed"
    assert manifest.parity.psnr_min > psnr
    assert manifest.program is not None
    assert manifest.program.parts == ("parts/first.mlpackage", "parts/decoder.mlpackage")
    assert APPS["ios_app"].shows(manifest)
    verified = verify_bundle(folder)
    assert verified.passed, verified.reason
    assert len(verified.chosen) == 8
    (subject,) = open_subjects([folder])
    assert subject.untimed == "Core ML runs on Apple's systems only"
    (folder / manifest.program.decoder / "Manifest.json").unlink()
    with pytest.raises(BundleError, match=r"decoder.*Manifest.json is missing"):
        open_bundle(folder)


class Named(nn.Module):
    """A layer whose output has a name."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": self.layer(x)}


@pytest.mark.slow
@torch.no_grad()
def test_a_file_takes_several_sizes(tmp_path: Path) -> None:
    """The signature is chosen by shapes; weights are in the file once."""
    graph, path = Named().eval(), tmp_path / "sizes.tflite"
    litert.convert(graph, path, [{"x": torch.zeros(count, 64)} for count in (3, 5)])
    model = open_model(path, 1)
    assert [one["x"][0] for one in model.signatures] == [(3, 64), (5, 64)]
    for count in (5, 3, 5):
        x = torch.randn(count, 64)
        np.testing.assert_allclose(model.run({"x": x.numpy()})["y"], graph(x)["y"].numpy(), atol=1e-5)
    assert path.stat().st_size < 2 * 64 * 64 * 4
    with pytest.raises(ExportError, match=r"no signature for inputs of {'x': \(4, 64\)}; export it again"):
        model.run({"x": np.zeros((4, 64), np.float32)})


def test_a_manifest_is_no_model_by_itself(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFESTS["around"]))
    with pytest.raises(ExportError, match="not the manifest of a bundle with a program"):
        open_model(tmp_path / "manifest.json", 1)
    assert ".json" in RUNTIMES


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"targets": ["coreai", "android"]}, "no program for coreai; name targets of ios, android, onnx, web"),
        ({"targets": ["android"], "precision": "int8"}, "no form in int8; use one of fp32, fp16"),
        ({"targets": ["ios"], "precision": "w8"}, "no form in w8; use one of fp32, fp16"),
        ({"targets": ["ios"], "image_output": True}, "export.image_output=true asks for a picture; use one"),
    ],
)
def test_what_has_no_program_is_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExportConfig(tiles=True, **asked)  # type: ignore[arg-type]


def test_choices_are_those_of_the_targets() -> None:
    assert {name for name, choice in CHOICES.items() if choice.tiles} == {
        name for name, target in TARGETS.items() if target.convert_part
    }
    assert plan(["android"], "fp16", tiles=True) == [("android", "fp16", "android-fp16-tiles")]


def test_a_bundle_that_leaves_out_too_much_is_refused() -> None:
    found = Measured(RUNTIMES[".onnx"], differences=[Difference("a", 60.0, 0.1), Difference("b", 34.0, 0.9)])
    _, reason = limited(PROGRAM, found, ExportConfig())
    assert reason is not None
    assert "view b: 34.0 dB, at least 35.0 dB" in reason
    kept, reason = limited(PROGRAM, found, ExportConfig(min_psnr_tiles=30.0))
    assert reason is None
    assert kept.required_psnr == 34.0 - SLACK_DB


@torch.no_grad()
def test_the_cost_of_blocks_is_that_of_their_network() -> None:
    """Without the first part's work: what is left of the whole network's, which computes the same for every block."""
    model = check_tiles(student(channels=4, size=(64, 64)))
    nothing = Estimates(torch.zeros(5, model.state_features), torch.zeros(5))
    first = model.cut(Cut(model.grid, Hull(torch.ones(2, 2, 2)), nothing, []), Layout.CHANNELS_FIRST, torch.float32)[0]
    estimating = 5 * model.state_features * 64
    macs = count_macs(model) - network_macs(first, (1, 3, 4), (1, 4)) + estimating
    assert 64 * block_cost(model) == macs


@pytest.mark.parametrize(("busy", "blocks"), [(20, 200), (1, 100)])
def test_calls_suit_most_views(busy: int, blocks: int) -> None:
    """One call has room for all where most views need 200 blocks, but not for the sake of one that does."""
    wide = {"middle_width": 56, "decoder_width": 32, "decoder_blocks": 2}
    model = check_tiles(student(channels=4, size=(256, 256), **wide))
    needed = np.zeros((20, 32, 32), bool)
    needed[:, 4:9, 4:24] = True
    needed[:busy, 9:14, 4:24] = True
    assert choose_blocks(model, needed, 1) == [blocks]
    assert choose_blocks(model, needed, 4) == sorted({blocks, 200})


def test_sizes_leave_few_places_over() -> None:
    lengths = [10, 11, 12, 40, 41, 90, 100]
    assert choose_sizes(lengths, 1) == [100]
    assert choose_sizes(lengths, 3) == [12, 41, 100]
    assert choose_sizes(lengths, 9) == lengths
    assert choose_sizes([7, 7], 2) == [7]


@pytest.mark.parametrize(("size", "window"), [((64, 100), (8, 13)), ((832, 2056), (104, 97)), ((2160, 1040), (96, 96))])
def test_large_pictures_have_windows(size: tuple[int, int], window: tuple[int, int]) -> None:
    model = check_tiles(student(channels=4, size=size))
    assert choose_window(model) == window
    assert all((blocks - one) % 2 == 0 for blocks, one in zip(model.grid, window, strict=True))


class Eager:
    """A part in PyTorch, called like one in a file."""

    signatures: Sequence[Signature] = ()

    def __init__(self, part: nn.Module, *outputs: str) -> None:
        self.part, self.outputs = part, outputs

    @torch.no_grad()
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        found = self.part(*(torch.from_numpy(value) for value in inputs.values()))
        given = found if isinstance(found, tuple) else (found,)
        return {name: value.numpy() for name, value in zip(self.outputs, given, strict=True)}

    def profile(self, inputs: Arrays, frames: int) -> list[OperationTime]:
        return []


def in_eager_tiles(model: TileStudent, window: tuple[int, int], blocks: int) -> TileModel:
    """The program of a student, in PyTorch."""
    count, frame = 1 + model.frame.channels, model.frame
    nothing = Estimates(torch.zeros(count, model.state_features), torch.zeros(count))
    cut = Cut(window, Hull(torch.ones(2, 2, 2)), nothing, [])
    first, decoder = model.cut(cut, Layout.CHANNELS_FIRST, torch.float32)
    program = PROGRAM.model_copy(
        update={
            "window": list(window),
            "window_reach": model.reach.first,
            "blocks": [blocks],
            "reach": model.reach.decoder,
            "channels": model.state_features,
        }
    )
    check_cover(program, frame.height, frame.width)
    picture = Picture(frame.height, frame.width, frame.intrinsics)
    parts = Eager(first, "state", "estimates"), Eager(decoder, "image")
    return TileModel(program, picture, frame.channels, *parts, choose=False)


@torch.no_grad()
def whole(model: Student, pose: Tensor) -> NDArray[np.float32]:
    image: NDArray[np.float32] = model(pose[None])[0].permute(1, 2, 0).numpy()
    return image


@pytest.mark.parametrize(("size", "window"), [((256, 272), (24, 26)), ((250, 283), (22, 24))])
def test_windows_of_the_first_part_are_the_whole_network(size: tuple[int, int], window: tuple[int, int]) -> None:
    """The reach is that of the coarse level, and windows begin where its strides do."""
    model, pose = check_tiles(student(channels=4, size=size)), around(1)[0]
    image = in_eager_tiles(model, window, 100).run({"pose": pose[None].numpy()})["image"][0]
    assert np.abs(image - whole(model, pose)).max() < 1e-4


def test_a_still_is_what_a_larger_network_shows() -> None:
    model, pose = check_tiles(student(channels=4, size=(192, 192))), around(1)[0]
    fx, fy, cx, cy = (value * 4 / 3 for value in model.frame.intrinsics)
    frame = dataclasses.replace(model.frame, height=256, width=272, intrinsics=(fx, fy, cx + 8, cy))
    larger = make_student(model.config, frame)
    larger.load_state_dict(model.state_dict())
    still = in_eager_tiles(model, (24, 24), 250).still(pose[None].numpy(), 256, 272, (1.0, 1.0, 1.0))
    image = whole(larger.eval(), pose)
    over = (image[..., :3] + 1 - image[..., 3:]).clip(0, 1)
    assert np.abs(still / 255 - over).max() < 0.51 / 255 + 1e-4
