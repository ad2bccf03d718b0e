"""Which channels of the hierarchical student belong together, so that it can be pruned (nelf/student/prune.py)."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from nelf.student.blocks import WIDER
from nelf.student.config import HierarchicalConfig, StudentConfig
from nelf.student.prune import ChannelGroup, Slots

WIDTH_STEP, LEAST_WIDTH = 4, 8
CHANNEL_STEP, LEAST_CHANNELS = 2, 2
WIDTHS = ("width", "middle_width", "cell_features", "decoder_width")
CHANNELS = ("coarse_channels", "middle_channels", "fine_channels")
SAMPLES = {"middle_samples": "middle_spread", "fine_samples": "fine_spread"}


def smaller_configs(config: HierarchicalConfig) -> Mapping[str, HierarchicalConfig]:
    """Setting -> `config` with this setting one step smaller, if that is possible.

    Samples go in pairs, the outermost first; the others stay where they are.
    """
    found = {}
    for step, least, names in ((WIDTH_STEP, LEAST_WIDTH, WIDTHS), (CHANNEL_STEP, LEAST_CHANNELS, CHANNELS)):
        for name in names:
            if (number := getattr(config, name) - step) >= least:
                found[name] = dataclasses.replace(config, **{name: number})
    for name, spread in SAMPLES.items():
        if (number := getattr(config, name) - 2) >= 1:
            reach = getattr(config, spread) * max(number - 1, 1) / (number + 1)
            found[name] = dataclasses.replace(config, **{name: number, spread: reach})
    return found


def channel_groups(config: HierarchicalConfig, model: nn.Module, hidden: float) -> Sequence[ChannelGroup]:
    """The groups of a student. hidden: channels of the middle level's last layer per channel of its blocks."""
    sizes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    cells = sizes["correct.0.weight"][0]  # of a middle ray

    def whole(name: str, axis: int, counts: bool, each: int = 1) -> Slots:
        """All positions along an axis; `each` neighbours are one channel."""
        return Slots(name, axis, torch.arange(sizes[name][axis]).view(-1, each), counts)

    def made_by(layer: str, each: int = 1, axis: int = 0) -> list[Slots]:
        return [whole(f"{layer}.weight", axis, True, each), whole(f"{layer}.bias", 0, True, each)]

    def read_by(layer: str, axis: int = 1) -> Slots:
        return whole(f"{layer}.weight", axis, False)

    def group(setting: str, slots: Sequence[Slots], factor: int | float = 1) -> ChannelGroup:
        return ChannelGroup(setting, _times(setting, factor), tuple(slots))

    def inside(setting: str, block: str, factor: int) -> ChannelGroup:
        """The hidden channels of a residual block."""
        return group(setting, [*made_by(f"{block}.layers.0"), read_by(f"{block}.layers.2")], factor)

    def trunk(setting: str, first: Sequence[Slots], blocks: Sequence[str], last: Slots, factor: int) -> ChannelGroup:
        """Channels that pass through residual blocks: each writes and reads them."""
        slots = [*first, last]
        for block in blocks:
            slots += [*made_by(f"{block}.layers.2"), read_by(f"{block}.layers.0")]
        return group(setting, slots, factor)

    half = [f"coarse.blocks.1.layers.{1 + i}" for i in range(config.blocks)]
    last_half = f"coarse.blocks.1.layers.{1 + config.blocks}"
    full = ["coarse.blocks.0", "coarse.blocks.2"]
    middle = [f"middle.{1 + i}" for i in range(config.middle_blocks)]
    last_middle = f"middle.{config.middle_blocks + 2}"
    decoder = [f"decoder.paint.{1 + i}" for i in range(config.decoder_blocks)]
    last_decoder = f"decoder.paint.{1 + config.decoder_blocks + (config.decoder_blocks > 0)}"

    entering = [*made_by("coarse.head.0"), *made_by(last_half, axis=1), read_by("coarse.blocks.1.layers.0")]
    groups = [
        trunk("width", entering, full, read_by("upsample.0"), 1),
        trunk("width", made_by("coarse.blocks.1.layers.0"), half, read_by(last_half, axis=0), WIDER),
        *(inside("width", block, 1) for block in full),
        *(inside("width", block, WIDER) for block in half),
        group(
            "middle_width",
            [*made_by("upsample.0", 4), read_by("depth_logits"), _first("fuse.weight", config.middle_width)],
        ),
        trunk("middle_width", made_by("fuse"), middle, read_by(last_middle), 1),
        *(inside("middle_width", block, WIDER) for block in middle),
        group("middle_width", [*made_by(last_middle), read_by("correct.0"), read_by("to_cells.0")], hidden),
        group("cell_features", [*made_by("to_cells.0", cells), _first("decoder.narrow.weight", config.cell_features)]),
        trunk("decoder_width", made_by("decoder.narrow"), decoder, read_by(last_decoder), 1),
        *(inside("decoder_width", block, WIDER) for block in decoder),
    ]
    readers = (
        ("coarse", "coarse.head.0.weight", 0, config.points_per_ray),
        ("middle", "fuse.weight", config.middle_width, config.middle_samples),
        ("fine", "decoder.narrow.weight", config.cell_features, config.fine_samples),
    )
    for level, layer, known, samples in readers:
        channels = getattr(config, f"{level}_channels")
        groups += _of_tables(level, layer, torch.arange(known, sizes[layer][1]).view(samples, -1, channels))
    return groups


def _of_tables(level: str, layer: str, read: Tensor) -> Iterator[ChannelGroup]:
    """Channels of a level's tables, and its samples. read: positions in `layer`, [samples, tables, channels]."""
    samples, _, channels = read.shape
    columns = Slots(f"{level}_tables.values", 1, torch.arange(channels)[:, None], True)
    by_channel = Slots(layer, 1, read.permute(2, 0, 1).flatten(1), False)
    name = f"{level}_channels"
    yield ChannelGroup(name, _times(name, 1), (columns, by_channel))
    if (name := f"{level}_samples") in SAMPLES:
        yield ChannelGroup(name, _times(name, 1), (Slots(layer, 1, read.reshape(samples, -1), True),), centred=True)


def _times(setting: str, factor: int | float) -> Callable[[StudentConfig], int]:
    return lambda config: int(factor * getattr(config, setting))


def _first(name: str, count: int) -> Slots:
    """The first `count` inputs of a layer whose other inputs are read from tables."""
    return Slots(name, 1, torch.arange(count)[:, None], False)
