"""Print reports as tables on the terminal."""

import statistics
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.table import Table

from nelf.benchmark.benchmark_model import PhoneReport, PhoneResult
from nelf.benchmark.report import DeviceBenchmark, DeviceResult, milliwatts, name_of_device
from nelf.benchmark.results import Measurement, Report, Result

MOST_OPERATIONS = 6
MOST_STRETCHES = 20  # rows of a sustained run
LEAST_WIDTH = 160  # columns if stdout is not a terminal


def show(tables: Iterable[Table]) -> None:
    """Print the tables on stdout, wide enough not to wrap if that is not a terminal."""
    results = Console(highlight=False, markup=False, emoji=False)
    if not results.is_terminal:
        results.width = max(results.width, LEAST_WIDTH)
    for table in tables:
        results.print(table)


def tables(report: Report) -> Iterator[Table]:
    """Times; memory, size and work; operations if a profiler listed them."""
    yield from _times(report)
    if any(m.profile for result in report.results for m in result.measurements):
        yield _operations(report)


def plain_table(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    """A table without borders; columns of text, then columns of numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _times(report: Report) -> Iterator[Table]:
    title = f"{report.machine.processor}, {report.rounds} rounds"
    latency = plain_table(title, ("model",), ("threads", "median ms", "p90", "p99", "ratio to the first (95 %)"))
    needs = ("threads", "load ms", "memory MB", "file MB", "GMAC", "GFLOP/s", "of matmul")
    means = plain_table("Resources", ("model", "runtime"), needs)
    for result in report.results:
        size, macs = f"{result.bytes / 1e6:.2f}", f"{result.macs / 1e9:.3f}"
        for m in result.measurements:
            figures = [f"{ms:.2f}" for ms in (m.times.median_ms, m.times.p90_ms, m.times.p99_ms)]
            latency.add_row(result.name, str(m.threads), *figures, _ratio(m))
            memory = "n/a" if m.peak_memory_mb is None else f"{m.peak_memory_mb:.1f}"
            work = f"{m.gflops:.1f}", f"{m.peak_share:.0%}"
            means.add_row(result.name, result.runtime, str(m.threads), f"{m.load_ms:.1f}", memory, size, macs, *work)
        if result.not_timed:
            latency.add_row(result.name, *["-"] * 5)
            means.add_row(result.name, "not timed here", *["-"] * 3, size, macs, "-", "-")
    return iter((latency, means))


def _ratio(m: Measurement) -> str:
    interval = "too few rounds" if m.ratio.low is None else f"{m.ratio.low:.3f}-{m.ratio.high:.3f}"
    return f"{m.ratio.value:.3f} ({interval})"


def _operations(report: Report) -> Table:
    table = plain_table(
        "Where a frame goes, by the runtime's profiler", ("model", "operation"), ("threads", "count", "ms", "share")
    )
    for result in report.results:
        for m in result.measurements:
            for one in m.profile[:MOST_OPERATIONS]:
                table.add_row(
                    result.name, one.kind, str(m.threads), str(one.count), f"{one.ms:.3f}", f"{one.share:.1%}"
                )
            rest = m.profile[MOST_OPERATIONS:]
            if rest:
                ms, share = sum(o.ms for o in rest), sum(o.share for o in rest)
                count = sum(o.count for o in rest)
                table.add_row(result.name, "all others", str(m.threads), str(count), f"{ms:.3f}", f"{share:.1%}")
    return table


def remarks(report: Report) -> Iterator[str]:
    """Remarks on the tables, one line each."""
    load = report.machine.load_average
    if load is not None and load > 0.5:
        yield f"the machine was busy when this began (load average {load:.1f}): trust ratios, not times"
    for result in report.results:
        if result.not_timed:
            yield f"{result.name}: {result.not_timed}"
        yield from _profile_remarks(result)


def _profile_remarks(result: Result) -> Iterator[str]:
    for m in result.measurements:
        if m.no_profile:
            yield f"{result.name}, {m.threads} threads: no profile: {m.no_profile}"


UNTESTED = "untested on hardware: tested only with a fake adb and answers written by hand, never on a phone"


def phone_tables(report: PhoneReport) -> Iterator[Table]:
    """Times; where they went; and how they and the phone's temperature developed."""
    about = report.device
    title = f"{about['manufacturer']} {about['model']}, {report.accelerator}, {report.threads} threads ({UNTESTED})"
    columns = ("frames", "init ms", "first", "mean", "median", "p95", "min", "max", "memory MB", "GFLOP/s")
    table = plain_table(title, ("model", "delegated"), columns)
    for result in report.results:
        run = result.first.run
        numbers = (
            run.init_ms,
            run.first_ms,
            run.mean_ms,
            run.median_ms,
            run.p95_ms,
            run.min_ms,
            run.max_ms,
            run.memory_mb,
        )
        gflops = 2 * result.macs / (run.mean_ms / 1000) / 1e9
        cells = [_text(number) for number in numbers]
        table.add_row(result.name, run.delegated or "-", str(run.frames), *cells, f"{gflops:.1f}")
    yield table
    for result in report.results:
        if result.first.run.profile:
            yield _profile(result)
        if result.sustained:
            yield _sustained(result)


def _profile(result: PhoneResult) -> Table:
    table = plain_table(f"{result.name}: where a frame goes", ("operation",), ("count", "ms", "share"))
    for one in result.first.run.profile[:MOST_OPERATIONS]:
        table.add_row(one.kind, str(one.count), f"{one.ms:.3f}", f"{one.share:.1%}")
    return table


def _sustained(result: PhoneResult) -> Table:
    columns = ("seconds", "mean ms", "hottest °C", "fastest core MHz", "GPU MHz")
    table = plain_table(f"{result.name}: sustained", (), columns)
    for one in (result.first, *result.sustained):
        cores = [value for name, value in one.condition.mhz.items() if name != "gpu"]
        table.add_row(
            f"{one.condition.seconds:.0f}",
            f"{one.run.mean_ms:.2f}",
            _text(one.condition.hottest),
            _text(max(cores, default=None)),
            _text(one.condition.mhz.get("gpu")),
        )
    return table


def device_tables(found: DeviceBenchmark) -> Iterator[Table]:
    """Times in a browser or an app, and how they developed. The ratio is that of medians to the first model's."""
    columns = ("threads", "frames", "load ms", "first", "median", "p90", "p95", "frames/s", "ratio", "GFLOP/s", "MB",
               "golden dB", "battery mW")  # fmt: skip
    title = name_of_device(found.device)
    if found.device.type == "app":
        title += f" ({UNTESTED})"
    if not found.visible:
        title += " (in the background for a time: do not trust the figures)"
    table = plain_table(title, ("model", "backend"), columns)
    for one in found.results:
        median, first = one.latency.median, found.results[0].latency.median
        times = (one.load_milliseconds, one.first_frame_milliseconds, median, one.latency.p90, one.latency.p95)
        ratio, gflops = (median / first if first else None), (2e-6 * one.macs / median if median else None)
        more = (one.rate, ratio, gflops, one.memory_mb, one.golden_psnr, milliwatts(one.conditions))
        table.add_row(one.name, one.backend, str(one.threads), str(one.frames), *map(_text, (*times, *more)))
    yield table
    for one in found.results:
        if one.sustained:
            yield _over_time(one)


def _over_time(one: DeviceResult) -> Table:
    """At most MOST_STRETCHES rows, each with the condition that was told last before its end."""
    columns = ("seconds", "frames/s", "median ms", "thermal status", "battery °C", "battery %")
    table = plain_table(f"{one.name}: sustained", (), columns)
    width = -(-len(one.sustained) // MOST_STRETCHES)
    offset = max((told.second for told in one.conditions), default=0.0) - len(one.sustained)
    for start in range(0, len(one.sustained), width):
        part = one.sustained[start : start + width]
        end = start + len(part)
        told = [told for told in one.conditions if told.second <= end + max(offset, 0.0)]
        now = told[-1] if told else None
        table.add_row(
            str(end),
            f"{sum(window.frames for window in part) / len(part):.1f}",
            f"{statistics.median(window.median for window in part):.2f}",
            "-" if now is None or now.thermal_status is None else str(now.thermal_status),
            _text(now.battery_celsius if now else None),
            _text(now.battery_percent if now else None),
        )
    return table


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
