"""A student in two parts shows what it shows as a whole; blocks are left out only where that costs little."""

from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from nelf.core.cameras import look_at
from nelf.core.errors import ConfigError
from nelf.student import Layout, tiles
from nelf.student.tiles import BLOCK, NOTHING, Blocks, Cut, Estimates, Hull, TileStudent
from tests.export.networks import ahead, around, student

EVERYWHERE = Hull(torch.ones(3, 3, 3))


def estimates(model: TileStudent) -> Estimates:
    count = 1 + model.frame.channels
    return Estimates(torch.zeros(count, model.state_features), torch.zeros(count))


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize(
    ("tile", "changes"),
    [
        ((4, 5), {}),
        ((2, 3), {"cell": 1, "decoder_blocks": 2}),
        ((3, 2), {"cell": 4, "middle_blocks": 2}),
        ((3, 7), {"decoder_blocks": 0, "middle_reader": "planes"}),
        ((6, 1), {"mapping": "disparity", "channels": 3, "blocks": 2, "fine_reader": "lines"}),
    ],
)
@torch.no_grad()
def test_every_tile_is_what_the_whole_network_shows(
    tile: tuple[int, int], changes: dict[str, Any], layout: Layout
) -> None:
    """In float32 only the order of sums differs. A missing row of a tile's surroundings would leave 30 to 60 dB."""
    model = tiles.check_tiles(student(**{"channels": 4, "size": (45, 60), **changes}))
    pose = (ahead if "mapping" in changes else around)(3)[2]
    image = tiles.render_reference(model, Cut(tile, model.grid, EVERYWHERE, estimates(model)), pose, layout)
    expected = model(pose[None])[0].permute(1, 2, 0)
    assert -10 * torch.log10((image - expected).square().mean()) > 100
    assert (image - expected).abs().max() < 1e-4


@torch.no_grad()
def test_less_around_a_tile_would_show() -> None:
    """The reach is not larger than it must be: what lies at its edge counts."""
    model = tiles.check_tiles(student(channels=4, size=(64, 64), middle_blocks=2, decoder_blocks=2))
    decoder = model.cut(Cut((2, 2), model.grid, EVERYWHERE, estimates(model)), Layout.CHANNELS_FIRST, torch.float32)[1]
    size = 2 + 2 * model.reach.decoder
    state, pose, plane = torch.rand(1, size, size, model.state_features + 1), around(1), torch.zeros(1, 4)
    plane[0, 2:] = 0.01
    state[..., -1] = 1
    other = state.clone()
    other[:, 0] += 1
    assert not torch.equal(decoder(pose, state, plane), decoder(pose, other, plane))


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

    predict = deploy = cut = prepare  # type: ignore[assignment]


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
