"""The fast ray encoding against the plain one, and NDC against the paper."""

import math

import pytest
import torch

from nelf.core.cameras import image_rays, look_at
from nelf.core.optimization import StepRandom
from nelf.student import Mapping
from nelf.student.geometry import EXTENT
from nelf.student.mobiler2l import MobileR2L
from nelf.student.ray_encoding import encode_points, encode_separated, encoded_channels, ndc_rays
from tests.student.frames import cameras, facing, frame
from tests.student.small import small_student


def model(mapping: Mapping, **changes: object) -> MobileR2L:
    network = small_student(frame(mapping), "mobiler2l", **changes)
    assert isinstance(network, MobileR2L)
    return network


def direct_in_float64(network: MobileR2L, c2w: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
    return network.double().encode_direct(c2w.double(), intrinsics.double())


def intrinsics_of(network: MobileR2L, count: int) -> torch.Tensor:
    """Different for each camera."""
    spread = 1 + 0.1 * torch.rand(count, 4, generator=torch.Generator().manual_seed(3))
    return torch.tensor(network.frame.intrinsics) * spread


@pytest.mark.parametrize("mapping", [Mapping.LINEAR, Mapping.DISPARITY])
@pytest.mark.parametrize(("points", "octaves"), [(8, 6), (5, 8), (2, 1)])
def test_separated_equals_direct(mapping: Mapping, points: int, octaves: int) -> None:
    network = model(mapping, points_per_ray=points, num_frequencies=octaves)
    c2w = (cameras if mapping is Mapping.LINEAR else facing)(6, seed=1)
    intrinsics = intrinsics_of(network, 6)
    fast = network.prepare(c2w, intrinsics)
    assert fast.shape[1] == encoded_channels(points, octaves)
    exact = direct_in_float64(network, c2w, intrinsics)
    # Coordinates up to 8 are rounded to 2^-22 in float32 a few times over; the top octave multiplies that by 2^(L-1).
    tolerance = 8 * 2.0**-22 * 2 ** (octaves - 1)
    assert (fast.double() - exact).abs().max() < tolerance


def test_products_are_safe_in_half_precision() -> None:
    """The purpose of the separated form: phases are in float32, and only sines and cosines are rounded."""
    network = model(Mapping.LINEAR, points_per_ray=8, num_frequencies=6)
    c2w, intrinsics = cameras(4), intrinsics_of(network, 4)
    exact = direct_in_float64(network, c2w, intrinsics).float()
    network = network.float()
    values = exact[:, :24]
    a, b = values[:, :, 0, :], values[:, :, :, 0] - values[:, :, 0, 0][:, :, None]
    separated = encode_separated(a, b, 6, torch.float16).float()
    direct = encode_points(values.half(), 6).float()
    trigonometric = slice(24, None)
    # Three roundings of numbers up to 1: 3 * 2^-11. The direct form rounds the coordinate itself and multiplies by 32.
    assert (separated - exact)[:, trigonometric].abs().max() < 3 * 2.0**-11
    assert (direct - exact)[:, trigonometric].abs().max() > 0.02


@pytest.mark.parametrize("mapping", [Mapping.LINEAR, Mapping.DISPARITY])
def test_coordinates_are_points_on_the_rays(mapping: Mapping) -> None:
    """Ray by ray and point by point, as in the paper; coordinates of the scene's content are of order one."""
    network = model(mapping, points_per_ray=4)
    made_for = network.frame
    c2w = (cameras if mapping is Mapping.LINEAR else facing)(1, seed=2)
    encoded = network.prepare(c2w, torch.tensor([made_for.intrinsics]))
    fx, fy, cx, cy = made_for.intrinsics
    if mapping is Mapping.LINEAR:
        depths = [2 + i * 4 / 3 for i in range(4)]
    else:
        depths = [1 / (1 - i / 3 * (1 - 1 / 100)) for i in range(4)]
    for row, column in [(0, 0), (1, 3), (3, 2)]:
        x, y = column * 8 + 4, row * 8 + 4
        camera_point = torch.tensor([(x - cx) / fx, -(y - cy) / fy, -1.0])
        for k, depth in enumerate(depths):
            world = c2w[0, :, 3] + depth * (c2w[0, :, :3] @ camera_point)
            scale = EXTENT / made_for.unit if mapping is Mapping.LINEAR else EXTENT / (made_for.unit + depth)
            expected = (world - torch.tensor(made_for.center)) * scale
            # float32: coordinates of order one after sums of numbers up to 100.
            assert torch.allclose(encoded[0, 3 * k : 3 * k + 3, row, column], expected, atol=1e-5)
    assert encoded[:, :12].abs().max() < 3 * EXTENT


def test_channel_order() -> None:
    values = torch.tensor([0.3, -0.7]).reshape(1, 2, 1, 1)
    expected = [0.3, -0.7]
    expected += [math.sin(v * f) for f in (1, 2, 4) for v in (0.3, -0.7)]
    expected += [math.cos(v * f) for f in (1, 2, 4) for v in (0.3, -0.7)]
    assert torch.allclose(encode_points(values, 3).flatten(), torch.tensor(expected))


def test_ndc_against_the_formula_ray_by_ray() -> None:
    """NeRF, appendix C: o' and d' of eq. 25 and 26 in the reference camera, for each ray alone, in Python floats."""
    made_for = frame(Mapping.NDC)
    reference = torch.tensor(made_for.reference).reshape(3, 4).double()
    fx, fy = made_for.intrinsics[:2]
    pose = facing(1, seed=5)[0]
    rays = image_rays(pose, torch.tensor(made_for.intrinsics), 4, 5)
    result = ndc_rays(rays, made_for)
    for row in range(4):
        for column in range(5):
            position = rays.origins[row, column].double() - reference[:, 3]
            o = [float(position @ reference[:, i]) for i in range(3)]
            d = [float(rays.directions[row, column].double() @ reference[:, i]) for i in range(3)]
            to_near = -(made_for.near + o[2]) / d[2]
            ox, oy, oz = (o[i] + to_near * d[i] for i in range(3))
            sx, sy = -2 * fx / made_for.width, -2 * fy / made_for.height
            origin = [sx * ox / oz, sy * oy / oz, 1 + 2 * made_for.near / oz]
            direction = [
                sx * (d[0] / d[2] - ox / oz),
                sy * (d[1] / d[2] - oy / oz),
                -2 * made_for.near / oz,
            ]
            # float32, values of order one, a handful of operations
            assert result.origins[row, column].tolist() == pytest.approx(origin, abs=1e-5)
            assert result.directions[row, column].tolist() == pytest.approx(direction, abs=1e-5)


def test_ndc_of_points_is_the_perspective_projection() -> None:
    """The NDC of a point on a ray (appendix C, eq. 21) lies on the NDC line of that ray, between near and infinity."""
    made_for = frame(Mapping.NDC)
    reference = torch.tensor(made_for.reference).reshape(3, 4)
    fx, fy = made_for.intrinsics[:2]
    rays = image_rays(facing(1, seed=6)[0], torch.tensor(made_for.intrinsics), 3, 3)
    line = ndc_rays(rays, made_for)
    world = rays.origins + 7.0 * rays.directions
    camera = (world - reference[:, 3]) @ reference[:, :3]
    x, y, z = camera.unbind(-1)
    projected = torch.stack(
        [-2 * fx / made_for.width * x / z, -2 * fy / made_for.height * y / z, 1 + 2 * made_for.near / z], -1
    )
    share = (projected - line.origins)[..., 2:] / line.directions[..., 2:]
    assert torch.allclose(line.origins + share * line.directions, projected, atol=1e-5)
    assert ((share > 0) & (share < 1)).all()


def test_ndc_student_sees_the_near_plane_first() -> None:
    network = model(Mapping.NDC, points_per_ray=4)
    encoded = network.prepare(facing(2, seed=7), torch.tensor(network.frame.intrinsics).expand(2, 4))
    assert torch.allclose(encoded[:, 2], torch.tensor(-1.0), atol=1e-5)  # z of the first point
    assert torch.allclose(encoded[:, 11], torch.tensor(1.0), atol=1e-5)  # z of the last: infinity


def test_jitter_stays_inside_the_bins() -> None:
    network = model(Mapping.LINEAR, points_per_ray=4)
    c2w = look_at(torch.tensor([[0.0, 0, 4]]), torch.zeros(1, 3), torch.tensor([0.0, 1, 0]))
    intrinsics = torch.tensor([network.frame.intrinsics])
    draws = StepRandom(0)
    jitters = [network.draw_jitter(draws, 1) for _ in range(50)]
    drawn = torch.stack([network.prepare(c2w, intrinsics, jitter)[0, 2:12:3] for jitter in jitters])
    depth = 4 - drawn * network.frame.unit / EXTENT  # the camera looks along -z from z = 4
    edges = [2, 2 + 2 / 3, 4, 6 - 2 / 3, 6]
    for k in range(4):
        low, high = float(depth[:, k].min()), float(depth[:, k].max())
        assert edges[k] - 1e-4 <= low < edges[k] + 0.1
        assert edges[k + 1] - 0.1 < high <= edges[k + 1] + 1e-4


def test_jitter_of_a_view_is_the_same_in_whatever_process() -> None:
    network = model(Mapping.LINEAR, points_per_ray=4)
    whole = network.draw_jitter(StepRandom(7), 4)
    parts = [network.draw_jitter(StepRandom(7, rank=rank, ranks=2), 2) for rank in (0, 1)]
    assert torch.equal(whole[0::2], parts[0])
    assert torch.equal(whole[1::2], parts[1])


def test_rays_are_those_of_the_cells_middles() -> None:
    network = model(Mapping.LINEAR)
    assert network.columns.tolist() == [4, 12, 20, 28]
