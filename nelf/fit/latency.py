"""A device's table of times, and the model that predicts the time of any network of the family from it.

The table holds whole networks in which every block occurs in all its sizes, evenly mixed. A block alone would be timed
with copies of its input and output that no network has. The model adds up non-negative costs of each kind of work
(ProxylessNAS, Cai et al. 2019, does the same with a table of blocks), found by least squares on relative errors.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import ValidationError, model_validator
from scipy.optimize import nnls

from nelf import __version__
from nelf.bundle.fields import Count, Part, Positive, Text, first_line
from nelf.core.errors import BenchError
from nelf.core.files import read_json, write_json
from nelf.core.progress import Stop
from nelf.fit.space import Counts, SearchSpace, Values
from nelf.student import StudentConfig

FORMAT: Literal["nelf-latency"] = "nelf-latency"
VERSION: Literal["1.0"] = "1.0"
FITTED, CHECKED = 26, 10
"""Networks from which the model is made, and others that tell its error."""
SEED = 26
LARGE_MEDIAN, LARGE = 0.1, 0.25
"""Errors of the prediction that a device without other work does not have."""
NAMES = ("name", "larger", "smaller")
"""Settings that do not change the network."""


class DeviceFacts(Part):
    """What was measured on. Two tables with different facts cannot be mixed."""

    kind: Text
    """host, adb, browser or chromium."""
    name: Text
    """As the device tells it."""
    runtime: Text
    """With its version."""
    threads: int | None
    """None where the device decides."""

    def __str__(self) -> str:
        threads = f", {self.threads} threads" if self.threads else ""
        return f"{self.name} ({self.runtime}{threads})"


@dataclasses.dataclass(frozen=True)
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


class Subject(Part):
    """What all networks of a table have in common."""

    settings: dict[str, str]
    """Of the student, its family among them, as text, without those that differ between the networks."""
    height: Count
    width: Count
    channels: Count
    depth_spacing: Text
    precision: Text


class NetworkTime(Part):
    """One network of the table."""

    values: dict[str, int]
    """Its settings that differ between the networks."""
    work: dict[str, float]
    """Amounts by kind, see nelf/fit/space.py."""
    milliseconds: Positive
    """Of one image; corrected by the reference, which ran at the same time."""
    check: bool
    """Whether it only tells the model's error."""


class LatencyTable(Part):
    """Times of networks on one device. The first network is the reference, measured again with every group."""

    nelf: Text
    """Version that made it: others may build the networks differently."""
    device: DeviceFacts
    subject: Subject
    planned: Count
    networks: list[NetworkTime]
    format: Literal["nelf-latency"] = FORMAT
    version: Literal["1.0"] = VERSION

    @model_validator(mode="after")
    def _begins_with_the_reference(self) -> "LatencyTable":
        if not self.networks or self.networks[0].check:
            raise ValueError("it does not begin with the reference")
        return self

    @property
    def complete(self) -> bool:
        """Whether all networks are measured."""
        return len(self.networks) >= self.planned

    def write(self, path: Path) -> None:
        """Write the table as JSON, atomically."""
        write_json(path, self.model_dump(mode="json"))


def read_table(path: Path) -> LatencyTable:
    """The table in a file. Raises BenchError, one line, if it is not one or of another version."""
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise BenchError(f"{path} cannot be read as a table of times ({error}); give another, or remove it") from error
    found = content if isinstance(content, dict) else {}
    if found.get("format") != FORMAT:
        raise BenchError(f"{path} is not a table of times; make one with: nelf fit RUN --budget 16ms --device host")
    for key, mine in (("version", VERSION), ("nelf", __version__)):
        if found.get(key) != mine:
            of = "" if key == "version" else "nelf "
            raise BenchError(
                f"{path} is of {of}version {str(found.get(key))[:20]}, this is {mine}; measure again without it"
            )
    try:
        return LatencyTable.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BenchError(f"{path} is damaged: {first_line(error)}; measure again without it") from error


