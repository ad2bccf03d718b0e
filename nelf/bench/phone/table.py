"""What a phone said, as tables for a terminal."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from nelf.bench.phone.app import AppBenchmark
from nelf.bench.phone.benchmark import PhoneReport, PhoneResult
from nelf.bench.table import MOST_OPERATIONS, plain_table

UNTESTED = "untested on hardware: tried against a stand-in for adb with answers written by hand, never on a phone"


def phone_tables(report: PhoneReport) -> Iterator[Table]:
    """Times; where they went; how they and the phone's temperature developed."""
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


def app_table(found: Sequence[AppBenchmark]) -> Table:
    """What the app measured."""
    columns = ("frames", "load ms", "first", "median", "p90", "p99", "memory MB", "frames/s")
    table = plain_table(f"Our app ({UNTESTED})", ("model", "accelerator", "device"), columns)
    for one in found:
        device = f"{one.device.get('manufacturer', '')} {one.device.get('model', '')}".strip()
        numbers = (one.load_ms, one.first_ms, one.median_ms, one.p90_ms, one.p99_ms, one.memory_mb)
        rate = one.frames / one.seconds if one.seconds else None
        cells = [_text(number) for number in (*numbers, rate)]
        table.add_row(one.model, one.accelerator, device, str(one.frames), *cells)
    return table


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
