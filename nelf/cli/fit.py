"""`nelf fit`: the best student for a device and a budget. Stages are imported inside the command."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from nelf.cli.data import Overrides
from nelf.core.errors import ConfigError
from nelf.core.files import is_plain_name
from nelf.core.processes import later_rank
from nelf.core.progress import echo, stoppable, waiting

TABLES, BUNDLES = "tables", "bundles"
"""Folders next to those of the searches, which have the names of runs."""
LEFT, RIGHT = ("network", "", "settings"), ("PSNR dB", "rounds", "ms", "measured", "MB")


def fit(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run; its pseudo views are used.")],
    budget: Annotated[str, typer.Option(help="Time of an image or size of the model file: 16ms or 2MB.")],
    overrides: Overrides = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="host|adb[:SERIAL]|browser|chromium|FILE.json",
            help="What to measure, or the table of a device that was measured. host for a budget of time.",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(help="Training in the search; measuring and the end come on top.")] = 60.0,
    prune: Annotated[bool, typer.Option("--prune", help="Prune the student of RUN instead of searching.")] = False,
    name: Annotated[str | None, typer.Option(help="Of the new run; by default RUN-BUDGET.", show_default=False)] = None,
    precision: Annotated[str, typer.Option(help="Of the measured files: fp32 or fp16.")] = "fp32",
    threads: Annotated[int | None, typer.Option(help="Of the device. Default: all cores; phone: 4.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of the networks to try.", min=0)] = 0,
    benchmark_model: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Google's benchmark_model, built for the phone.")
    ] = None,
    accelerator: Annotated[str | None, typer.Option(help="Of the phone: cpu or gpu.")] = None,
) -> None:
    """Find the best student within a budget, train it, and export it: a new run next to RUN.

    Measures the device once, predicts the time of any network from that, and tries networks within the budget by
    successive halving. The new run learns from the pseudo views of RUN, and is a run like any other. Prints every
    network tried, best first, and writes them to RUN/fit/NAME/search.json. The same command goes on where it stopped.

    Example: nelf fit runs/my_photos --budget 16ms
    """
    from nelf.fit.space import BYTES, Budget
    from nelf.pipeline.overrides import check_request, is_run

    asked = Budget.parse(budget)
    if not 0 < minutes < math.inf:
        raise ConfigError(f"--minutes {minutes:g} is not a time to train for; use more than 0")
    if precision not in BYTES:
        raise ConfigError(f"--precision {precision} is not known; use one of {', '.join(BYTES)}")
    if (rank := later_rank()) is not None:
        raise ConfigError(f"{rank} in the environment: only one process can fit; unset that variable")
    if not is_run(run):
        raise ConfigError(f"{run} is not a run; give the folder of one, e.g. runs/NAME, or start with: nelf run SCENE")
    check_request(run, list(overrides or []))
    for override in overrides or []:
        if override.startswith(("name=", "runs=")):
            raise ConfigError(f"{override}: the new run is next to RUN; name it by --name NAME")
    new = f"{run.resolve().name}-{asked}{'-pruned' * prune}" if name is None else name
    if not is_plain_name(new) or new in (TABLES, BUNDLES):
        raise ConfigError(f"--name {new} cannot be used; give the name of one folder, not {TABLES} or {BUNDLES}")
    with waiting("fit: starting"):
        from nelf.fit.devices import open_device
        from nelf.pipeline import Run
        from nelf.pipeline.fit_stage import Plan, finish, fitted_run, look_for, table_file

    kind = device or ("host" if asked.needs_table else None)
    elsewhere = kind is not None and kind.endswith(".json")
    for option, value in (
        ("--threads", threads),
        ("--benchmark-model", benchmark_model),
        ("--accelerator", accelerator),
    ):
        if value is not None and (elsewhere or kind is None):
            raise ConfigError(f"{option} is for a device that is measured; add --device host or adb")
    if elsewhere and not Path(str(kind)).is_file():
        raise ConfigError(f"--device {kind} does not exist; give a table of times, or measure with --device host")
    opened = None if kind is None or elsewhere else open_device(kind, threads, benchmark_model, accelerator, _introduce)
    measured = [part for part in (kind, accelerator, threads, precision) if part is not None]
    table = None if kind is None else Path(kind) if elsewhere else table_file(run, measured)
    source = Run.open(run, list(overrides or []), echo=echo)
    if source.ranks > 1:
        raise ConfigError(f"device.devices and num_nodes ask for {source.ranks} processes; only one can fit")
    source.check_pictures()
    with stoppable() as stop:
        plan = Plan(asked, opened, table, minutes, new, precision, seed)
        with source.locked(), source.ending_workers():
            found = look_for(source, plan, prune, stop, echo)
        target = fitted_run(source, new, found.config)
        bundles = finish(target, stop, echo, found.start)
    if found.search is not None:
        from nelf.benchmark.tables import plain_table, show
        from nelf.fit.search import rows

        printed = plain_table(f"networks tried for {asked}", LEFT, RIGHT)
        for text, figures in rows(found.search):
            printed.add_row(*text, *figures)
        show([printed])
        typer.echo(found.search.folder / "search.json")
    for bundle in bundles:
        typer.echo(bundle)
    echo(f"the new run is {target.folder}; measure it with: nelf eval {target.folder}")


def _introduce(urls: Sequence[str], introduction: str) -> None:
    for url in urls:
        typer.echo(url)
    typer.echo(introduction, err=True)
