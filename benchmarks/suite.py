"""The paper's table for a folder of scenes, by difficulty: PSNR, SSIM, LPIPS, size and GMAC, per scene and on average.

    python benchmarks/suite.py nerf_synthetic experiment=paper/synthetic
    python benchmarks/suite.py nerf_llff_data scene.downscale=4 experiment=paper/llff --model android

Each scene in FOLDER, of any format (NeRF-synthetic and LLFF are laid out so), becomes a run in `--out`, with the
overrides that follow. If interrupted, the same command goes on: it skips finished stages. A scene that cannot be run is
reported and left out of the table; the exit code is then 1. Writes suite.md, suite.json and summary.html to `--out`.

A scene's class is the PSNR of its teacher, a NeRF, on the test views, since a student distilled from it should not do
better: easy from 32 dB, medium from 27 dB, hard below. By Instant-NGP's published figures, easy are chair, ficus,
hotdog, lego and mic; medium are materials and ship; hard is drums. It depends on the teacher's budget: compare only
classes of equal budgets.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nelf.core.errors import ConfigError, Interrupted, NelfError
from nelf.core.files import write_bytes, write_json
from nelf.core.progress import stoppable
from nelf.evaluate import ModelInfo, RunFigures, figure, means
from nelf.export.config import plan
from nelf.pipeline import NEEDS, STAGES, Run, quoted, run_figures, write_summary
from nelf.scene.load import FORMATS

CLASSES = {"easy": 32.0, "medium": 27.0, "hard": float("-inf")}
"""Class -> least PSNR of the teacher, dB."""
METRICS = ("psnr", "ssim", "lpips_alex", "lpips_vgg")
HEAD = "| scene | teacher PSNR | PSNR | SSIM | LPIPS alex | LPIPS vgg | MB | GMAC |\n" + "| --- " * 8 + "|"


def scenes_in(folder: Path) -> list[Path]:
    """Subfolders with a scene of a known format, by name. Raises ConfigError if there are no such folders."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; give the folder that holds the scenes' folders")
    found = [path for path in sorted(folder.iterdir()) if path.is_dir() and _holds_scene(path)]
    if not found:
        raise ConfigError(f"{folder} has no folder with a scene in it; looked for {', '.join(FORMATS)}")
    return found


def _holds_scene(folder: Path) -> bool:
    return any(detect(folder) for detect, _ in FORMATS.values())


def difficulty(run: RunFigures) -> str:
    """The class of a measured run. Raises ConfigError if its teacher was not measured."""
    psnr = run.metrics.get("teacher", {}).get("psnr")
    if psnr is None:
        raise ConfigError(f"{run.name} has no measured teacher, whose PSNR decides the difficulty")
    return next(name for name, least in CLASSES.items() if psnr >= least)


def check_model(scenes: Sequence[Path], overrides: Sequence[str], out: Path, model: str) -> None:
    """Raise ConfigError, before hours of work, if the table's model would not be measured.

    Other problems of a scene are reported when its turn comes.
    """
    for scene in scenes:
        try:
            export = opened(scene, overrides, out).config.export
        except NelfError:
            continue
        bundles = [name for _, _, name in plan(export.targets, export.precision, export.image_output)]
        if model not in (known := ["teacher", "student", *bundles]):
            raise ConfigError(
                f"--model {model} will not be measured in {scene.name}; use one of {', '.join(known)}, "
                "or name its target in export.targets"
            )


def opened(scene: Path, overrides: Sequence[str], out: Path) -> Run:
    return Run.open(scene, [f"runs={quoted(str(out))}", *overrides], NEEDS["run"], echo=echo)


def run_scene(scene: Path, overrides: Sequence[str], out: Path) -> Path:
    """Run every stage of one scene, skipping those whose output is current. Returns the run's folder."""
    run = opened(scene, overrides, out)
    with run.locked(), stoppable() as stop:
        run.prepare()
        STAGES["run"](run, stop, echo)
    return run.folder


def echo(text: str) -> None:
    print(text, file=sys.stderr)


def row(name: str, teacher: float | None, found: dict[str, float | int | None]) -> str:
    size, macs = found["bytes"], found["macs"]
    cells = [figure(teacher, "psnr"), *(figure(found[metric], metric) for metric in METRICS)]
    cells += ["n/a" if size is None else f"{size / 1e6:.2f}", "n/a" if macs is None else f"{macs / 1e9:.2f}"]
    return f"| {name} | {' | '.join(cells)} |"


def table(runs: Sequence[RunFigures], model: str) -> str:
    """Markdown: a table for each class with scenes, and the mean over all."""
    for run in runs:
        if model not in run.metrics:
            raise ConfigError(f"--model {model} was not measured in {run.name}; use one of {', '.join(run.metrics)}")
    parts = []
    for name, least in CLASSES.items():
        members = [run for run in runs if difficulty(run) == name]
        if members:
            bound = f"teacher at {least:.0f} dB or more" if least > 0 else "the others"
            rows = [_row_of(run.name, [run], model) for run in members] + [_row_of("**mean**", members, model)]
            parts.append("\n".join([f"### {name} ({bound}): {len(members)}\n", HEAD, *rows]))
    parts.append("\n".join([f"### all: {len(runs)}\n", HEAD, _row_of("**mean**", runs, model)]))
    return f"## {model}\n\n" + "\n\n".join(parts) + "\n"


def _row_of(name: str, runs: Sequence[RunFigures], model: str) -> str:
    return row(name, means(runs, "teacher")["psnr"], means(runs, model))


def as_json(run: RunFigures) -> dict[str, object]:
    sizes = {model: {"bytes": info.bytes, "macs": info.macs} for model, info in run.models.items()}
    return {
        "scene": run.name,
        "class": difficulty(run),
        "views": run.views,
        "seconds": run.seconds,
        "models": {model: found | sizes.get(model, vars(ModelInfo())) for model, found in run.metrics.items()},
    }


def suite(folder: Path, overrides: Sequence[str], out: Path, model: str) -> list[str]:
    """Run all scenes, write and print the tables. Returns the errors, one line each."""
    wrong, folders = [], []
    scenes = scenes_in(folder)
    check_model(scenes, overrides, out, model)
    for scene in scenes:
        echo(f"== {scene.name}")
        try:
            folders.append(run_scene(scene, overrides, out))
        except Interrupted:
            raise
        except NelfError as error:
            wrong.append(f"{scene.name}: {error}")
    if not folders:
        return wrong
    runs = [run_figures(one, out) for one in folders]
    write_json(out / "suite.json", {"model": model, "overrides": list(overrides), "scenes": [as_json(r) for r in runs]})
    text = table(runs, model)
    write_bytes(out / "suite.md", text.encode())
    print(text)
    echo(f"summary in {write_summary(folders, out / 'summary.html')}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds one folder per scene")
    parser.add_argument("overrides", nargs="*", help="as for nelf run")
    parser.add_argument("--model", default="ios", help="model in eval/metrics.json: student, ios, android, ...")
    parser.add_argument("--out", type=Path, default=Path("runs/suite"), help="folder of the runs and the tables")
    options = parser.parse_intermixed_args()
    try:
        wrong = suite(options.folder, options.overrides, options.out, options.model)
    except NelfError as error:
        echo(f"suite: {error}")
        return error.exit_code
    for line in wrong:
        echo(f"suite: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
