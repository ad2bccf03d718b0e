"""Properties of students of every family: presets, configuration, image and gradients."""

from typing import Any

import pytest
import torch

from nelf.core.errors import ConfigError
from nelf.pipeline import config_folder
from nelf.student import (
    STUDENT_CONFIGS,
    STUDENTS,
    HierarchicalConfig,
    Mapping,
    MobileR2LConfig,
    StudentConfig,
    count_macs,
    count_parameters,
    make_student,
)
from nelf.student.config import READERS
from nelf.student.hierarchical import feature_tables
from tests.student.frames import cameras, facing, frame
from tests.student.small import SMALL, preset, small_config, small_student

PRESETS = sorted(path.stem for path in (config_folder() / "student").glob("*.yaml"))
NEEDS_DEPTH = {"hierarchical"}
"""Families that refuse normalised device coordinates."""


def test_every_family_is_tried_here() -> None:
    """Names of readers stand in the configuration again, which is checked before PyTorch is loaded."""
    assert set(SMALL) <= set(STUDENTS)
    assert {name: type(family.config()) for name, family in STUDENTS.items()} == STUDENT_CONFIGS
    assert all(family.config().family == name for name, family in STUDENTS.items())
    assert set(READERS) == set(feature_tables.READERS)
    assert {preset(name).family for name in PRESETS} == set(STUDENTS)


@pytest.mark.parametrize(
    ("name", "mapping"),
    [(n, m) for n in PRESETS for m in Mapping if m is not Mapping.NDC or preset(n).family not in NEEDS_DEPTH],
)
@pytest.mark.parametrize("channels", [3, 4])
def test_every_preset_runs(name: str, mapping: Mapping, channels: int) -> None:
    config = preset(name)
    assert config.name == name
    torch.manual_seed(0)
    network = make_student(config, frame(mapping, (18, 26), channels=channels)).eval()
    poses = (cameras if mapping is Mapping.LINEAR else facing)(2, seed=1)
    with torch.no_grad():
        image = network(poses)
    assert image.shape == (2, channels, 18, 26)
    assert image.isfinite().all()
    assert image.min() >= 0
    assert image.max() <= 1
    assert image[0].std() > 1e-4  # not one flat colour, untrained as it is


def test_presets_cost_the_more_the_larger_they_are() -> None:
    networks = [make_student(preset(name), frame(size=(800, 800))) for name in ("s", "m", "l", "mobiler2l")]
    assert [count_macs(n) for n in networks] == sorted({count_macs(n) for n in networks})
    assert [count_parameters(n) for n in networks[:3]] == sorted({count_parameters(n) for n in networks[:3]})


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        (
            "hierarchical",
            {"fine_reader": "cubes"},
            r"student\.fine_reader=cubes is not known; use one of planes, lines",
        ),
        ("hierarchical", {"cell": 3}, r"student\.cell=3 is not known; use one of 1, 2, 4"),
        ("hierarchical", {"fine_nodes": 1}, r"student\.fine_nodes=1 is too small; use a whole number from 2"),
        ("hierarchical", {"middle_nodes": 10**9}, r"student\.middle_nodes=1000000000 is too large"),
        ("hierarchical", {"middle_samples": 0}, r"student\.middle_samples=0 is too small"),
        ("hierarchical", {"fine_spread": -0.1}, r"student\.fine_spread=-0\.1 is too small"),
        ("hierarchical", {"depth_spacing": "ndc"}, r"student\.depth_spacing=ndc .* use .*auto"),
        (
            "hierarchical",
            {"depth_spacing": "log"},
            r"student\.depth_spacing=log is not known; use one of auto, linear",
        ),
        ("hierarchical", {"points_per_ray": 1}, r"student\.points_per_ray=1 is too small"),
        ("hierarchical", {"blocks": 0}, r"student\.blocks=0 is too small"),
        ("mobiler2l", {"blocks": 0}, r"student\.blocks=0 is too small"),
        ("mobiler2l", {"upscale_factor": 4}, r"student\.upscale_factor=4 is not known; use one of 8, 12"),
        ("mobiler2l", {"num_frequencies": 0}, r"student\.num_frequencies=0 is too small"),
    ],
)
def test_what_is_not_possible(family: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small_config(family, **changes)


@pytest.mark.parametrize(
    "config", [HierarchicalConfig(family="mobiler2l"), MobileR2LConfig(family="nerf"), StudentConfig()]
)
def test_a_family_is_what_its_preset_says(config: StudentConfig) -> None:
    with pytest.raises(ConfigError, match=r"student\.family=\w+ cannot be set by itself; choose a preset"):
        make_student(config, frame())


def test_depth_spacing_of_scenes() -> None:
    for config in (HierarchicalConfig(), MobileR2LConfig()):
        assert config.mapping_for(bounded=True) is Mapping.LINEAR
        assert config.mapping_for(bounded=False) is Mapping.DISPARITY
    assert MobileR2LConfig(depth_spacing="ndc").mapping_for(bounded=False) is Mapping.NDC


@pytest.mark.parametrize("family", STUDENTS)
def test_intrinsics_default_to_the_frames(family: str) -> None:
    network = small_student(frame(), family).eval()
    given = torch.tensor(network.frame.intrinsics).expand(2, 4)
    with torch.no_grad():
        assert torch.equal(network(cameras(2)), network(cameras(2), given))


@pytest.mark.parametrize("family", STUDENTS)
def test_gradients_reach_every_weight(family: str) -> None:
    network = small_student(frame(), family)
    image, depth = network.predict(network.prepare(cameras(2), torch.tensor([network.frame.intrinsics] * 2)))
    (image - 0.3).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0 or "bias" in name, name  # before BatchNorm a bias has no say
    assert (depth is None) == (network.depth_pixels is None)


@pytest.mark.parametrize("family", STUDENTS)
def test_rays_are_prepared_in_float32_and_without_weights(family: str) -> None:
    network = small_student(frame(), family)
    given = cameras(2), torch.tensor([network.frame.intrinsics] * 2)
    exact = network.prepare(*given)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network.prepare(*given), exact)
    assert exact.dtype == torch.float32
    assert not exact.requires_grad
