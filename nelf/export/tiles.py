"""Export in tiles: cut the student, choose thresholds and the blocks of a call, and write the parts of the program."""

import bisect
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from nelf.bundle.tiles import (
    AROUND,
    BLOCK,
    ESTIMATES,
    IMAGE,
    NEIGHBOURS,
    PLANE,
    POSE,
    STATE,
    Grid,
    TileProgram,
    calls_for,
    neighbours_of,
)
from nelf.core.errors import ConfigError
from nelf.export.config import ExportConfig
from nelf.export.graph import PartRequest
from nelf.export.targets import Target
from nelf.student import Layout, network_macs
from nelf.student import tiles as cutting
from nelf.student.tiles import Cut, Thresholds, TileStudent

PARTS = "parts"
"""Folder of a program's files in the bundle."""
LONGEST_WINDOW, SHORT_WINDOW = 104, 96
"""Blocks along a side up to which the first part takes all at once, and of its windows above that: about 10 kB each."""
HALF_BLOCKS, MOST_BLOCKS = 2000, 6000
"""In a call: half precision, which Core ML may use, counts to 2048; elsewhere a block needs 20 kB of memory."""
SHARES = (1, 1.1, 1.2, 1.35, 1.5, 1.7, 2, 2.5, 3, 4, 5, 6, 8, 12, 16)
"""The largest call holds the blocks of the fullest view, divided by one of these."""
CALL_MACS = 5e7
"""Multiply-accumulates in the time that a call of a part costs besides: half a millisecond, on two cores."""
FEWEST_VIEWS = 3
TRIED = 12  # views that give the features of blocks that are left out
MOST_HALVINGS = 20
"""Of thresholds: fewer blocks are left out, until those next to them are drawn as well as is asked."""


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

    def forward(self, pose: Tensor, state: Tensor, plane: Tensor, neighbours: Tensor) -> dict[str, Tensor]:
        return {IMAGE: self.part(pose, state, plane, neighbours)}


