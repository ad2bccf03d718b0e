"""The network: published sizes, any image size, every preset."""

import dataclasses
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from nelf.errors import ConfigError
from nelf.student import Frame, Mapping, NeLF, StudentConfig, count_macs, count_parameters
from tests.student.frames import cameras, facing, frame

PRESETS = sorted((Path(__file__).parents[2] / "configs" / "student").glob("*.yaml"))


def preset(name: str, **changes: object) -> StudentConfig:
    path = next(p for p in PRESETS if p.stem == name)
    loaded = OmegaConf.merge(OmegaConf.structured(StudentConfig), OmegaConf.load(path), changes)
    config = OmegaConf.to_object(loaded)
    assert isinstance(config, StudentConfig)
    return config


def on_meta(config: StudentConfig, height: int, width: int) -> NeLF:
    return NeLF(config, frame(size=(height, width)))


def test_mobiler2l_has_the_published_size() -> None:
    """Cao et al. 2023, table 1 and 3: 8 points, 6 octaves, 100x100 rays to 800x800 pixels."""
    network = on_meta(preset("mobiler2l"), 800, 800)
    assert count_parameters(network) == 4_305_539
    assert count_macs(network) / 1e9 == pytest.approx(50.6, abs=0.05)


def test_mobiler2l_forward_facing_has_the_published_cost() -> None:
    network = on_meta(preset("mobiler2l", factor=12), 756, 1008)
    assert (network.grid_height, network.grid_width) == (63, 84)
    assert count_macs(network) / 1e9 == pytest.approx(26.6, abs=0.05)


@pytest.mark.parametrize(("name", "share"), [("s", 0.25), ("m", 0.25), ("l", 0.55)])
def test_our_small_presets_cost_less_than_a_quarter_and_the_large_one_about_half(name: str, share: float) -> None:
    official = count_macs(on_meta(preset("mobiler2l"), 800, 800))
    assert count_macs(on_meta(preset(name), 800, 800)) < share * official


@pytest.mark.parametrize("path", PRESETS, ids=lambda p: p.stem)
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("mapping", list(Mapping))
def test_every_preset_runs(path: Path, channels: int, mapping: Mapping) -> None:
    config = preset(path.stem)
    assert config.name == path.stem
    if config.upsampler == "surface" and mapping is Mapping.NDC:
        pytest.skip("has no depths; see test_surface.py")
    network = NeLF(config, frame(mapping, (18, 26), channels=channels)).eval()
    poses = (cameras if mapping is Mapping.LINEAR else facing)(2, seed=1)
    with torch.no_grad():
        image = network(poses)
    assert image.shape == (2, channels, 18, 26)
    assert image.isfinite().all()
    assert image.min() >= 0
    assert image.max() <= 1
    assert image[0].std() > 1e-4  # not one flat colour, untrained as it is


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"body": "resnet"}, r"student\.body=resnet is not known; use one of pointwise, conv3x3, depthwise, pyramid"),
        ({"upsampler": "bilinear"}, r"student\.upsampler=bilinear is not known; use one of transposed, shuffle"),
        ({"mapping": "log"}, r"student\.mapping=log is not known; use one of auto, linear, disparity, ndc"),
        ({"upsampler": "transposed", "factor": 4}, r"student\.factor=4 .*transposed; use one of 8, 12"),
        ({"points": 1}, r"student\.points=1 is too small; use 2 or more"),
        ({"blocks": 0}, r"student\.blocks=0 is too small"),
    ],
)
def test_unknown_values(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StudentConfig(**changes)


def test_mapping_for() -> None:
    assert StudentConfig().mapping_for(bounded=True) is Mapping.LINEAR
    assert StudentConfig().mapping_for(bounded=False) is Mapping.DISPARITY
    assert StudentConfig(upsampler="shuffle", mapping="ndc").mapping_for(bounded=False) is Mapping.NDC


@pytest.mark.parametrize(("height", "width"), [(26, 28), (30, 32), (32, 25)])
def test_image_sizes_that_are_no_multiple_of_the_factor(height: int, width: int) -> None:
    """The same camera with a smaller image window sees the middle of what the full window shows.

    Both grids are the same here, so that equality is to rounding (principal points in float32).
    """
    config = StudentConfig(width=16, blocks=1)
    full = frame(size=(32, 32))
    top, left = (32 - height) // 2, (32 - width) // 2
    fx, fy, cx, cy = full.intrinsics
    inner = dataclasses.replace(full, height=height, width=width, intrinsics=(fx, fy, cx - left, cy - top))
    whole, part = NeLF(config, full).eval(), NeLF(config, inner).eval()
    part.load_state_dict(whole.state_dict())
    assert (whole.grid_height, whole.grid_width) == (part.grid_height, part.grid_width)
    with torch.no_grad():
        image, window = whole(cameras(2)), part(cameras(2))
    assert window.shape == (2, 3, height, width)
    assert torch.allclose(image[:, :, top : top + height, left : left + width], window, atol=1e-5)


def test_a_larger_grid_shows_the_same_in_the_middle() -> None:
    """Convolutions see a few cells around; beyond them a wider window must not change what the middle shows."""
    config = StudentConfig(body="conv3x3", width=16, blocks=1, factor=4)
    small = frame(size=(62, 62))
    fx, fy, cx, cy = small.intrinsics
    large = dataclasses.replace(small, height=94, width=94, intrinsics=(fx, fy, cx + 16, cy + 16))
    inner, outer = NeLF(config, small).eval(), NeLF(config, large).eval()
    outer.load_state_dict(inner.state_dict())
    with torch.no_grad():
        image, larger = inner(cameras(1)), outer(cameras(1))
    seen = slice(20, 42)  # 5 cells from the border: two convolutions of the body, three finer ones of the upsampler
    assert torch.allclose(image[:, :, seen, seen], larger[:, :, 36:58, 36:58], atol=1e-5)


def test_intrinsics_default_to_the_frames() -> None:
    network = NeLF(StudentConfig(width=16, blocks=1), frame()).eval()
    given = torch.tensor(network.frame.intrinsics).expand(2, 4)
    with torch.no_grad():
        assert torch.equal(network(cameras(2)), network(cameras(2), given))


def test_gradients_reach_every_weight() -> None:
    for path in PRESETS:
        network = NeLF(preset(path.stem, width=16, blocks=2), frame())
        network(cameras(2)).square().mean().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters()), path


def test_points_keep_to_the_ball() -> None:
    poses = cameras(16, distance=4.0)
    lens = torch.tensor([35.0, 35.0, 16.0, 16.0]).expand(16, 4)
    given = (poses, lens, (32, 32), 4, 2.0, 6.0, torch.zeros(3), 1.0, Mapping.LINEAR)
    assert (Frame.around(*given).near, Frame.around(*given).far) == (2.0, 6.0)
    narrow = Frame.around(*given, within_ball=True)
    depths = (-poses[:, :, 3] * -poses[:, :, 2]).sum(1)
    assert narrow.near == pytest.approx(float(depths.min()) - 1)
    assert narrow.far == pytest.approx(float(depths.max()) + 1)
    wide = Frame.around(*given[:7], 9.0, Mapping.LINEAR, within_ball=True)
    assert (wide.near, wide.far) == (2.0, 6.0)
