"""The command `nelf`. Stages are imported inside the commands, so that help is instant."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from nelf import __version__
from nelf.cli.bundles import bench, view
from nelf.cli.data import Overrides, data
from nelf.cli.fit import fit
from nelf.core.errors import ConfigError, Interrupted, NelfError
from nelf.core.files import system_error
from nelf.core.processes import is_first_process, later_rank
from nelf.core.progress import console, echo, stoppable, waiting

MOST_PIXELS = 16384  # on a side of a still

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
    """Run every stage, from photos to verified bundles and a report; skips stages whose output is current.

    Several scenes: nelf run --multirun scene.path=a,b,c; on a cluster, add hydra/launcher=slurm.

    Example: nelf run my_photos student=s train.max_minutes=5
    """
    if multirun:
        from nelf.pipeline.overrides import checked_combinations, quoted

        # In a sweep, several scenes are an override, so the first word need not be a folder.
        first = str(scene) if str(scene).startswith("scene.path=") else f"scene.path={quoted(str(scene))}"
        asked = [first, *(overrides or [])]
        checked = checked_combinations(asked)  # before PyTorch is loaded
        from nelf.pipeline.sweep import sweep

        sweep(asked, checked, echo)
    else:
        _stage("run", scene, overrides, cfg)


@app.command()
def teach(scene: Target, overrides: Overrides = None, cfg: ShowConfig = None) -> None:
    """Train the teacher, a NeRF.

    Example: nelf teach my_photos teacher.max_minutes=30
    """
    _stage("teach", scene, overrides, cfg)


@app.command()
def distill(scene: Target, overrides: Overrides = None, cfg: ShowConfig = None) -> None:
    """Render pseudo views with the teacher (trained first if necessary).

    Example: nelf distill my_photos distill.views=2000 distill.workers=2
    """
    _stage("distill", scene, overrides, cfg)


@app.command()
def train(scene: Target, overrides: Overrides = None, cfg: ShowConfig = None) -> None:
    """Distill the student from the pseudo views (rendered first if necessary).

    Example: nelf train runs/my_photos student=l train.max_minutes=60
    """
    _stage("train", scene, overrides, cfg)


@app.command("eval")
def eval_(
    scene: Target,
    overrides: Overrides = None,
    cfg: ShowConfig = None,
    download_lpips: Annotated[bool, typer.Option("--download-lpips", help="Fetch LPIPS's weights (64 MB).")] = False,
) -> None:
    """Measure teacher, student and exported models on the test views; write the report.

    Example: nelf eval runs/my_photos eval.video_seconds=8
    """
    _stage("eval", scene, overrides, cfg, download_lpips)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    out: Annotated[
        Path | None, typer.Option(help="The page; by default summary.html in the folder above the runs.")
    ] = None,
) -> None:
    """Write one page on many runs: a table per model, means, plots, and a link to each run's report.

    Example: nelf report runs/lego runs/ship --out compared.html
    """
    from nelf.core.files import check_writable
    from nelf.pipeline.overrides import is_run

    for folder in runs:
        if not is_run(folder):
            made = f"; if it is a scene, make a run with: nelf run {folder}" if folder.is_dir() else ""
            raise ConfigError(f"{folder} is not a run; give folders of runs, e.g. runs/NAME{made}")
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
        bool, typer.Option("--image-output", help="ios: the model returns a CVPixelBuffer instead of a float32 tensor.")
    ] = False,
    tiles: Annotated[
        bool,
        typer.Option("--tiles", help="ios, android, onnx, web: a program that renders in tiles and skips empty ones."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the bundles; by default the run's export/.")] = None,
    into: Annotated[
        list[Path] | None, typer.Option(help="ios_app or android_app: add the scene to this app; may be repeated.")
    ] = None,
) -> None:
    """Export a run's student as bundles, each executed and compared with PyTorch before it is kept.

    Example: nelf export runs/my_photos --target ios --target android
    """
    from nelf.core.files import check_writable
    from nelf.pipeline.overrides import check_request, is_run

    if (rank := later_rank()) is not None:
        raise ConfigError(f"{rank} in the environment: only one process can export; unset that variable")
    if not is_run(run):
        raise ConfigError(f"{run} is not a run; give the folder of one, e.g. runs/NAME, or start with: nelf run SCENE")
    asked = list(overrides or [])
    if target:
        asked.append(f"export.targets=[{','.join(target)}]")
    if precision:
        asked.append(f"export.precision={precision}")
    if image_output:
        asked.append("export.image_output=true")
    if tiles:
        asked.append("export.tiles=true")
    check_request(run, asked, writes=out is None)  # before PyTorch is loaded
    if out is not None:
        check_writable(out, folder=True)
    from nelf.export import app_in, install_in_app
    from nelf.pipeline import Run, export_to
    from nelf.pipeline.export_stage import export_table

    for app in into or []:
        app_in(app)  # before the work, not after it
    opened = Run.open(run, asked, echo=echo)
    folder = out or opened.folder / "export"
    with opened.locked(), stoppable() as stop:
        made = export_to(opened, folder, stop, echo)
    console.print(export_table(opened, folder))
    for bundle in made:
        typer.echo(bundle)
    for app in into or []:
        for placed in install_in_app(made, app):
            typer.echo(placed)


@app.command()
def verify(bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle.")]) -> None:
    """Execute a bundle again, compare it with its golden views, and check whether it fits the phone's accelerator.

    Example: nelf verify runs/my_photos/export/ios
    """
    from nelf.bundle import open_bundle, verify_bundle
    from nelf.compatibility import Format
    from nelf.core.errors import BundleError, BundleErrorCode
    from nelf.export import check_compatibility, read_graph

    result = verify_bundle(bundle)
    for difference in result.differences:
        typer.echo(f"{difference.view}: {difference.psnr:.1f} dB, largest error {difference.max_abs:.4f}")
    if not result.passed:
        message = f"{bundle} differs from what was exported: {result.reason}; export it again"
        raise BundleError(message, BundleErrorCode.DAMAGED_FILE)
    typer.echo(f"verified in {result.runtime}: {result.summary}")
    opened = open_bundle(bundle, check_hashes=False)
    program = opened.manifest.program
    for name in (opened.manifest.model.path,) if program is None else program.parts:
        model = opened.folder / name
        if model.suffix not in {known.value for known in Format}:
            typer.echo(f"nelf does not know whether accelerators run {model.suffix} files")
            return
        for line in check_compatibility(read_graph(model)).lines():
            typer.echo(line if program is None else f"{name}: {line}")


@app.command()
def render(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle for android, onnx or web.")],
    out: Annotated[Path, typer.Option(help="The picture, a .png file.")] = Path("still.png"),
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT; any but its own needs export.tiles.")] = None,
    view: Annotated[str | None, typer.Option(help="Name of a golden view; by default the first.")] = None,
) -> None:
    """Render a still of a golden view, over the background. A bundle in tiles renders large ones in little memory.

    Example: nelf render runs/my_photos/export/web-tiles --size 3840x2160 --out still.png
    """
    from nelf.core.files import check_writable

    if out.suffix != ".png":
        raise ConfigError(f"--out {out} is not a .png file")
    asked = parse_size(size) if size else None
    check_writable(out)
    from nelf.bundle import open_bundle

    open_bundle(bundle).write_still(out, view, asked)
    typer.echo(out)


def parse_size(text: str) -> tuple[int, int]:
    """Width and height from the command line, such as "3840x2160". Raises ConfigError."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 0 < int(width) <= MOST_PIXELS >= int(height) > 0):
        raise ConfigError(f"--size {text} is not WIDTHxHEIGHT of at most {MOST_PIXELS} pixels; use e.g. 3840x2160")
    return int(width), int(height)


