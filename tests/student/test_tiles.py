"""A student in two parts shows what it shows as a whole; blocks are left out only where that costs little."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nelf.bundle.tiles import Grid, calls_for, neighbours_of
from nelf.core.cameras import look_at
from nelf.core.errors import ConfigError
from nelf.student import Layout, tiles
from nelf.student.tiles import BLOCK, NOTHING, Blocks, Cut, Estimates, Hull, TileStudent
from tests.export.networks import ahead, around, student

EVERYWHERE = Hull(torch.ones(3, 3, 3))


def estimates(model: TileStudent) -> Estimates:
    count = 1 + model.frame.channels
    return Estimates(torch.zeros(count, model.state_features), torch.zeros(count))


def decoded(
    model: TileStudent,
    pose: Float[Tensor, "3 4"],
    needed: Bool[Tensor, "rows columns"],
    layout: Layout = Layout.CHANNELS_FIRST,
    left_out: Sequence[Tensor] = (),
) -> Float[Tensor, "n 8 8 channels"]:
    """The needed blocks in one call, row by row."""
    first, decoder = model.cut(Cut(model.grid, EVERYWHERE, estimates(model), left_out), layout, torch.float32)
    (top, left), (rows, columns) = model.margins, model.grid
    state, _ = first(pose[None], tiles.plane_at(model.frame, -left, -top)[None])
    (call,) = calls_for(needed.numpy(), rows * columns, model.reach.decoder)
    places = neighbours_of(call, Grid(rows, columns, top, left), len(call.rows))
    corners = zip(call.rows.tolist(), call.columns.tolist(), strict=True)
    planes = torch.stack([tiles.plane_at(model.frame, c * BLOCK - left, r * BLOCK - top) for r, c in corners])
    images: Tensor = decoder(pose[None], state[0, call.rows, call.columns], planes, torch.from_numpy(places))
    return images


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"cell": 1, "decoder_blocks": 2},
        {"cell": 4, "middle_blocks": 2},
        {"decoder_blocks": 0, "middle_reader": "planes"},
        {"mapping": "disparity", "channels": 3, "blocks": 2, "fine_reader": "lines"},
    ],
)
@torch.no_grad()
def test_all_blocks_are_what_the_whole_network_shows(changes: dict[str, Any], layout: Layout) -> None:
    """In float32 only the order of sums differs. A wrong neighbour would leave 30 to 60 dB."""
    model = tiles.check_tiles(student(**{"channels": 4, "size": (48, 64), **changes}))
    pose = (ahead if "mapping" in changes else around)(3)[2]
    images = decoded(model, pose, torch.ones(model.grid, dtype=torch.bool), layout)
    expected = tiles.blocks_of(model, model(pose[None])[0]).flatten(0, 1)
    assert -10 * torch.log10((images - expected).square().mean()) > 100
    assert (images - expected).abs().max() < 1e-4


@torch.no_grad()
def test_less_around_a_block_would_show() -> None:
    """The reach is not larger than it must be: the farthest block within it counts, the one behind it does not."""
    model = tiles.check_tiles(student(channels=4, size=(128, 128), middle_blocks=2, decoder_blocks=2))
    needed = torch.ones(model.grid, dtype=torch.bool)
    shown = []
    for distance in (model.reach.decoder, model.reach.decoder + 1):
        fewer = needed.clone()
        fewer[:, 8 + distance :] = False
        images = torch.zeros(*model.grid, BLOCK, BLOCK, 4)
        images[fewer] = decoded(model, around(1)[0], fewer)
        shown.append(images[:, 8])
    whole = decoded(model, around(1)[0], needed).reshape(*model.grid, BLOCK, BLOCK, 4)[:, 8]
    assert (shown[0] - whole).abs().max() > 1e-6
    assert (shown[1] - whole).abs().max() < 1e-6


@torch.no_grad()
def test_constants_stand_for_blocks_that_are_left_out() -> None:
    """They are closer to what is left out than zeros are. Where nothing is left out, none are used."""
    model = tiles.check_tiles(student(channels=4, size=(96, 96), middle_blocks=2, decoder_blocks=2))
    poses, needed = around(4), torch.zeros(4, *model.grid, dtype=torch.bool)
    needed[:, 3:9, 4:8] = True
    left_out = model.left_out_features(poses, needed)
    expected = tiles.blocks_of(model, model(poses[:1])[0])[needed[0]]
    errors = [(decoded(model, poses[0], needed[0], left_out=one) - expected).square().mean() for one in ((), left_out)]
    assert errors[1] < 0.9 * errors[0]
    assert all((one == 0).all() for one in model.left_out_features(poses, torch.ones_like(needed)))


def test_a_student_without_parts_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot render in tiles"):
        tiles.check_tiles(student("mobiler2l"))


class Ball(TileStudent):
    """Shows a ball around the origin that fills half of the scene."""

    reach = tiles.Reach(0, 0)
    state_features = 1
    margins = (0, 0)

    def __init__(self) -> None:
        model = student(channels=4, size=(64, 64))
        super().__init__(model.config, model.frame)
        self.grid = 8, 8

    def forward(self, c2w: Float[Tensor, "1 3 4"], *_: object) -> Float[Tensor, "1 4 64 64"]:
        fx, fy, cx, cy = self.frame.intrinsics
        y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
        rays = torch.stack([(x - cx) / fx, -(y - cy) / fy, -torch.ones(64, 64)], dim=-1) @ c2w[0, :, :3].T
        eye = c2w[0, :, 3]
        nearest = (torch.linalg.cross(eye.expand_as(rays), rays)).norm(dim=-1) / rays.norm(dim=-1)
        return (nearest < 0.75).float().expand(1, 4, -1, -1)

    def prepare(self, *_: object) -> Tensor:
        raise NotImplementedError

    predict = deploy = cut = left_out_features = prepare  # type: ignore[assignment]


def test_the_hull_is_around_what_is_seen() -> None:
    eye = 4 * torch.nn.functional.normalize(torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    hull = tiles.carve(Ball(), look_at(eye, torch.zeros(12, 3), torch.tensor([0.0, 0.0, 1.0])))
    frame = Ball().frame
    line = torch.linspace(-1, 1, hull.nodes) * frame.unit
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    distance = (torch.stack([x, y, z], dim=-1) + torch.tensor(frame.center)).norm(dim=-1)
    assert (hull.values[distance < 0.75] == 1).all()
    assert (hull.values[(distance > 1.3) & (distance < 1.45)] == 0).float().mean() > 0.9


def blocks(inside: list[float], shade: list[float]) -> Blocks:
    """Blocks in a row, of one grey each, whose features say nothing."""
    images = torch.tensor(shade)[:, None, None].expand(-1, BLOCK**2, 4)
    return of_pixels(torch.zeros(len(shade), 2), torch.tensor(inside), images)


def of_pixels(
    state: Float[Tensor, "n features"], inside: Float[Tensor, "n"], images: Float[Tensor, "n pixels channels"]
) -> Blocks:
    """Blocks in a row, in one view, all of them in the image."""
    images = images.double()
    sums = images.sum(dim=1)[None, None], images.square().sum(dim=1)[None, None]
    pixels = torch.full((1, len(images), 1), BLOCK**2, dtype=torch.float64)
    return Blocks(state[None, None], inside[None, None], *sums, pixels)


def test_as_many_blocks_are_empty_as_the_limit_allows() -> None:
    found = blocks([0.1, 0.2, 0.5, 0.9], [0.0, 0.01, 0.1, 1.0])
    unknown = Estimates(torch.zeros(5, 2), torch.zeros(5))
    thresholds, scores = tiles.choose_thresholds(found, unknown, 40.0)  # over four blocks: 4e-4 in all, half of it here
    assert thresholds.empty == pytest.approx(0.5)
    assert thresholds.decoded(scores)[0, 0].tolist() == [False, False, True, True]
    strict, _ = tiles.choose_thresholds(found, unknown, 70.0)
    assert strict.empty == pytest.approx(0.2)


@pytest.mark.parametrize(("views", "empty"), [(9, 0.0), (10, 0.5)])
def test_one_view_in_ten_may_lose_more(views: int, empty: float) -> None:
    """A spot that no other view shows does not keep all others from being left out."""
    one = blocks([0.0, 0.2, 0.5, 0.9], [0.0, 0.0, 0.1, 1.0])
    every = Blocks(
        *(value.expand(views, *value.shape[1:]).clone() for value in (one.state, one.inside, one.total, one.squares)),
        one.pixels,
    )
    every.total[0, 0, 0], every.squares[0, 0, 0] = BLOCK**2, BLOCK**2
    thresholds, _ = tiles.choose_thresholds(every, Estimates(torch.zeros(5, 2), torch.zeros(5)), 40.0)
    assert thresholds.empty == (empty or NOTHING)


def test_a_view_of_nothing_sets_no_limit() -> None:
    shown, nothing = blocks([0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 0.1, 1.0]), blocks([0.0] * 4, [0.0] * 4)
    names = ("state", "inside", "total", "squares")
    both = Blocks(*(torch.cat([getattr(one, name) for one in (shown, nothing)]) for name in names), shown.pixels)
    thresholds, _ = tiles.choose_thresholds(both, Estimates(torch.zeros(5, 2), torch.zeros(5)), 40.0)
    assert thresholds.empty == 0.5


def test_blocks_of_one_score_stay_together() -> None:
    found = blocks([0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0])
    thresholds, _ = tiles.choose_thresholds(found, Estimates(torch.zeros(5, 2), torch.zeros(5)), 40.0)
    assert thresholds.empty == NOTHING


def test_easy_blocks_are_those_whose_colour_is_known() -> None:
    """RGB, so no block is empty. Features give the colour; every third block has a pattern, which they give too."""
    count, generator = 60, torch.Generator().manual_seed(0)
    shade, pattern = torch.rand(count, generator=generator), (torch.arange(count) % 3 == 0).float()
    images = shade[:, None] + 0.2 * pattern[:, None] * torch.randn(count, BLOCK**2, generator=generator)
    state = torch.stack([shade, pattern], dim=-1)
    found = of_pixels(state, torch.ones(count), images[..., None].expand(-1, -1, 3))
    thresholds, scores = tiles.choose_thresholds(found, tiles.fit_estimates(found), 50.0)
    assert thresholds.empty == NOTHING
    assert torch.equal(thresholds.decoded(scores)[0, 0], pattern.bool())
