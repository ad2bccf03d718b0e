"""What a device reports of a benchmark: a browser's page sends it, our apps write it to a file.

All follow one protocol: a warm-up, a measured time, and after it a sustained one. Percentiles are of the nearest rank,
windows are seconds. tests/vectors/benchmark.json holds the arithmetic of all languages together.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import from_json

from nelf.benchmark.results import ModelUnderTest
from nelf.bundle.fields import NotNegative, Part, Positive, Text, first_line
from nelf.core.errors import BenchError

PROTOCOL: Literal[2] = 2
FORMAT: Literal["nelf-bench-device"] = "nelf-bench-device"
VERSION = "2.0"
WARM_UP_SECONDS = 3.0
SECONDS = 30.0
MOST_WINDOWS = 20_000

Said = Annotated[str, Field(max_length=400)]
Number = Annotated[int, Field(ge=0, le=1_000_000_000)]


class Browser(Part):
    """What the browser tells of its device, and no more."""

    type: Literal["browser"]
    user_agent: Said
    platform: Said
    cores: Annotated[int, Field(ge=1, le=4096)]
    memory_gb: Positive | None
    """As browsers tell it: rounded, and at most 8 or so."""
    screen: Annotated[list[NotNegative], Field(min_length=3, max_length=3)]
    """Width and height in points, and pixels of a point."""
    gpu: Said | None
    mobile: bool | None


class App(Part):
    """What the system tells our app of its device; may be empty."""

    type: Literal["app"]
    manufacturer: Said
    model: Said
    soc: Said
    os: Said
    app: Said
    """The app's version."""


class Latency(Part):
    """Of one picture, pose in and pixels out, in milliseconds."""

    median: NotNegative
    p90: NotNegative
    p95: NotNegative
    mean: NotNegative


class Window(Part):
    """A second of the sustained run, or of the measured time without one."""

    second: NotNegative
    """From its start."""
    frames: Number
    median: NotNegative
    """Milliseconds; 1000 without a frame."""


class Condition(Part):
    """How warm the device is, and its battery. Null where the system does not say; browsers tell nothing."""

    second: NotNegative
    """Since the measured time began."""
    thermal_status: Annotated[int, Field(ge=0, le=9)] | None
    """As the system has it: Android 0 none to 6 shutdown, iOS 0 nominal to 3 critical."""
    headroom: float | None
    """Android: throttling begins at 1."""
    battery_celsius: float | None
    battery_percent: Annotated[float, Field(ge=0, le=100)] | None
    battery_milliamperes: float | None
    """Android: now, out of the battery; negative while it is charged."""
    battery_volts: NotNegative | None
    charging: bool | None


class PassedOver(Part):
    """A backend that was tried before and refused."""

    backend: Said
    reason: Said


class Measured(Part):
    """One bundle."""

    bundle: Text
    """Its id in the plan."""
    model_sha256: Said | None
    """Of the model file; null in a browser."""
    backend: Said
    """What ran: WebGPU, or WebAssembly with or without threads. Of apps: npu, gpu or cpu; on iOS the best allowed."""
    passed_over: Annotated[list[PassedOver], Field(max_length=20)]
    threads: Annotated[int, Field(ge=0, le=4096)]
    """That compute; 0: not told."""
    load_milliseconds: NotNegative
    """Until the model could run."""
    first_frame_milliseconds: NotNegative
    """From the start of loading to the first picture."""
    frames: Number
    """That count."""
    rate: NotNegative
    """Frames a second of the measured time, presentation included where there is any."""
    latency: Latency
    sustained: Annotated[list[Window], Field(max_length=MOST_WINDOWS)]
    conditions: Annotated[list[Condition], Field(max_length=MOST_WINDOWS)]
    memory_mb: NotNegative | None
    """Of the app: proportional set size on Android, physical footprint on iOS; null in a browser."""
    golden_psnr: float | None
    """The least of the golden views, in dB."""


class Plan(Part):
    """How long an app was asked to measure."""

    warm_up_seconds: NotNegative
    seconds: NotNegative
    minutes: NotNegative | None


