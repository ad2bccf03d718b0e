"""The command `nelf`. Imports of the stages are inside the commands, so that help is instant."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from nelf import __version__
from nelf.cli.bench import bench
from nelf.cli.data import Overrides, data
from nelf.core.errors import ConfigError, Interrupted, NelfError
from nelf.core.files import refused_by_the_system
from nelf.core.processes import blame_others, is_first_process, later_rank
from nelf.core.progress import console, say, stoppable, waiting

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Posed photos in, a neural light field that runs on a phone out.\n\n"
    "Example: nelf run my_photos --> runs/my_photos/report.html and runs/my_photos/export/",
)
app.add_typer(data, name="data")

ShowConfig = Annotated[
    str | None, typer.Option("--cfg", metavar="job", help="Print the configuration and stop.", show_default=False)
]
Target = Annotated[Path, typer.Argument(metavar="SCENE|RUN", help="Folder of a scene, or of a run that nelf made.")]


@app.command()
def run(
    scene: Target,
    overrides: Overrides = None,
    cfg: ShowConfig = None,
    multirun: Annotated[bool, typer.Option("--multirun", "-m", help="Sweep over comma-separated values.")] = False,
) -> None:
    """Every stage, from photos to verified bundles and a report; a stage whose output is current is skipped.

    Several scenes: nelf run --multirun scene.path=a,b,c, on a cluster with hydra/launcher=slurm.

    Example: nelf run my_photos student=s train.minutes=5
    """
    if multirun:
        from nelf.pipeline.overrides import checked_combinations, quoted

        # Several scenes are an override like any other, and then the first word is none of a folder.
        first = str(scene) if str(scene).startswith("scene.path=") else f"scene.path={quoted(str(scene))}"
        asked = [first, *(overrides or [])]
        checked = checked_combinations(asked)  # before PyTorch is loaded
        from nelf.pipeline.sweep import sweep

        sweep(asked, checked, say)
    else:
        _stage("run", scene, overrides, cfg)


@app.command()
def teach(scene: Target, overrides: Overrides = None, cfg: ShowConfig = None) -> None:
    """Train the teacher, a NeRF.

    Example: nelf teach my_photos teacher.minutes=30
    """
    _stage("teach", scene, overrides, cfg)


@app.command()
def distill(scene: Target, overrides: Overrides = None, cfg: ShowConfig = None) -> None:
    """Render pseudo views with the teacher (trained first if need be).

    Example: nelf distill my_photos distill.views=2000 distill.workers=2
    """
    _stage("distill", scene, overrides, cfg)


@app.command()
def train(scene: Target, overrides: Overrides = None, cfg: ShowConfig = None) -> None:
    """Distil the student from the pseudo views (made first if need be).

    Example: nelf train runs/my_photos student=l train.minutes=60
    """
    _stage("train", scene, overrides, cfg)


@app.command("eval")
def eval_(scene: Target, overrides: Overrides = None, cfg: ShowConfig = None) -> None:
    """Measure teacher, student and exported models on the test views; write the report.

    Example: nelf eval runs/my_photos eval.video_seconds=8
    """
    _stage("eval", scene, overrides, cfg)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    out: Annotated[Path | None, typer.Option(help="The page; summary.html in the folder above the runs.")] = None,
) -> None:
    """One page over many runs: a table for each model, means, plots, and a link to the report of each.

    Example: nelf report runs/lego runs/ship --out compared.html
    """
    from nelf.core.files import check_writable
    from nelf.pipeline.overrides import is_run

    for folder in runs:
        if not is_run(folder):
            made = f"; nelf run {folder} makes one of it, if it is a scene" if folder.is_dir() else ""
            raise ConfigError(f"{folder} is no run; give folders of runs, e.g. runs/NAME{made}")
    if out is not None:
        check_writable(out)
    from nelf.pipeline import write_summary

    typer.echo(write_summary(runs, out))


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run with a trained student.")],
    overrides: Overrides = None,
    target: Annotated[list[str] | None, typer.Option(help="ios, android, onnx, web, coreai; may be repeated.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="fp32 or fp16; android: int8, int8-dynamic; ios: w8, w6, w4; auto: what suits each target."),
    ] = None,
    image_output: Annotated[
        bool, typer.Option("--image-output", help="ios: the model gives a CVPixelBuffer instead of a float32 tensor.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the bundles; the run's export/ otherwise.")] = None,
    into: Annotated[
        list[Path] | None, typer.Option(help="ios_app or android_app: its next build shows the scene; may be repeated.")
    ] = None,
) -> None:
    """Export a run's student as bundles, each executed and compared with PyTorch before it is kept.

    Example: nelf export runs/my_photos --target ios --target android
    """
    from nelf.core.files import check_writable
    from nelf.pipeline.overrides import check_request, is_run

    if (rank := later_rank()) is not None:
        raise ConfigError(f"{rank} in the environment: one process alone exports; unset that variable")
    if not is_run(run):
        raise ConfigError(f"{run} is no run; give the folder of one, e.g. runs/NAME, or start with: nelf run SCENE")
    asked = list(overrides or [])
    if target:
        asked.append(f"export.targets=[{','.join(target)}]")
    if precision:
        asked.append(f"export.precision={precision}")
    if image_output:
        asked.append("export.image_output=true")
    check_request(run, asked, writes=out is None)  # before PyTorch is loaded
    if out is not None:
        check_writable(out, folder=True)
    from nelf.export import app_in, place
    from nelf.pipeline import Run, export_to
    from nelf.pipeline.export_stage import export_table

    for app in into or []:
        app_in(app)  # before the work, not after it
    opened = Run.open(run, asked, say=say)
    folder = out or opened.folder / "export"
    with opened.locked(), stoppable() as stop:
        made = export_to(opened, folder, stop, say)
    console.print(export_table(opened, folder))
    for bundle in made:
        typer.echo(bundle)
    for app in into or []:
        for placed in place(made, app):
            typer.echo(placed)


@app.command()
def verify(bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle.")]) -> None:
    """Execute a bundle again, compare it with its golden views, and say whether it fits the phone's accelerator.

    Example: nelf verify runs/my_photos/export/ios
    """
    from nelf.compatibility import Format
    from nelf.core.errors import BundleError
    from nelf.export import judge, open_bundle, read_graph, verify_bundle

    result = verify_bundle(bundle)
    for difference in result.differences:
        typer.echo(f"{difference.view}: {difference.psnr:.1f} dB, largest error {difference.max_abs:.4f}")
    if not result.passed:
        raise BundleError(f"{bundle} is not what was exported: {result.reason}; export it again")
    typer.echo(f"verified in {result.runtime}: {result.summary}")
    opened = open_bundle(bundle, check_hashes=False)
    model = opened.folder / opened.manifest.model.path
    if model.suffix not in {known.value for known in Format}:
        typer.echo(f"whether {model.suffix} files fit an accelerator is not known here")
        return
    for line in judge(read_graph(model)).lines():
        typer.echo(line)


@app.command()
def view(
    bundle: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN|BUNDLE", help="Folder of a run, or of a bundle for web or android.", show_default=False
        ),
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Show the scene that comes with nelf, trained.")] = False,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.", min=0, max=65535)] = 0,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 shows the bundle to all who can reach this machine.")
    ] = "127.0.0.1",
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address, open no browser.")] = False,
) -> None:
    """Show a run in the browser, to this machine alone unless --host says otherwise, until Ctrl-C.

    Of a run its bundle for web or android is shown; where it has none of its present student, web is exported first.

    Example: nelf view runs/my_photos
    """
    from nelf.viewer.server import ADDRESS
    from nelf.viewer.server import view as serve
    from nelf.viewer.site import EXAMPLE, MANIFEST, VIEWABLE, assets_folder

    if (bundle is None) != example:
        raise ConfigError("nelf view shows one thing: give the folder of a run or of a bundle, or --example")
    assets_folder()  # before an export, not after it
    shown = EXAMPLE if bundle is None else bundle
    if shown.is_dir() and not (shown / MANIFEST).is_file():
        from nelf.pipeline import bundle_for, is_run

        if is_run(shown):
            with stoppable() as stop:
                shown = bundle_for(shown, VIEWABLE, stop, say)

    def ready(url: str) -> None:
        typer.echo(url)
        if host != ADDRESS:
            say(f"WARNING: --host {host} shows this bundle to everybody who can reach that address, without a password")
        say("Ctrl-C ends it")

    serve(shown, port, host, ready, open_browser=not no_open)


app.command()(bench)


@app.command("config")
def config_(
    group: Annotated[
        str | None, typer.Argument(metavar="GROUP", help="Such as train or train.finetune; all otherwise.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/settings.md.")] = False,
) -> None:
    """Every setting: its default, what it allows, what it means.

    Example: nelf config train
    """
    from nelf.pipeline.settings_page import as_markdown, as_text

    typer.echo(as_markdown() if markdown else as_text(group), nl=not markdown)


@app.command()
def demo(overrides: Overrides = None) -> None:
    """The whole way on the scene that comes with nelf.

    Example: nelf demo
    """
    from nelf.pipeline import config_folder

    beside = config_folder().parent
    scene = beside / "datasets" / "stilllife"
    folder = _stage("run", scene, ["experiment=demo", *(overrides or [])], None)
    typer.echo(f"open {folder / 'report.html'}; the bundles are in {folder / 'export'}")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """See `app`."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def _stage(name: str, target: Path, overrides: list[str] | None, cfg: str | None) -> Path:
    """Run a stage, or print the configuration with which it would; gives the run's folder."""
    from nelf.pipeline.overrides import check_request

    if cfg not in (None, "job"):
        raise ConfigError(f"--cfg {cfg} is not known; use --cfg job")
    check_request(target, overrides or [], writes=cfg is None)  # before PyTorch is loaded
    with waiting(f"{name}: starting", shown=is_first_process()):  # PyTorch and the converters take their time
        from nelf.pipeline import NEEDS, STAGES, Run, as_yaml

    with waiting(f"{name}: looking at {target}", shown=is_first_process()):
        run = Run.open(target, overrides or [], NEEDS[name], say=None if cfg else say)
    if cfg:
        typer.echo(as_yaml(run.composed), nl=False)
        return run.folder
    run.check_pictures()
    tell = say if is_first_process() else _nothing
    tell(f"{run.scene.name}: {run.scene.format}, {run.scene.kind.value} ({run.scene.kind_reason}), into {run.folder}")
    with run.locked(), stoppable() as stop, run.together():
        run.prepare()
        STAGES[name](run, stop, tell)
    return run.folder


def _nothing(text: str) -> None:
    """What all but the first of several processes say."""


def main() -> None:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    try:
        app()
    except Interrupted as error:
        if not is_first_process():
            sys.exit(0)  # the first one says so, and must not be taken for left in the lurch
        say(f"nelf: {error}")
        sys.exit(error.exit_code)
    except NelfError as error:
        say(f"nelf: {error}")
        sys.exit(error.exit_code)
    except (OSError, MemoryError, RuntimeError) as error:
        if (told := refused_by_the_system(error)) is None:
            blame_others()
            raise
        say(f"nelf: {told}")
        sys.exit(told.exit_code)
    except SystemExit as ended:
        if ended.code == Interrupted.exit_code:  # typer's answer to Ctrl-C where no stage waits for it
            say("nelf: stopped")
        raise


if __name__ == "__main__":
    main()
