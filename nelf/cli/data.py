"""`nelf data`: check scenes, and make them. Stages are imported inside the commands, as in nelf.cli.main."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nelf.core.progress import agrees, echo, stoppable

if TYPE_CHECKING:
    from collections.abc import Callable

    from nelf.capture.importer import Source

data = typer.Typer(no_args_is_help=True, help="Check and make scenes.\n\nExample: nelf data check my_photos")
importing = typer.Typer(no_args_is_help=True, help="Make a scene.\n\nExample: nelf data import photos my_photos")
data.add_typer(importing, name="import")

Overrides = Annotated[
    list[str] | None, typer.Argument(help="Hydra overrides: student=s train.max_minutes=5 experiment=demo ...")
]
Out = Annotated[Path | None, typer.Option(help="Folder for the scene; by default scenes/NAME.")]


@data.command("check")
def data_check(
    scene: Annotated[Path, typer.Argument(help="Folder of the scene, or of photos without poses.")],
    overrides: Overrides = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Also write a PNG: the photos by split, and the cameras from above and the side."),
    ] = None,
) -> None:
    """Show a scene's content and its problems with remedies. Exit code 2 if `nelf run` would refuse it.

    Example: nelf data check photos/fox scene.downscale=8 --sheet fox.png
    """
    from nelf.core.errors import ConfigError
    from nelf.pipeline import compose_config, quoted, typed
    from nelf.scene.config import check_folder

    asked = [f"scene.path={quoted(str(scene))}", *(overrides or [])]
    config = typed(compose_config(asked))
    check_folder(scene)
    from nelf.capture import PhotoFolder, check_photos, check_views, is_raw
    from nelf.scene import report, write_sheet  # PyTorch is loaded here, after the check
    from nelf.scene.pictures import readable

    if sheet is not None and sheet.suffix.lower() != ".png":
        raise ConfigError(f"--sheet {sheet} must end in .png")
    raw = is_raw(scene)
    if raw:
        if sheet is not None:
            raise ConfigError(f"--sheet shows cameras, but {scene} has none yet; run: nelf data import photos {scene}")
        rows, problems = check_photos(PhotoFolder(scene, config.scene.name or scene.resolve().name), config.photos)
        fit = "`nelf run` finds the camera poses of these photos first; before that"
    else:
        found = report(config.scene)
        of_type = typed(compose_config([f"scene_type={found.scene.type.value}", *asked]))
        if of_type.scene != config.scene:
            found = report(of_type.scene)
        rows, problems = found.rows, [*found.problems]
        if views := readable(found.scene.train, found.loaded.pictures["train"]):
            problems += check_views(views, found.scene.center)
        fit = "`nelf run` takes this scene"
        if sheet is not None:
            write_sheet(sheet, found.loaded)
            rows = [*rows, ("sheet", str(sheet))]
    fatal = sum(problem.fatal for problem in problems)
    minor = len(problems) - fatal
    others = f"{minor} problem{'s' * (minor != 1)}" if minor else "no problems"
    if fatal:
        fit, others = f"`nelf run` refuses this scene: {fatal} to fix first", f"{others} else"
    typer.echo(f"{fit}{':' if raw else ';'} {others}")
    for problem in problems:
        typer.echo(f"problem{' (fatal)' if problem.fatal else ''}: {problem}")
        if problem.command:
            typer.echo(f"    {shlex.join(problem.words(str(scene), overrides or []))}")
    for label, value in rows:
        typer.echo(f"{label:14s} {value}")
    if fatal:
        raise typer.Exit(2)


@data.command("mask")
def data_mask(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with photos of one object.")],
    model: Annotated[Path | None, typer.Option(help="ONNX file of a U2-Net, in place of rembg's own.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch that network without asking: 176 MB.")] = False,
) -> None:
    """Cut the object out of its photos: write masks/, which import and `nelf run` use. Existing masks are kept.

    Example: nelf data mask my_photos
    """
    from nelf.capture.masks import write_masks
    from nelf.capture.photos import MASKS, list_photos

    raw = list_photos(folder)
    with stoppable() as stop:
        count, odd = write_masks(raw, folder, model, lambda what: agrees(what, download), stop)
    kept = sum(mask is not None for mask in raw.masks)
    typer.echo(f"{folder / MASKS}: {count} new masks, {kept} kept; look at them before you go on")
    for name in odd:
        typer.echo(
            f"problem: the mask of {name} is almost empty or full; draw it by hand (white is kept), or remove the photo"
        )


@importing.command("photos")
def import_photos(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with photos, and masks/ if you like.")],
    overrides: Overrides = None,
    out: Out = None,
) -> None:
    """Make a scene from photos without poses, by structure from motion; tells what to shoot better.

    Example: nelf data import photos my_photos --out scenes/my_photos
    """

    def source() -> "Source":
        from nelf.capture import PhotoFolder

        return PhotoFolder(folder, folder.resolve().name)

    _import(source, folder.resolve().name, overrides, out)


@importing.command("video")
def import_video(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Video of a walk around the scene.")],
    overrides: Overrides = None,
    out: Out = None,
) -> None:
    """Make a scene from a video: choose sharp frames at even changes of view, then continue as for photos.

    Example: nelf data import video walk.mp4 photos.frames=80
    """

    def source() -> "Source":
        from nelf.capture import Video

        return Video(file, file.stem)

    _import(source, file.stem, overrides, out)


def _import(source: "Callable[[], Source]", name: str, overrides: list[str] | None, out: Path | None) -> None:
    """Import a scene. source: called after the checks, since it imports PyTorch. name: of the scene."""
    from nelf.core.errors import ConfigError
    from nelf.core.files import check_writable
    from nelf.core.processes import later_rank
    from nelf.pipeline import compose_config, typed

    if (rank := later_rank()) is not None:
        raise ConfigError(f"{rank} in the environment: only one process can import a scene; unset that variable")
    config = typed(compose_config(["scene.path=photos", *(overrides or [])]))
    out = out or Path("scenes") / name
    if out.name in ("", ".."):
        raise ConfigError(f"--out {out} has no name of its own; give the name of a new folder, e.g. scenes/fox")
    check_writable(out, folder=True)
    from nelf.capture import import_scene
    from nelf.core.files import locked  # PyTorch is loaded here, after the checks
    from nelf.pipeline import report_import

    with locked(out.with_name(f".{out.name}.lock"), f"the scene {out}"), stoppable() as stop:
        report_import(import_scene(source(), out, config.photos, stop, echo), echo)
    typer.echo(out)