class Report(Part):
    """What is known so far: the page sends it every 5 seconds, an app writes it every 10, and both at the end."""

    protocol: Literal[2]
    token: Said = ""
    """Of the intent or the command that started an app: nobody takes an older file for the answer."""
    plan: Plan | None = None
    """Of an app; a page gets its plan from the server."""
    finished: bool
    stopped: Said | None
    """Why it was cut short."""
    device: Annotated[Browser | App, Field(discriminator="type")]
    results: Annotated[list[Measured], Field(max_length=200)]
    visible: bool
    """Whether the page or the app was in front all the time."""

    @model_validator(mode="after")
    def _ends_once(self) -> "Report":
        if self.finished and self.stopped is not None:
            raise ValueError("finished and stopped contradict each other")
        return self


class DeviceResult(Measured):
    """A bundle, and what was measured."""

    name: Text
    """As it was given to `nelf bench`."""
    target: Text
    precision: Text
    student: Text
    width: Number
    height: Number
    bytes: Number
    """Of the model."""
    macs: Annotated[int, Field(ge=0)]
    """Multiply-accumulates of one picture."""


class DeviceBenchmark(Part):
    """The file that `nelf bench --json FILE` writes of a browser or an app."""

    device: Annotated[Browser | App, Field(discriminator="type")]
    visible: bool
    """False: the page or app was in the background for a time. Do not trust the figures."""
    warm_up_seconds: float
    """For each bundle, before anything counts."""
    seconds: float
    """For each bundle."""
    minutes: float | None
    """Of the sustained run of each bundle."""
    results: list[DeviceResult]
    ended: str | None
    """Why it ended early: then it has what was measured until then."""
    format: Literal["nelf-bench-device"] = FORMAT
    version: str = VERSION


def parse_report(body: bytes, speaker: str, remedy: str) -> Report:
    """The report in `body`. speaker: who wrote it; remedy: what to do with another version of it.

    Raises BenchError, one line.
    """
    try:
        content = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise BenchError(f"the {speaker}'s report is not JSON ({error}); start it again") from error
    if isinstance(content, dict) and content.get("protocol") != PROTOCOL:
        spoken = str(content.get("protocol"))[:20]
        raise BenchError(f"the {speaker} speaks protocol {spoken}, this nelf {PROTOCOL}; {remedy}")
    try:
        return Report.model_validate_json(body)
    except ValidationError as error:
        raise BenchError(f"the {speaker}'s report is not valid: {first_line(error)}; start it again") from error


def as_benchmark(
    report: Report, plan: Mapping[str, Any], subjects: Mapping[str, ModelUnderTest], ended: str | None
) -> DeviceBenchmark:
    """A report as the file that is kept. subjects: by the id of a bundle in the report."""
    results = []
    for one in report.results:
        subject = subjects[one.bundle]
        assert subject.manifest is not None
        about = {
            "name": subject.name,
            "target": subject.manifest.target,
            "precision": subject.manifest.precision,
            "student": subject.manifest.student.name,
            "width": subject.manifest.image.width,
            "height": subject.manifest.image.height,
            "bytes": subject.size,
            "macs": subject.macs,
        }
        results.append(DeviceResult.model_validate(one.model_dump() | about))
    times = {key: plan[key] for key in ("warm_up_seconds", "seconds", "minutes")}
    return DeviceBenchmark(device=report.device, visible=report.visible, results=results, ended=ended, **times)


def name_of_device(device: Browser | App) -> str:
    """A few words for tables."""
    if device.type == "browser":
        return ", ".join(part for part in (device.platform, device.gpu) if part)
    return ", ".join(part for part in (f"{device.manufacturer} {device.model}".strip(), device.soc, device.os) if part)


def milliwatts(conditions: Sequence[Condition]) -> float | None:
    """Mean power out of the battery; None where the system does not say it, or the device is charged."""
    told = [
        (one.battery_milliamperes * one.battery_volts)
        for one in conditions
        if one.battery_milliamperes is not None and one.battery_volts is not None
    ]
    return None if not told or any(one.charging for one in conditions) else fmean(told)
