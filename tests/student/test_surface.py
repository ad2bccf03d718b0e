"""The surface upsampler: where its points lie, and what is learnt about them."""

import pytest
import torch

from nelf.errors import ConfigError
from nelf.rays import rays_through
from nelf.student import Frame, Mapping, NeLF, StudentConfig, count_macs
from nelf.student.encoder import ray_points
from nelf.student.surface import STRIDES, SurfaceUpsampler
from tests.student.frames import cameras, facing, frame

OPEN = pytest.mark.parametrize("mapping", [Mapping.LINEAR, Mapping.DISPARITY])


def network(made_for: Frame, **changes: object) -> NeLF:
    values = {"points": 4, "octaves": 3, "width": 8, "blocks": 1, "upsampler": "surface", "tail_width": 8}
    return NeLF(StudentConfig(**{**values, **changes}), made_for)  # type: ignore[arg-type]


def poses(mapping: Mapping, count: int = 2) -> torch.Tensor:
    return (cameras if mapping is Mapping.LINEAR else facing)(count, seed=7)


@OPEN
def test_points_are_those_of_the_encoder(mapping: Mapping) -> None:
    """Lines and fraction give what `ray_points` gives for the finer rays at that depth."""
    made_for = frame(mapping, (18, 26))
    student = network(made_for)
    c2w, intrinsics = poses(mapping), torch.tensor([made_for.intrinsics] * 2)
    lines = student.encode(c2w, intrinsics, None).lines
    assert lines is not None
    fraction = torch.rand(2, 1, *lines.shape[2:], generator=torch.Generator().manual_seed(0))
    found = made_for.points_at(lines[:, :3], lines[:, 3:], fraction)
    pixels = torch.stack(torch.meshgrid(student.finer_columns, student.finer_rows, indexing="xy"), dim=-1)
    rays = rays_through(pixels.expand(2, -1, -1, -1), c2w[:, None, None], intrinsics[:, None, None])
    expected = ray_points(rays, made_for.depth_at(fraction)[:, 0, :, :, None], made_for)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@OPEN
def test_fraction_is_the_inverse_of_depth(mapping: Mapping) -> None:
    made_for = frame(mapping)
    fraction = torch.linspace(0, 1, 11)
    torch.testing.assert_close(made_for.fraction_at(made_for.depth_at(fraction)), fraction, rtol=1e-4, atol=1e-5)
    assert made_for.fraction_at(torch.tensor([0.0, 1e9])).tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize("factor", STRIDES)
@pytest.mark.parametrize("size", [(32, 48), (18, 26)])
def test_every_factor_gives_the_image_and_a_depth_for_each_finer_ray(factor: int, size: tuple[int, int]) -> None:
    student = network(frame(size=size), factor=factor)
    c2w = poses(Mapping.LINEAR)
    image, surface = student.decode(student.encode(c2w, torch.tensor([student.frame.intrinsics] * 2), None))
    assert image.shape == (2, 3, *size)
    assert surface is not None
    assert surface.shape == (2, len(student.finer_rows), len(student.finer_columns))
    cell = STRIDES[factor][1]
    assert torch.allclose(student.finer_rows.diff(), torch.tensor(float(cell)))
    covered = len(student.finer_rows) * cell, len(student.finer_columns) * cell
    assert all(0 <= have - want < factor for have, want in zip(covered, size, strict=True))
    assert (surface > 0).all()
    assert (surface < 1).all()


def test_colours_move_the_surface_too() -> None:
    """The depth is learnt from the colours where no depth is known: a gradient reaches it through the points."""
    student = network(frame())
    student(poses(Mapping.LINEAR)).square().mean().backward()
    assert isinstance(student.upsampler, SurfaceUpsampler)
    weight = student.upsampler.likelihood.weight.grad
    assert weight is not None
    assert weight.abs().max() > 0


def test_features_of_places_can_be_left_out() -> None:
    student = network(frame(), tail_rank=0)
    assert student(poses(Mapping.LINEAR)).shape[:2] == (2, 3)
    assert count_macs(student) < count_macs(network(frame()))


def test_normalised_device_coordinates_have_no_depth() -> None:
    with pytest.raises(ConfigError, match=r"student\.mapping=ndc .* use .*auto"):
        StudentConfig(upsampler="surface", mapping="ndc")
    with pytest.raises(ConfigError, match=r"student\.mapping=ndc"):
        network(frame(Mapping.NDC))
