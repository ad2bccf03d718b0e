"""A device whose times follow from a network's work alone: no test rests on a clock."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nelf.core.progress import Stop
from nelf.fit import Counts, LatencyModel, SearchSpace
from nelf.fit.latency import DeviceFacts, Measured, NetworkTime, plan_networks
from nelf.student import HierarchicalConfig, SceneGeometry, StudentConfig
from tests.student.frames import frame
from tests.student.small import small_config

FACTS = DeviceFacts(kind="host", name="Made-up processor", runtime="LiteRT 0", threads=2)
COSTS = {"convolution": 2e-8, "pointwise": 4e-8, "lookup": 3e-7, "gelu": 1e-7, "operations": 2e-3, "network": 0.3}
"""Milliseconds of one unit of each kind of work."""


def made_for() -> SceneGeometry:
    return frame(size=(32, 48))


class MadeUpSpace(SearchSpace):
    """Networks whose work is a formula of their settings: no network is built."""

    def count(self, config: StudentConfig) -> Counts:
        assert isinstance(config, HierarchicalConfig)
        coarse, middle, fine = 24, 96, 1536 // config.cell**2
        lookup = middle * config.middle_samples * config.middle_channels * 8
        lookup += fine * config.fine_samples * config.fine_channels * 12
        hidden = coarse * config.width + middle * config.middle_width * (2 + config.middle_blocks)
        hidden += fine * config.decoder_width * (1 + config.decoder_blocks)
        convolution = 36 * coarse * config.blocks * config.width**2 + 18 * middle * config.middle_width**2
        convolution += 18 * fine * config.decoder_blocks * config.decoder_width**2
        pointwise = fine * config.decoder_width * (config.cell_features + config.fine_samples * config.fine_channels)
        work = {
            "convolution": float(convolution),
            "pointwise": float(pointwise + coarse * config.points_per_ray * config.coarse_channels * config.width),
            "lookup": float(lookup),
            "gelu": float(hidden),
            "operations": float(100 + 10 * (config.blocks + config.middle_blocks + config.decoder_blocks)),
            "network": 1.0,
        }
        return Counts(work, convolution + pointwise, 3 * config.fine_nodes**2 * config.fine_channels)


def space() -> SearchSpace:
    """The family's settings, for a small image."""
    return MadeUpSpace(small_config(), made_for())


def time_of(work: Mapping[str, float]) -> float:
    return sum(cost * work.get(kind, 0.0) for kind, cost in COSTS.items())


def wobble(number: int, size: float) -> float:
    """A factor near 1, the same each time: 7 is no divisor of 11."""
    return 1 + size * ((7 * number % 11) / 5 - 1)


def networks(of: SearchSpace, noise: float = 0.0) -> list[NetworkTime]:
    """The networks of a table, as the made-up device times them."""
    found = []
    for number, planned in enumerate(plan_networks(of)):
        work = of.count(planned.config(of)).work
        milliseconds = time_of(work) * wobble(number, noise)
        found.append(
            NetworkTime(values=dict(planned.values), work=dict(work), milliseconds=milliseconds, check=planned.check)
        )
    return found


class MadeUpDevice:
    """Reads the number of a bundle's network from a file that `export` of the same object wrote.

    slow: factor on the times of the n-th measurement. fails_after: bundles, in all measurements.
    """

    group, asked_often = 5, True

    def __init__(self, of: SearchSpace, facts: DeviceFacts | None = FACTS) -> None:
        self.space = of
        self.facts = facts
        self.exported: list[StudentConfig] = []
        self.measured = 0
        self.measurements = 0
        self.slow: Sequence[float] = ()
        self.fails_after: int | None = None
        self.found_facts = facts or FACTS

    def export(self, config: StudentConfig, folder: Path) -> None:
        """See `Export`."""
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(str(len(self.exported)))
        self.exported.append(config)

    def measure(self, bundles: Sequence[Path], stop: Stop) -> Measured:
        """See `Device`."""
        factor = self.slow[self.measurements % len(self.slow)] if self.slow else 1.0
        self.measurements += 1
        times: list[float] = []
        for bundle in bundles:
            if self.measured == self.fails_after:
                self.fails_after = None
                return Measured(self.found_facts, times, "the phone was unplugged")
            config = self.exported[int((bundle / "manifest.json").read_text())]
            times.append(factor * time_of(self.space.count(config).work))
            self.measured += 1
        return Measured(self.found_facts, times)


def exact_model(of: SearchSpace) -> LatencyModel:
    return LatencyModel(networks(of))
