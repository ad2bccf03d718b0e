"""Three levels of rays: positions of their points, any image size, and the same picture when deployed."""

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from nelf.core.cameras import rays_through
from nelf.core.errors import ConfigError
from nelf.student import Layout, Mapping, SceneGeometry, make_student
from nelf.student.deploy import TO_FIRST
from nelf.student.hierarchical import Hierarchical
from nelf.student.hierarchical.feature_tables import READERS, points_on
from nelf.student.ray_encoding import ray_points
from tests.student.frames import cameras, facing, frame
from tests.student.small import all_levels, small_config, small_student, with_contrast

OPEN = pytest.mark.parametrize("mapping", [Mapping.LINEAR, Mapping.DISPARITY])
CELLS = pytest.mark.parametrize("cell", [1, 2, 4])


def poses(mapping: Mapping, count: int = 2) -> Tensor:
    return (cameras if mapping is Mapping.LINEAR else facing)(count, seed=7)


def network(made_for: SceneGeometry, **changes: Any) -> Hierarchical:
    model = small_student(made_for, **changes)
    assert isinstance(model, Hierarchical)
    return model


def contrasting(made_for: SceneGeometry, **changes: Any) -> Hierarchical:
    model = with_contrast(network(made_for, **changes), poses(Mapping(made_for.mapping)))
    assert isinstance(model, Hierarchical)
    return model


def lens_of(model: Hierarchical, count: int = 2) -> Tensor:
    return torch.tensor([model.frame.intrinsics] * count)


@pytest.mark.parametrize("size", [(32, 48), (21, 28), (5, 9)])
@pytest.mark.parametrize("channels", [3, 4])
@CELLS
@torch.no_grad()
def test_any_size_gives_the_image_and_a_depth_for_each_cell(cell: int, channels: int, size: tuple[int, int]) -> None:
    model = network(frame(size=size, channels=channels), cell=cell)
    image, depth = model.predict(model.prepare(poses(Mapping.LINEAR), lens_of(model)))
    assert image.shape == (2, channels, *size)
    assert image.min() >= 0
    assert image.max() <= 1
    assert depth is not None
    pixels = model.depth_pixels
    assert depth.shape == (2, 2, len(pixels.rows), len(pixels.columns))
    covered = len(pixels.rows) * cell, len(pixels.columns) * cell
    assert all(0 <= have - want < 8 for have, want in zip(covered, size, strict=True))


@CELLS
@pytest.mark.parametrize("size", [(32, 48), (21, 28), (5, 9)])
def test_depth_pixels_lie_in_their_cells_and_in_the_image(cell: int, size: tuple[int, int]) -> None:
    model = network(frame(size=size), cell=cell)
    pixels = model.depth_pixels
    found = pixels.rows, pixels.columns
    for index, middles, most in zip(map(torch.from_numpy, found), (model.rows, model.columns), size, strict=True):
        assert index.min() >= 0
        assert index.max() < most
        inside = (middles > 0) & (middles < most)
        assert inside.any()
        assert (index[inside] + 0.5 - middles[inside]).abs().max() <= 0.5
        assert torch.allclose(middles.diff(), torch.tensor(float(cell)))


@pytest.mark.parametrize("reader", READERS)
@OPEN
@torch.no_grad()
def test_all_readers_and_spacings_give_pictures_of_the_pose(mapping: Mapping, reader: str) -> None:
    model = contrasting(frame(mapping, (21, 28)), **all_levels(reader=reader))
    first, second = model(poses(mapping))
    assert min(first.std(), second.std()) > 0.03
    assert (first - second).abs().mean() > 0.01


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize(
    ("reader", "mapping", "cell"),
    [
        *itertools.product(READERS, [Mapping.LINEAR, Mapping.DISPARITY], [2]),
        ("planes", Mapping.LINEAR, 1),
        ("planes", Mapping.DISPARITY, 4),
    ],
)
@torch.no_grad()
def test_deployed_it_is_the_same(reader: str, mapping: Mapping, cell: int, layout: Layout) -> None:
    model = contrasting(frame(mapping, (21, 28), channels=4), **all_levels(reader=reader), cell=cell)
    deployed = model.deploy(layout, torch.float32)
    for pose in poses(mapping, 3):
        grid, image = deployed(pose[None]), model(pose[None])
        grid = grid if layout is Layout.CHANNELS_FIRST else grid.permute(TO_FIRST)
        assert image.std() > 0.05, "a flat picture proves nothing"
        assert tuple(grid.shape) == (1, 4, 24, 32)
        # Sums in another order; depths and places carry the difference on.
        torch.testing.assert_close(model.crop(grid), image, atol=1e-5, rtol=0)


