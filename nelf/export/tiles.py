"""Export in tiles: cut the student, choose thresholds and the size of tiles, and write the parts of the program."""

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from nelf.bundle.tiles import ESTIMATES, IMAGE, PLANE, POSE, STATE, TileProgram, cover
from nelf.core.errors import ConfigError
from nelf.export.config import ExportConfig
from nelf.export.graph import PartRequest
from nelf.export.targets import Target
from nelf.student import Layout, network_macs
from nelf.student import tiles as cutting
from nelf.student.tiles import Cut, TileStudent

PARTS = "parts"
"""Folder of a program's files in the bundle."""
LONGEST_WINDOW, SHORT_WINDOW = 104, 96
"""Blocks along a side up to which the first part takes all at once, and of its windows above that: about 10 kB each."""
SIDES = (3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32)
"""Blocks along the sides of tiles that are tried, and the whole side."""
CALL_MACS = 5e6  # multiply-accumulates in the time that a call of a part costs besides; measured roughly, on two cores
FEWEST_VIEWS = 3
SIMULATED_VIEWS = 12  # on which tiles are laid out to choose their size


class _FirstGraph(nn.Module):
    """The first part with named outputs."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, pose: Tensor, plane: Tensor) -> dict[str, Tensor]:
        state, estimates = self.part(pose, plane)
        return {STATE: state, ESTIMATES: estimates}


class _DecoderGraph(nn.Module):
    """The decoder with a named output."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, pose: Tensor, state: Tensor, plane: Tensor) -> dict[str, Tensor]:
        return {IMAGE: self.part(pose, state, plane)}


def write_program(
    model: TileStudent,
    target: Target,
    precision: str,
    views: Float[Tensor, "n 3 4"],
    config: ExportConfig,
    folder: Path,
) -> TileProgram:
    """Write the parts into the bundle `folder`. `required_psnr` of the program is still what thresholds were held to.

    views: two thirds of them carve the hull, the others choose thresholds and the size of tiles.
    """
    assert target.convert_part is not None
    if len(views) < FEWEST_VIEWS:
        raise ConfigError(
            f"tiles are chosen by at least {FEWEST_VIEWS} poses, got {len(views)}; leave out export.tiles"
        )
    carving, choosing = views[: 2 * len(views) // 3], views[2 * len(views) // 3 :]
    hull = cutting.carve(model, carving)
    estimates = cutting.fit_estimates(cutting.look_at_blocks(model, hull, carving[: len(choosing)]))
    seen = cutting.look_at_blocks(model, hull, choosing)
    thresholds, found = cutting.choose_thresholds(seen, estimates, config.tiles_psnr)
    needed = thresholds.decoded(found)[:SIMULATED_VIEWS].numpy()
    tile, window = choose_tile(model, needed, config.tiles_batch), choose_window(model)
    parts = model.cut(Cut(tile, window, hull, estimates), target.layout, target.forms[precision].dtype)
    (folder / PARTS).mkdir()
    first, decoder = (f"{PARTS}/{name}{Path(target.file).suffix}" for name in ("first", "decoder"))
    channels, size = model.state_features + 1, [side + 2 * model.reach.decoder for side in tile]
    pose = {POSE: torch.eye(3, 4)[None]}
    plane = torch.tensor([[-0.5, 0.5, 0.01, -0.01]])
    state = torch.zeros(config.tiles_batch, *size, channels)
    planes = plane.repeat(config.tiles_batch, 1)
    for graph, path, inputs, outputs in (
        (_FirstGraph(parts.first), first, pose | {PLANE: plane}, (STATE, ESTIMATES)),
        (_DecoderGraph(parts.decoder), decoder, pose | {STATE: state, PLANE: planes}, (IMAGE,)),
    ):
        target.convert_part(PartRequest(graph, precision, folder / path, inputs, outputs, config.ios_deployment))
    return TileProgram(
        type="tiles",
        first=first,
        decoder=decoder,
        window=list(window),
        window_reach=model.reach.first,
        tile=list(tile),
        tile_reach=model.reach.decoder,
        batch=config.tiles_batch,
        channels=channels,
        empty_below=thresholds.empty,
        easy_below=thresholds.easy,
        required_psnr=config.tiles_psnr,
    )


def choose_window(model: TileStudent) -> tuple[int, int]:
    """Blocks that the first part takes: all, or in large pictures windows with an even distance to all."""
    rows, columns = (
        side if side <= LONGEST_WINDOW else SHORT_WINDOW + (side - SHORT_WINDOW) % 2 for side in model.grid
    )
    return rows, columns


def choose_tile(model: TileStudent, needed: Bool[np.ndarray, "n rows columns"], batch: int) -> tuple[int, int]:
    """The size of tiles that cover the needed blocks of these views with the least work."""
    cost = decoder_cost(model)
    sides = ([*(side for side in SIDES if side < blocks), blocks] for blocks in model.grid)

    def work(tile: Sequence[int]) -> float:
        calls = sum(math.ceil(len(cover(view, tile)) / batch) for view in needed)
        return calls * (batch * cost(*tile) + CALL_MACS)

    rows, columns = min(itertools.product(*sides), key=work)
    return rows, columns


def decoder_cost(model: TileStudent) -> Callable[[int, int], float]:
    """Multiply-accumulates of the decoder on a tile of r x c blocks: a rc + b (r + c) + d, from three sizes."""
    hull = cutting.Hull(torch.ones(2, 2, 2))
    nothing = cutting.Estimates(torch.zeros(2, model.state_features), torch.zeros(2))

    def macs(rows: int, columns: int) -> int:
        cut = Cut((rows, columns), (2, 2), hull, nothing)
        around = 2 * model.reach.decoder
        state = (1, rows + around, columns + around, model.state_features + 1)
        decoder = model.cut(cut, Layout.CHANNELS_FIRST, torch.float32).decoder
        return network_macs(decoder, (1, 3, 4), state, (1, 4))

    one, two, four = macs(1, 1), macs(1, 2), macs(2, 2)
    area = four - 2 * two + one
    side = two - one - area
    return lambda rows, columns: area * rows * columns + side * (rows + columns) + one - area - 2 * side
