"""`nelf bench`: how fast bundles are. Imports of the stages are inside the command, as in nelf.cli.main."""

from pathlib import Path
from typing import Annotated

import typer

from nelf.core.errors import BenchError, ConfigError, Interrupted
from nelf.core.progress import ProgressLine, say, stoppable


def bench(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles, or .tflite and .onnx files.")],
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures there.")] = None,
    threads: Annotated[str | None, typer.Option(help="As 1,2. Here: 1 and all cores otherwise; on a phone: 4.")] = None,
    runs: Annotated[int, typer.Option(help="Counted frames of each bundle, at least.")] = 100,
    minutes: Annotated[float, typer.Option(help="Go on for so long; on a phone: sustained, with temperatures.")] = 0.0,
    device: Annotated[
        str | None, typer.Option(metavar="adb[:SERIAL]", help="Measure on an Android phone (untested on hardware).")
    ] = None,
    benchmark_model: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Google's benchmark_model, built for the phone.")
    ] = None,
    app_package: Annotated[
        str | None, typer.Option("--app", metavar="PACKAGE", help="Our app on the phone measures, in its own way.")
    ] = None,
    accelerator: Annotated[str | None, typer.Option(help="Of the phone: cpu or gpu; --app: auto, npu too.")] = None,
) -> None:
    """Time bundles in turns: latency, memory, where a frame goes, ratios to the first. Here, or on a phone over adb.

    Measuring on a phone was tried against a stand-in with answers written by hand only: it is untested on hardware.

    Example: nelf bench runs/my_photos/export/android runs/my_photos/export/onnx --json bench.json
    """
    from nelf.benchmark import open_subjects, parse_threads, show

    asked = {"--benchmark-model": benchmark_model, "--app": app_package, "--accelerator": accelerator}
    if device is None:
        given = next((option for option, value in asked.items() if value is not None), None)
        if given is not None:
            raise ConfigError(f"{given} is for a phone; name it too: --device adb")
        _bench_here(bundles, json_file, threads, runs, minutes)
        return
    kind, _, serial = device.partition(":")
    if kind != "adb":
        raise ConfigError(f"--device {device} is not known; use adb, or adb:SERIAL where several phones are connected")
    if (benchmark_model is None) == (app_package is None):
        raise ConfigError("--device adb needs one of --benchmark-model PATH and --app PACKAGE")
    from nelf.benchmark.adb import connect
    from nelf.benchmark.benchmark_model import PhoneOptions, bench_on_phone
    from nelf.benchmark.phone_app import run_app
    from nelf.benchmark.tables import app_table, phone_tables

    ended: str | None = None
    with stoppable() as stop:

        def progress(line: str) -> None:
            _leave_bench(stop.requested)
            say(line)

        if benchmark_model is not None:
            cores = parse_threads(threads or "4")
            if len(cores) > 1:
                raise ConfigError(f"--threads {threads}: on a phone one number at a time, e.g. --threads 4")
            options = PhoneOptions(benchmark_model, accelerator or "cpu", cores[0], runs, minutes)
            report = bench_on_phone(connect(serial or None), open_subjects(bundles), options, progress)
            tables, content, ended = list(phone_tables(report)), report.as_json(), report.ended
        else:
            assert app_package is not None
            phone, subjects = connect(serial or None), open_subjects(bundles)
            found = [run_app(phone, one, app_package, accelerator or "auto", minutes, progress) for one in subjects]
            tables, content = [app_table(found)], {"app": [one.as_json() for one in found]}
    show(tables)
    if json_file:
        from nelf.core.files import write_json

        write_json(json_file, content)
    if ended:
        raise BenchError(f"{ended}; what was measured before that is kept")


def _bench_here(bundles: list[Path], json_file: Path | None, threads: str | None, runs: int, minutes: float) -> None:
    from nelf.benchmark import BenchOptions, open_subjects, parse_threads, remarks, show, tables, usable_cores
    from nelf.benchmark import bench as measure

    counts = parse_threads(threads) if threads else tuple(sorted({1, usable_cores()}))
    options = BenchOptions(counts, runs, minutes)
    subjects = open_subjects(bundles)
    with stoppable() as stop, ProgressLine("bench", 1.0) as line:

        def progress(done: float) -> None:
            _leave_bench(stop.requested)
            line.update(done)

        report = measure(subjects, options, progress)
    show(tables(report))
    for remark in remarks(report):
        say(remark)
    if json_file:
        report.write(json_file)


def _leave_bench(asked: bool) -> None:
    if asked:
        raise Interrupted("bench: stopped; nothing is kept")
