"""Measure a device's table: export the networks, time them in groups next to the reference, keep each group."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from nelf import __version__
from nelf.core.errors import BenchError, Interrupted
from nelf.core.files import remove
from nelf.core.progress import ProgressLine, Stop
from nelf.fit.latency import (
    DeviceFacts,
    LatencyTable,
    NetworkTime,
    Planned,
    Subject,
    check_table,
    plan_networks,
    read_table,
)
from nelf.fit.space import SearchSpace
from nelf.student import StudentConfig

GROUP = "group-"
EXPORTED = 0.9
"""Share of a network's work that is its export; the rest is its time on the device."""


@dataclass(frozen=True)
class Measured:
    """milliseconds: of the first bundles, in their order. ended: why the others are missing; None if none are."""

    device: DeviceFacts
    milliseconds: Sequence[float]
    ended: str | None = None


@runtime_checkable
class Device(Protocol):
    """Something that can time bundles."""

    group: int
    """Bundles to time together: what is lost if it is cut short."""
    asked_often: bool
    """Whether single networks may be timed during a search. A person must be there for a phone's browser."""

    @property
    def facts(self) -> DeviceFacts | None:
        """What it is; None if that is known only after a measurement."""

    def measure(self, bundles: Sequence[Path], stop: Stop) -> Measured:
        """Time bundles. Raises BenchError if nothing was measured."""


Export = Callable[[StudentConfig, Path], None]
"""Writes an untrained student as a bundle: its time does not depend on its weights."""


@dataclass
class Bench:
    """Exports and times networks of one space on one device."""

    space: SearchSpace
    subject: Subject
    device: Device
    export: Export
    folder: Path
    """For bundles that are not needed for long."""
    stop: Stop
    reference: Path = field(init=False)

    def __post_init__(self) -> None:
        self.reference = self.folder / "reference"
        for left in self.folder.glob(f"{GROUP}*"):  # by a process that was killed
            remove(left)

    def time(self, configs: Sequence[StudentConfig], each: Callable[[], None] = lambda: None) -> Measured:
        """Time the reference and these networks; the reference comes first. each: called after each export."""
        usual = plan_networks(self.space)[0].config(self.space)
        if not (self.reference / "manifest.json").is_file():
            self.export(usual, self.reference)
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=GROUP) as folder:
            bundles = [Path(folder) / f"network-{number}" for number in range(len(configs))]
            for config, bundle in zip(configs, bundles, strict=True):
                if self.stop.requested:
                    raise Interrupted("fit: stopped; the same command goes on from there")
                self.export(config, bundle)
                each()
            return self.device.measure([self.reference, *bundles], self.stop)

    def milliseconds(self, config: StudentConfig, table: LatencyTable) -> float:
        """Time of one network, corrected by the reference as the table's times are. Raises BenchError."""
        found = self.time([config])
        if found.ended is not None or len(found.milliseconds) < 2:
            raise BenchError(f"{found.ended or 'the device sent too few times'}; the same command goes on from there")
        reference, own = found.milliseconds
        return own * table.networks[0].milliseconds / reference


def make_table(path: Path, bench: Bench) -> LatencyTable:
    """The table in the file `path`; measures what it lacks, and writes it after every group.

    Raises BenchError, naming both, if the file is of another device, and if the device ends early: what was measured is
    kept, and the same call goes on.
    """
    planned = plan_networks(bench.space)
    table = read_table(path) if path.exists() else None
    if table is not None:
        check_table(path, table, bench.subject, bench.device.facts)
    done = len(table.networks) if table is not None else 0
    with ProgressLine("table of times", len(planned), "networks", start=done) as line:
        while done < len(planned):
            # The first network is the reference, which every group has anyway.
            group = planned[max(done, 1) : max(done, 1) + bench.device.group]
            exported = 0

            def each(done: int = done) -> None:
                nonlocal exported
                exported += 1
                line.update(done + EXPORTED * exported)

            found = bench.time([one.config(bench.space) for one in group], each)
            table = _with(path, table, found, group, bench, planned)
            table.write(path)
            done = len(table.networks)
            line.update(done)
            if found.ended is not None:
                raise BenchError(
                    f"{found.ended}; {done} of {len(planned)} networks are kept in {path}, and the same command goes on"
                )
    assert table is not None
    return table


def _with(
    path: Path, table: LatencyTable | None, found: Measured, group: Sequence[Planned], bench: Bench, all_: list[Planned]
) -> LatencyTable:
    """The table with one more group, whose first time is the reference's."""
    if not found.milliseconds:
        raise BenchError(f"{found.ended or 'the device sent no times'}; the same command goes on from there")
    if table is None:
        first = _entry(all_[0], found.milliseconds[0], bench.space)
        table = LatencyTable(
            nelf=__version__, device=found.device, subject=bench.subject, planned=len(all_), networks=[first]
        )
    check_table(path, table, bench.subject, found.device)
    factor = table.networks[0].milliseconds / found.milliseconds[0]
    more = [_entry(one, factor * ms, bench.space) for one, ms in zip(group, found.milliseconds[1:], strict=False)]
    return table.model_copy(update={"networks": [*table.networks, *more]})


def _entry(planned: Planned, milliseconds: float, space: SearchSpace) -> NetworkTime:
    work = space.count(planned.config(space)).work
    return NetworkTime(values=dict(planned.values), work=dict(work), milliseconds=milliseconds, check=planned.check)
