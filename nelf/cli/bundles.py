"""`nelf view` and `nelf bench`: bundles in a browser, and their speed. Stages are imported inside the commands."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nelf.core.errors import BenchError, ConfigError, Interrupted
from nelf.core.progress import ProgressLine, Stop, echo, stoppable

if TYPE_CHECKING:
    from nelf.benchmark.report import DeviceBenchmark
    from nelf.pipeline import TrainingPhotos
    from nelf.viewer.site import Site


def view(
    shown: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN|BUNDLE...", help="Runs, bundles for web or android, or folders of them."),
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Show the trained scene that comes with nelf.")] = False,
    phone: Annotated[
        bool, typer.Option("--phone", help="For phones in the same network: HTTPS, and a code to scan.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.", min=0, max=65535)] = 0,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on; by default this machine alone, with --phone all.", show_default=False),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address, open no browser.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write a folder to publish, for any host of files."),
    ] = None,
) -> None:
    """Show bundles in the browser until Ctrl-C. Only this machine can open them, unless you set --phone or --host.

    Of one run it shows the bundle for web or android. If the current student has none, it exports web first. Of several
    runs, and of a folder, it shows all such bundles, to compare them.

    Example: nelf view runs/my_photos --phone
    """
    from nelf.viewer.server import ADDRESS, ViewerServer, serve
    from nelf.viewer.site import EXAMPLE, Site, assets_folder, write_site

    if (not shown) != example:
        raise ConfigError("give folders of runs or of bundles, or --example")
    if out is not None and (phone or host or port):
        raise ConfigError("--out writes a folder and serves nothing; leave out --phone, --host and --port")
    assets_folder()  # before an export, not after it
    with stoppable() as stop:
        site = Site(*(_bundles(shown, stop) if shown else [EXAMPLE]))
    if out is not None:
        write_site(site, out)
        typer.echo(str(out))
        return
    _add_photos(site)
    if phone:
        from nelf.viewer.phone import PhoneServer

        with PhoneServer(site, port, host) as running:
            _introduce(running.urls(), running.introduction())
            serve(running)
        return
    with ViewerServer(site, port, host or ADDRESS) as server:
        typer.echo(server.url)
        if server.token:
            echo(f"WARNING: --host {host} is not encrypted: who reads the traffic sees it all; --phone is, by HTTPS")
        echo("Ctrl-C ends it")
        serve(server, None if no_open else server.url)


def _add_photos(site: "Site") -> None:
    """The training photos of the run, if all bundles are of one."""
    from nelf.pipeline.overrides import is_run
    from nelf.viewer.site import run_of

    runs = {run_of(bundle) for bundle in site.bundles.values()}
    run = runs.pop() if len(runs) == 1 else None
    if run is None or not is_run(run):
        return

    @functools.cache
    def photos() -> "TrainingPhotos":
        from nelf.pipeline import TrainingPhotos  # loads PyTorch, which the server does without until it is asked

        return TrainingPhotos(run)

    site.more = lambda name: photos().content(name) if name.startswith("photos") else None


def _introduce(urls: Sequence[str], introduction: str) -> None:
    for url in urls:
        typer.echo(url)
    typer.echo(introduction, err=True)
    echo("Ctrl-C ends it")


def _bundles(shown: list[Path], stop: Stop) -> list[Path]:
    """The bundles that are meant. Of a single run one; of several paths all that a browser can show, each once."""
    from nelf.viewer.site import MANIFEST, VIEWABLE

    found: list[Path] = []
    for path in shown:
        if (path / MANIFEST).is_file() or not path.is_dir():
            found.append(path)
            continue
        from nelf.pipeline import bundles_for, is_run

        if is_run(path):
            of_run = bundles_for(path, VIEWABLE, stop, echo)
            found += of_run[:1] if len(shown) == 1 else of_run
        else:
            found += _inside(path) or [path]  # which the server refuses, with a reason
    if len(found) > 1:
        from nelf.bundle import read_manifest

        for bundle in found:
            read_manifest(bundle)
    return list({bundle.resolve(): bundle for bundle in found}.values())


def _inside(folder: Path) -> list[Path]:
    """Bundles in a folder, and those of runs in it, that a browser can show."""
    from nelf.pipeline import is_run, ready_bundles
    from nelf.viewer.site import MANIFEST, VIEWABLE, target_of

    found = []
    for path in sorted(folder.iterdir()):
        if (path / MANIFEST).is_file():
            if (target := target_of(path)) in VIEWABLE:
                found.append(path)
            else:
                echo(f"{path} is for {target} and is not shown")
        elif is_run(path):
            ready = ready_bundles(path, VIEWABLE)
            found += ready
            if not ready:
                echo(f"{path} has no bundle for {' or '.join(VIEWABLE)} and is left out; make one: nelf view {path}")
    return found


def bench(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles, or .tflite and .onnx files.")],
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures here.")] = None,
    threads: Annotated[str | None, typer.Option(help="Such as 1,2. Default: 1 and all cores; phone: 4.")] = None,
    runs: Annotated[int | None, typer.Option(help="Fewest counted frames per bundle; 100 by default.")] = None,
    minutes: Annotated[float, typer.Option(help="Continue this long; on a phone: sustained, with temperatures.")] = 0.0,
    seconds: Annotated[
        float | None, typer.Option(help="Of each bundle in a browser or our app; 30 by default.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="browser|adb[:SERIAL]",
            help="Measure on a phone: in its browser, or over adb (untested on hardware).",
        ),
    ] = None,
    browser: Annotated[
        str | None, typer.Option(metavar="chromium", help="Measure in this machine's Chromium, without a window.")
    ] = None,
    benchmark_model: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Google's benchmark_model, built for the phone.")
    ] = None,
    app_package: Annotated[
        str | None, typer.Option("--app", metavar="PACKAGE", help="Let our app on the phone measure.")
    ] = None,
    app_report: Annotated[
        list[Path] | None,
        typer.Option("--app-report", metavar="FILE", help="benchmark.json that our app on iOS wrote, of a bundle."),
    ] = None,
    accelerator: Annotated[str | None, typer.Option(help="Of the phone: cpu, gpu; with --app also auto, npu.")] = None,
) -> None:
    """Time bundles in turns: latency, memory, time by operation, ratios to the first. Here, or on a phone.

    With --device browser you scan a code, and the phone's browser measures and sends its figures back to this machine.
    Measuring over adb is untested on hardware: it was tested only with a fake adb and answers written by hand.

    Example: nelf bench runs/my_photos/export/android runs/my_photos/export/onnx --json bench.json
    """
    from nelf.benchmark import open_subjects, parse_threads, show

    asked = {"--benchmark-model": benchmark_model, "--app": app_package, "--accelerator": accelerator}
    if browser not in (None, "chromium"):
        raise ConfigError(f"--browser {browser} is not known; use chromium, or --device browser for a phone")
    if device == "browser" or browser:
        others = {"--threads": threads, "--runs": runs, "--device": None if device == "browser" else device}
        _refuse({**asked, **others}, "is not for a browser")
        _bench_in_browser(bundles, json_file, seconds, minutes, browser is None)
        return
    if app_report:
        _refuse({**asked, "--threads": threads, "--runs": runs, "--seconds": seconds, "--device": device},
                "is not for a file that an app wrote")  # fmt: skip
        from nelf.benchmark.phone_app import read_app_files

        _show_device(read_app_files(app_report, open_subjects(bundles)), json_file)
        return
    if app_package is None:
        _refuse({"--seconds": seconds}, "is for a browser or our app; add --device browser, or --app PACKAGE")
    runs = 100 if runs is None else runs
    if device is None:
        _refuse(asked, "is for a phone; add --device adb")
        _bench_here(bundles, json_file, threads, runs, minutes)
        return
    kind, _, serial = device.partition(":")
    if kind != "adb":
        raise ConfigError(
            f"--device {device} is not known; use adb, adb:SERIAL if several phones are connected, or browser"
        )
    if (benchmark_model is None) == (app_package is None):
        raise ConfigError("--device adb needs one of --benchmark-model PATH and --app PACKAGE")
    from nelf.benchmark.adb import connect
    from nelf.benchmark.benchmark_model import PhoneOptions, bench_on_phone
    from nelf.benchmark.tables import phone_tables

    if app_package is not None:
        from nelf.benchmark.browser import make_plan
        from nelf.benchmark.phone_app import bench_app
        from nelf.benchmark.report import SECONDS
        from nelf.core.files import check_writable

        if json_file:
            check_writable(json_file)
        opened = open_subjects(bundles)
        plan = make_plan([one.name for one in opened], seconds or SECONDS, minutes)
        with stoppable() as stop:
            phone = connect(serial or None)
            found = bench_app(phone, opened, app_package, accelerator or "auto", plan["seconds"], minutes, stop, echo)
        _show_device(found, json_file)
        return
    assert benchmark_model is not None
    with stoppable() as stop:

        def progress(line: str) -> None:
            _leave_bench(stop.requested)
            echo(line)

        cores = parse_threads(threads or "4")
        if len(cores) > 1:
            raise ConfigError(f"--threads {threads}: a phone measures one number at a time, e.g. --threads 4")
        options = PhoneOptions(benchmark_model, accelerator or "cpu", cores[0], runs, minutes)
        report = bench_on_phone(connect(serial or None), open_subjects(bundles), options, progress)
    show(phone_tables(report))
    if json_file:
        from nelf.core.files import write_json

        write_json(json_file, report.as_json())
    if report.ended:
        raise BenchError(f"{report.ended}; earlier results are kept")


def _show_device(found: "DeviceBenchmark", json_file: Path | None) -> None:
    """The tables of a browser or an app, and the file. Raises BenchError at the end if the run was cut short."""
    from nelf.benchmark.tables import device_tables, show
    from nelf.core.files import write_json

    show(device_tables(found))
    if json_file:
        write_json(json_file, found.model_dump(mode="json"))
    if found.ended:
        raise BenchError(f"{found.ended}; what was measured is kept")


def _refuse(given: Mapping[str, object], reason: str) -> None:
    for option, value in given.items():
        if value is not None:
            raise ConfigError(f"{option} {reason}")


def _bench_in_browser(
    bundles: list[Path], json_file: Path | None, seconds: float | None, minutes: float, phone: bool
) -> None:
    from nelf.benchmark import browser, open_subjects
    from nelf.benchmark.report import SECONDS, Report, as_benchmark
    from nelf.core.files import check_writable, write_json
    from nelf.viewer.phone import PhoneServer
    from nelf.viewer.server import ViewerServer

    if json_file:
        check_writable(json_file)
    opened = open_subjects(bundles)
    site = browser.make_site(opened)
    subjects = dict(zip(site.bundles, opened, strict=True))
    session = browser.Session(browser.make_plan(list(subjects), seconds or SECONDS, minutes))

    def keep(report: Report, ended: str | None) -> None:
        if json_file:
            write_json(json_file, as_benchmark(report, session.plan, subjects, ended).model_dump(mode="json"))

    kind = PhoneServer if phone else ViewerServer
    server = kind(site, 0, plan=session.plan, receive=session.receive)
    with stoppable() as stop, server, browser.answering(server):
        if isinstance(server, PhoneServer):
            _introduce(server.urls(browser.QUERY), server.introduction(browser.QUERY))
            report, ended = browser.wait_for_reports(session, stop, echo, keep)
        else:
            with browser.chromium(server.url + f"{browser.QUERY}=auto") as alive:
                report, ended = browser.wait_for_reports(session, stop, echo, keep, alive)
    found = as_benchmark(report, session.plan, subjects, ended)
    if stop.requested:
        _show_device(found.model_copy(update={"ended": None}), None)
        raise Interrupted(f"bench: {ended}; what was measured is kept")
    _show_device(found, json_file)


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
        echo(remark)
    if json_file:
        report.write(json_file)


def _leave_bench(asked: bool) -> None:
    if asked:
        raise Interrupted("bench: stopped; nothing is kept")