@torch.no_grad()
def test_deployed_it_shares_no_weights() -> None:
    model = contrasting(frame())
    pointers = {p.data_ptr() for p in model.parameters()}
    deployed = model.deploy(Layout.CHANNELS_LAST, torch.float32)
    assert pointers.isdisjoint(t.data_ptr() for t in (*deployed.parameters(), *deployed.buffers()))


@OPEN
@torch.no_grad()
def test_points_are_those_of_the_rays_at_that_depth(mapping: Mapping) -> None:
    made_for = frame(mapping, (21, 28))
    model = network(made_for)
    c2w, intrinsics = poses(mapping), lens_of(model)
    lines = model.prepare(c2w, intrinsics)
    fractions = torch.rand(*lines.shape[:3], 3, generator=torch.Generator().manual_seed(0))
    pixels = torch.stack(torch.meshgrid(model.columns, model.rows, indexing="xy"), dim=-1)
    rays = rays_through(pixels.expand(2, -1, -1, -1), c2w[:, None, None], intrinsics[:, None, None])
    expected = ray_points(rays, made_for.depth_at(fractions), made_for)
    shares = points_on(made_for, lines, fractions)
    low, high = torch.tensor(made_for.low), torch.tensor(made_for.high)
    found = (low + shares * (high - low)).flatten(-2).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_tables_of_open_scenes_cover_just_what_the_cameras_see() -> None:
    made_for = frame(Mapping.DISPARITY, (24, 32))
    model = network(made_for)
    lines = model.prepare(facing(16), lens_of(model, 16))
    shares = points_on(made_for, lines, torch.linspace(0, 1, 9)).reshape(-1, 3)
    assert shares.min() >= 0
    assert shares.max() <= 1
    assert (shares.amax(0) - shares.amin(0)).min() > 0.75  # the rest: half a cell at the borders, and the margin
    assert frame(Mapping.LINEAR, (21, 28)).high == (1.5, 1.5, 1.5)


@pytest.mark.parametrize("reader", READERS)
def test_tables_reach_over_the_scene(reader: str) -> None:
    tables = READERS[reader](9, 4, 32)
    assert tables.cells(torch.tensor([0.0, 0.5, 1.0])).tolist() == [0, 4, 8]
    features = tables(torch.zeros(2, 3, 5, 7, 3))
    assert features.shape == (2, 7 * tables.features, 3, 5)
    assert torch.equal(features[:, : tables.features], features[:, tables.features : 2 * tables.features])


@pytest.mark.parametrize("reader", READERS)
def test_tables_of_four_bits_learn_and_hold_fifteen_values_per_channel(reader: str) -> None:
    torch.manual_seed(0)
    tables = READERS[reader](9, 4, 4)
    optimizer = torch.optim.Adam(tables.parameters(), lr=0.01)
    points, wanted = torch.rand(1, 40, 1, 1, 3), torch.linspace(-1, 1, 40)[None, None, :, None]
    losses = []
    for _ in range(100):
        loss = (tables(points) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]
    with torch.no_grad():
        seen = tables.read_values().view(tables.tables, -1, 4)
    assert all(len(table[:, channel].unique()) <= 15 for table in seen for channel in range(4))
    for layout in Layout:
        rows = tables.deploy(layout, torch.float32)
        for table, read in zip(rows.tables, seen, strict=True):
            steps = table * 7
            assert torch.allclose(steps, steps.round(), atol=1e-4)
            assert steps.abs().max() <= 7.001
            assert torch.allclose(table / table.abs().amax(0), read / read.abs().amax(0), atol=1e-5)