app.command()(view)
app.command()(bench)
app.command()(fit)


@app.command("config")
def config_(
    group: Annotated[
        str | None, typer.Argument(metavar="GROUP", help="Such as train or train.finetune; by default all.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print as for docs/settings.md.")] = False,
) -> None:
    """List every setting: its default, allowed values and meaning.

    Example: nelf config train
    """
    from nelf.pipeline.settings_page import as_markdown, as_text

    typer.echo(as_markdown() if markdown else as_text(group), nl=not markdown)


@app.command()
def demo(overrides: Overrides = None) -> None:
    """Run every stage on the scene that comes with nelf.

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


def _stage(name: str, target: Path, overrides: list[str] | None, cfg: str | None, fetch_lpips: bool = False) -> Path:
    """Run a stage, or print its configuration; returns the run's folder."""
    from nelf.pipeline.overrides import check_request

    if cfg not in (None, "job"):
        raise ConfigError(f"--cfg {cfg} is not known; use --cfg job")
    config = check_request(target, overrides or [], writes=cfg is None)  # before PyTorch is loaded
    if name == "eval" and not cfg and config.eval.measures_lpips and is_first_process():
        from nelf.evaluate import offer_lpips

        offer_lpips(fetch_lpips, echo)
    with waiting(f"{name}: starting", shown=is_first_process()):  # PyTorch and the converters are slow to import
        from nelf.pipeline import NEEDS, STAGES, Run, as_yaml

    with waiting(f"{name}: looking at {target}", shown=is_first_process()):
        run = Run.open(target, overrides or [], NEEDS[name], echo=None if cfg else echo)
    if cfg:
        typer.echo(as_yaml(run.composed), nl=False)
        return run.folder
    run.check_pictures()
    echo_once = echo if is_first_process() else lambda text: None
    echo_once(
        f"{run.scene.name}: {run.scene.format}, {run.scene.type.value} ({run.scene.type_reason}), into {run.folder}"
    )
    with run.locked(), stoppable() as stop, run.ending_workers():
        run.prepare()
        STAGES[name](run, stop, echo_once)
    return run.folder


def main() -> None:
    """Run the command line; a NelfError ends it with one line and its exit code."""
    try:
        app()
    except Interrupted as error:
        if not is_first_process():
            sys.exit(0)  # the first process reports it, and must not see this one fail
        echo(f"nelf: {error}")
        sys.exit(error.exit_code)
    except NelfError as error:
        echo(f"nelf: {error}")
        sys.exit(error.exit_code)
    except (OSError, MemoryError, RuntimeError) as error:
        if (told := system_error(error)) is None:
            raise
        echo(f"nelf: {told}")
        sys.exit(told.exit_code)
    except SystemExit as ended:
        if ended.code == Interrupted.exit_code:  # typer's exit code for Ctrl-C outside stages
            echo("nelf: stopped")
        raise


if __name__ == "__main__":
    main()