def write_program(
    model: TileStudent,
    target: Target,
    precision: str,
    views: Float[Tensor, "n 3 4"],
    config: ExportConfig,
    folder: Path,
) -> TileProgram:
    """Write the parts into the bundle `folder`. `required_psnr` of the program is still what thresholds were held to.

    views: two thirds of them carve the hull, the others choose thresholds and the size of calls.
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
    chosen, found = cutting.choose_thresholds(seen, estimates, config.tiles_psnr)

    def cut_at(halvings: int) -> tuple[Thresholds, Bool[Tensor, "n rows columns"], Cut]:
        thresholds = chosen.stricter(halvings)
        needed = thresholds.decoded(found)
        left_out = model.left_out_features(choosing[:TRIED], needed[:TRIED])
        return thresholds, needed, Cut(choose_window(model), hull, estimates, left_out)

    def keeps(halvings: int) -> bool:
        _, needed, cut = cut_at(halvings)
        return drawn_psnr(model, cut, seen.state, choosing, needed) >= config.tiles_psnr

    thresholds, needed, cut = cut_at(bisect.bisect_left(range(MOST_HALVINGS), True, key=keeps))
    blocks = choose_blocks(model, needed.numpy(), target.sizes)
    parts = model.cut(cut, target.layout, target.forms[precision].dtype)
    (folder / PARTS).mkdir()
    first, decoder = (f"{PARTS}/{name}{Path(target.file).suffix}" for name in ("first", "decoder"))
    pose = {POSE: torch.eye(3, 4)[None]}
    plane = torch.tensor([[-0.5, 0.5, 0.01, -0.01]])
    taken = [decoder_inputs(model, count) | {PLANE: plane.repeat(count, 1)} for count in blocks]
    for graph, path, inputs, outputs in (
        (_FirstGraph(parts.first), first, [pose | {PLANE: plane}], (STATE, ESTIMATES)),
        (_DecoderGraph(parts.decoder), decoder, taken, (IMAGE,)),
    ):
        target.convert_part(PartRequest(graph, precision, folder / path, inputs, outputs, config.ios_deployment))
    return TileProgram(
        type="tiles",
        first=first,
        decoder=decoder,
        window=list(cut.window),
        window_reach=model.reach.first,
        blocks=blocks,
        reach=model.reach.decoder,
        channels=model.state_features,
        empty_below=thresholds.empty,
        easy_below=thresholds.easy,
        required_psnr=config.tiles_psnr,
    )


@torch.no_grad()
def drawn_psnr(
    model: TileStudent,
    cut: Cut,
    state: Float[Tensor, "n rows columns features"],
    poses: Float[Tensor, "m 3 4"],
    needed: Bool[Tensor, "n rows columns"],
) -> float:
    """The least PSNR of a view to the whole network, of the needed blocks if they alone are with the decoder."""
    decoder = model.cut(cut, Layout.CHANNELS_FIRST, torch.float32).decoder
    (rows, columns), (top, left) = model.grid, model.margins
    found = []
    for pose, known, blocks in zip(poses.cpu().float(), state, needed, strict=False):
        call = next(calls_for(blocks.numpy(), rows * columns, model.reach.decoder), None)
        if call is None:
            continue
        places = torch.from_numpy(neighbours_of(call, Grid(rows, columns, top, left), len(call.rows)))
        corners = zip((call.columns * BLOCK - left).tolist(), (call.rows * BLOCK - top).tolist(), strict=True)
        planes = torch.stack([cutting.plane_at(model.frame, *corner) for corner in corners])
        image = decoder(pose[None], known[call.rows, call.columns], planes, places)
        difference = (image - cutting.blocks_of(model, model(pose[None])[0])[call.rows, call.columns]).double()
        found.append(-10 * math.log10(max(float(difference.square().mean()), 1e-20)))
    return min(found, default=math.inf)


def choose_window(model: TileStudent) -> tuple[int, int]:
    """Blocks that the first part takes: all, or in large pictures windows with an even distance to all."""
    rows, columns = (
        side if side <= LONGEST_WINDOW else SHORT_WINDOW + (side - SHORT_WINDOW) % 2 for side in model.grid
    )
    return rows, columns


def choose_blocks(model: TileStudent, needed: Bool[np.ndarray, "n rows columns"], sizes: int) -> list[int]:
    """Blocks in a call, at most `sizes` choices, with which the decoder draws these views with the least work."""
    most, reach = int(needed.sum(axis=(1, 2)).max()), model.reach.decoder
    cost, least = block_cost(model), (2 * reach + 1) ** 2
    limit = HALF_BLOCKS if sizes == 1 else MOST_BLOCKS
    found: list[tuple[float, list[int]]] = []
    for largest in sorted({min(max(math.ceil(most / share), least), limit) for share in SHARES}):
        lengths = [max(len(call.rows), least) for view in needed for call in calls_for(view, largest, reach)]
        chosen = choose_sizes(lengths or [least], sizes)
        places = sum(min(size for size in chosen if size >= length) for length in lengths)
        found.append((places * cost + len(lengths) * CALL_MACS, chosen))
    return min(found)[1]


def choose_sizes(lengths: Sequence[int], number: int) -> list[int]:
    """At most `number` sizes, ascending, that hold lists of these lengths with the fewest places left over."""
    different = sorted(set(lengths))
    upto = [sum(length <= size for length in lengths) for size in different]
    best = [(size * count, [size]) for size, count in zip(different, upto, strict=True)]
    for _ in range(number - 1):
        best = [
            min([best[j], *((best[i][0] + size * (upto[j] - upto[i]), [*best[i][1], size]) for i in range(j))])
            for j, size in enumerate(different)
        ]
    return best[-1][1]


def block_cost(model: TileStudent) -> int:
    """Multiply-accumulates of the decoder on one block."""
    hull = cutting.Hull(torch.ones(2, 2, 2))
    nothing = cutting.Estimates(torch.zeros(2, model.state_features), torch.zeros(2))
    decoder = model.cut(Cut((2, 2), hull, nothing, []), Layout.CHANNELS_FIRST, torch.float32).decoder
    return network_macs(decoder, *(tuple(value.shape) for value in decoder_inputs(model, 1).values()))


def decoder_inputs(model: TileStudent, blocks: int) -> dict[str, Tensor]:
    """Values that the decoder may take, of the right shapes. Every block is its own neighbour."""
    return {
        POSE: torch.eye(3, 4)[None],
        STATE: torch.zeros(blocks, model.state_features),
        PLANE: torch.zeros(blocks, 4),
        NEIGHBOURS: torch.arange(blocks).float()[:, None].repeat(1, AROUND),
    }