@torch.no_grad()
def test_a_small_movement_changes_little() -> None:
    """The picture is continuous in the pose: no sample jumps between nodes."""
    model = contrasting(frame(size=(21, 28)))
    c2w = poses(Mapping.LINEAR, 4)
    for axis in range(3):
        moved = c2w.clone()
        moved[:, axis, 3] += 1e-4
        change = (model(moved) - model(c2w)).abs()
        assert 0 < change.max() < 0.02
        moved[:, axis, 3] += 0.3
        assert (model(moved) - model(c2w)).abs().mean() > 20 * change.mean()


@pytest.mark.parametrize(("height", "width"), [(26, 28), (30, 32), (32, 25)])
@torch.no_grad()
def test_a_smaller_window_sees_the_middle(height: int, width: int) -> None:
    """Both grids of rays are the same here, so equality is up to rounding (principal points in float32)."""
    full = frame(size=(32, 32))
    top, left = (32 - height) // 2, (32 - width) // 2
    fx, fy, cx, cy = full.intrinsics
    inner = dataclasses.replace(full, height=height, width=width, intrinsics=(fx, fy, cx - left, cy - top))
    whole, part = contrasting(full), contrasting(inner)
    part.load_state_dict(whole.state_dict())
    image, window = whole(poses(Mapping.LINEAR)), part(poses(Mapping.LINEAR))
    assert window.shape == (2, 3, height, width)
    assert torch.allclose(image[:, :, top : top + height, left : left + width], window, atol=1e-4)


@torch.no_grad()
def test_a_wider_image_shows_the_same_in_the_middle() -> None:
    """Convolutions see only some rays around: a wider window must not change the middle."""
    small = frame(size=(24, 208))
    fx, fy, cx, cy = small.intrinsics
    wide = dataclasses.replace(small, width=272, intrinsics=(fx, fy, cx + 32, cy))
    inner, outer = contrasting(small), contrasting(wide)
    outer.load_state_dict(inner.state_dict())
    image, wider = inner(poses(Mapping.LINEAR)), outer(poses(Mapping.LINEAR))
    assert torch.allclose(image[..., 96:112], wider[..., 128:144], atol=1e-4)
    assert not torch.allclose(image, wider[..., 32:240], atol=1e-3), "at the border there is something else beside it"


def test_places_stay_in_float32_where_the_rest_is_half() -> None:
    """bfloat16 has eight bits: of 128 nodes it resolves every second one."""
    model = contrasting(frame(size=(21, 28)))
    places: dict[str, list[Tensor]] = {"exact": [], "mixed": []}
    kind = "exact"
    for tables in (model.coarse_tables, model.middle_tables, model.fine_tables):
        tables.register_forward_hook(lambda _, given, found: places[kind].extend([*given, found]))
    with torch.no_grad():
        rays = model.prepare(poses(Mapping.LINEAR), lens_of(model))
        model.predict(rays)
        kind = "mixed"
        with torch.autocast("cpu", torch.bfloat16):
            image, depth = model.predict(rays)
    assert image.dtype == torch.bfloat16, "the rest is"
    assert depth is not None
    assert {t.dtype for t in (*places["mixed"], depth)} == {torch.float32}
    assert torch.equal(places["mixed"][0], places["exact"][0])


def test_the_image_teaches_the_depth_and_the_tables() -> None:
    """Unknown depths are learnt from the colours: gradients reach them through the positions."""
    model = contrasting(frame())
    model(poses(Mapping.LINEAR)).square().mean().backward()
    for part in (model.depth_logits, model.correct, model.coarse_tables, model.middle_tables, model.fine_tables):
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters()), part


def test_normalised_device_coordinates_have_no_depth() -> None:
    with pytest.raises(ConfigError, match="normalised device coordinates"):
        network(frame(Mapping.NDC))


def test_on_the_meta_device_it_takes_no_memory() -> None:
    scene = frame()
    with torch.device("meta"):
        model = make_student(small_config(**all_levels(nodes=1024, reader="volume")), scene)
    assert {p.device.type for p in model.parameters()} == {"meta"}