def subject_of(space: SearchSpace, precision: str) -> Subject:
    """What a table must be about to serve this search."""
    common = dataclasses.asdict(space.base).items()
    return Subject(
        settings={name: str(value) for name, value in common if name not in (*space.choices, *NAMES)},
        height=space.frame.height,
        width=space.frame.width,
        channels=space.frame.channels,
        depth_spacing=str(space.frame.mapping),
        precision=precision,
    )


def check_table(path: Path, table: LatencyTable, subject: Subject, device: DeviceFacts | None) -> None:
    """Raise BenchError, naming the difference, if a table is of another device or of other networks.

    device: None to accept any.
    """
    if device is not None and table.device != device:
        raise BenchError(
            f"{path} was measured on {table.device}, but this device is {device}; "
            f"remove it to measure again, or use it as it is: --device {path}"
        )
    have, want = (_flat(one.model_dump()) for one in (table.subject, subject))
    for key in sorted(have.keys() | want.keys()):
        if have.get(key) != want.get(key):
            raise BenchError(
                f"{path} has {key} {have.get(key)}, but this run needs {want.get(key)}; "
                "give a table of such networks, or remove this one and let nelf measure again with --device host, "
                "adb or browser"
            )


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    settings = {f"student.{name}": value for name, value in values["settings"].items()}
    return {**{key: value for key, value in values.items() if key != "settings"}, **settings}


@dataclasses.dataclass(frozen=True)
class Planned:
    """A network that a table needs. check: only to tell the model's error."""

    values: Values
    check: bool

    def config(self, space: SearchSpace) -> StudentConfig:
        """Its configuration."""
        return space.config(self.values)


def plan_networks(space: SearchSpace) -> list[Planned]:
    """The networks of a table: the family's default, which is the reference, extremes, an even mixture, and checks.

    The same for every run of a family, so that runs may share tables.
    """
    draws = np.random.default_rng(SEED)
    usual = space.nearest_to(type(space.base)())
    fitted = [usual, space.smallest(), space.largest(), *space.evenly(FITTED - 3, draws)]
    checks: list[Values] = []
    while len(checks) < CHECKED:
        values = space.random(draws)
        if values not in fitted and values not in checks:
            checks.append(values)
    return [*(Planned(values, False) for values in fitted), *(Planned(values, True) for values in checks)]


class LatencyModel:
    """Predicts milliseconds: the sum over kinds of work of amount times cost, where no cost is negative."""

    def __init__(self, networks: Sequence[NetworkTime]) -> None:
        """networks: of a table. Those that check are left out."""
        used = [network for network in networks if not network.check]
        self.checks = [network for network in networks if network.check]
        self.kinds = sorted({kind for network in used for kind in network.work})
        amounts = np.array([[network.work.get(kind, 0.0) for kind in self.kinds] for network in used])
        times = np.array([network.milliseconds for network in used])
        scale = np.maximum(amounts.max(axis=0), 1e-12)
        found, _ = nnls(amounts / scale / times[:, None], np.ones(len(used)))
        self.costs = dict(zip(self.kinds, (found / scale).tolist(), strict=True))
        """Kind of work -> milliseconds of one unit."""

    def predict(self, counts: Counts) -> float:
        """Milliseconds of a network for one image."""
        return self._time(counts.work)

    def _time(self, work: Mapping[str, float]) -> float:
        return sum(self.costs.get(kind, 0.0) * amount for kind, amount in work.items())

    def errors(self) -> list[float]:
        """Relative error of the prediction for each network that it was not made from."""
        return [abs(self._time(one.work) - one.milliseconds) / one.milliseconds for one in self.checks]

    def describe(self) -> str:
        """Its error, for people, with a remedy where it is large."""
        errors = self.errors()
        if not errors:
            return "its error is unknown: the table has no network to check it"
        median, largest = statistics.median(errors), max(errors)
        told = (
            f"predicted against measured time of {len(errors)} other networks: median error {median:.1%}, "
            f"largest {largest:.1%}"
        )
        if median > LARGE_MEDIAN or largest > LARGE:
            told += "; that is much: remove the table, and measure again while the device is idle"
        return told
