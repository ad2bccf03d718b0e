"""Export a run's student as bundles, and print their table."""

import contextlib
import dataclasses
import functools
import io
import json
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.table import Table
from torch import Tensor

from nelf import export as exporting
from nelf.bundle import Manifest, read_manifest
from nelf.bundle.manifest import VERSION
from nelf.core.errors import ConfigError, NelfError
from nelf.core.files import locked, remove_leftovers_of, sha256
from nelf.core.progress import Stop, in_step, waiting
from nelf.distill import pseudo_poses
from nelf.evaluate import ground_truth
from nelf.pipeline.record import StageRecord, digest, fingerprint
from nelf.pipeline.run import EXPORT, STUDENT, Echo, Run, leave_if_asked
from nelf.scene.scene import Views
from nelf.student import load_student

LOCK = ".nelf.lock"
WHITE = (1.0, 1.0, 1.0)


def export_to(run: Run, folder: Path, stop: Stop, echo: Echo) -> list[Path]:
    """Export the run's student; skips current bundles. Returns the bundles' folders."""
    student = load_student(run.folder / STUDENT)
    config, context = run.config.export, bundle_context(run)
    made: list[Path] = []
    conversions: exporting.Conversions = {}
    ask = functools.partial(leave_if_asked, stop, "export")
    planned = list(exporting.plan(config.targets, config.precision, config.image_output, config.tiles))
    with _alone_in(run, folder):
        for target, precision, name in planned:
            ask()
            record = StageRecord(_record_folder(run, folder) / f".{name}")
            made_from = fingerprint(
                stage="export",
                bundle=VERSION,
                context=_plain(context),
                scene=run.scene_digest,
                config=dataclasses.asdict(config) | {"targets": [], "precision": precision},
                **(
                    {"extra_files": sha256(extra_files())}
                    if (extra_files := exporting.TARGETS[target].extra_files)
                    else {}
                ),
            )
            bundle = folder / name
            remove_leftovers_of(bundle)
            made.append(bundle)
            if record.is_current(made_from, []) and record.content.get("bundle") == digest(bundle):
                echo(in_step(f"export: {name} is up to date"))
                continue
            if bundle.exists() and not (bundle / "manifest.json").is_file():
                raise ConfigError(f"{bundle} exists and is not a bundle; remove it, or choose another folder by --out")
            with record.running(made_from, []), waiting(f"export: {name}, bundle {len(made)} of {len(planned)}"):
                manifest = exporting.export_bundle(
                    student, target, precision, context, config, bundle, ask, conversions
                )
                record.content["bundle"] = sha256(bundle)
            assert manifest.parity.status == "passed"
            echo(
                in_step(f"export: {name}, bundle {len(made)} of {len(planned)}: ")
                + f"{manifest.parity.psnr_min:.1f} dB or more to PyTorch on {manifest.parity.views} poses"
            )
    return made


def bundles_for(run_folder: Path, targets: Sequence[str], stop: Stop, echo: Echo) -> list[Path]:
    """`ready_bundles` of a run; exports one if it has no such bundle."""
    if not (run_folder / STUDENT).is_file():
        raise ConfigError(f"{run_folder} has no trained student yet; continue with: nelf run {run_folder}")
    if found := ready_bundles(run_folder, targets):
        return found
    echo(f"{run_folder} has no bundle of its student for {' or '.join(targets)}; exporting one for {targets[0]}")
    asked = [f"export.targets=[{targets[0]}]", "export.precision=auto", "export.image_output=false"]
    run = Run.open(run_folder, asked, echo=echo)
    with run.locked():
        return export_to(run, run.folder / EXPORT, stop, echo)


def ready_bundles(run_folder: Path, targets: Sequence[str]) -> list[Path]:
    """Bundles of the run's current student for `targets`, in their order; the default precision comes first."""
    if not (run_folder / STUDENT).is_file():
        return []
    found = {name: one for name, one in bundles_of(run_folder, run_folder / EXPORT).items() if one.target in targets}
    order = {name: (targets.index(one.target), name != one.target, name) for name, one in found.items()}
    return [run_folder / EXPORT / name for name in sorted(order, key=lambda name: order[name])]


def bundles_of(run_folder: Path, folder: Path) -> dict[str, Manifest]:
    """Manifests of the bundles in `folder` made from the student in `run_folder`, by name."""
    student = sha256(run_folder / STUDENT)
    manifests = {path.parent.name: read_manifest(path.parent) for path in folder.glob("*/manifest.json")}
    return {name: one for name, one in sorted(manifests.items()) if one.provenance.checkpoint == student}


MOST_PHOTOS = 200  # that a viewer gets


class TrainingPhotos:
    """A run's training photos, for a viewer to show next to its picture. The scene is loaded when one is asked for."""

    def __init__(self, run_folder: Path) -> None:
        self.run_folder = run_folder
        self._lock = threading.Lock()  # a viewer asks in several threads

    def content(self, name: str) -> bytes | None:
        """`photos.json` or one of the pictures that it names. None for other names, and if the scene has gone."""
        wanted = re.fullmatch(r"photos(?:\.json|/(\d{3})\.jpg)", name)
        with self._lock:
            views = self._views if wanted else None
        if wanted is None or views is None:
            return None
        chosen = sorted({i * len(views) // MOST_PHOTOS for i in range(MOST_PHOTOS)})
        if wanted[1] is None:
            poses = [views.c2w[i].flatten().tolist() for i in chosen]
            listed = [{"path": f"photos/{n:03}.jpg", "c2w": pose} for n, pose in enumerate(poses)]
            return json.dumps({"photos": listed}).encode()
        if int(wanted[1]) >= len(chosen):
            return None
        written = io.BytesIO()
        Image.fromarray(ground_truth(views, chosen[int(wanted[1])]).numpy()).save(written, "JPEG", quality=85)
        return written.getvalue()

    @functools.cached_property
    def _views(self) -> Views | None:
        try:
            return Run.open(self.run_folder, []).scene.train
        except NelfError:
            return None


@contextlib.contextmanager
def _alone_in(run: Run, folder: Path) -> Iterator[None]:
    """Nobody else exports to `folder` during the block. Inside the run, the run's lock ensures that."""
    if folder.resolve() == (run.folder / EXPORT).resolve():
        yield
        return
    with locked(folder / LOCK, f"the folder {folder}"):
        yield


def _record_folder(run: Run, folder: Path) -> Path:
    """Folder for the records of bundles in `folder`. It is in the run, since other folders may belong to an app."""
    own, folder = run.folder / EXPORT, folder.resolve()
    return own if folder == own.resolve() else own / ".elsewhere" / fingerprint(folder=str(folder))[:16]


def current_bundles(run: Run, echo: Echo) -> dict[str, Path]:
    """The run's bundles of the current student, by name. Reports others and how to renew them."""
    found, student = {}, sha256(run.folder / STUDENT)
    for path in sorted((run.folder / EXPORT).glob("*/manifest.json")):
        manifest = read_manifest(path.parent)
        if manifest.provenance.checkpoint == student:
            found[path.parent.name] = path.parent
        else:
            command = f"nelf export {run.folder} --target {manifest.target} --precision {manifest.precision}"
            echo(f"eval: {path.parent} is from another student and is not measured; renew it with: {command}")
    return found


def bundle_context(run: Run, student: str | None = None) -> exporting.BundleContext:
    """What bundles store about the run's scene. student: SHA-256 of what they are made from, by default the run's."""
    scene = run.scene
    golden, names = golden_poses(run)
    photos = {name: ground_truth(scene.test, i) for i, name in enumerate(scene.test.names) if name in names}
    return exporting.BundleContext(
        name=scene.name,
        scene_type=scene.type.value,
        up=scene.up,
        focus=scene.center,
        near=scene.near,
        far=scene.far,
        background=WHITE,
        train=scene.train.c2w,
        golden=golden,
        golden_names=names,
        golden_photos=photos,
        calibration=calibration_views(run),
        provenance={"checkpoint": student or sha256(run.folder / STUDENT), "config": _made_with(run)},
        tile_views=tile_views(run) if run.config.export.tiles else None,
    )


def calibration_views(run: Run) -> exporting.CalibrationViews:
    """Training views with their photos, evenly spread."""
    views, count = run.scene.train, run.config.export.calibration_views
    chosen = sorted({i * len(views) // count for i in range(count)})
    return exporting.CalibrationViews(views.c2w[chosen], tuple(ground_truth(views, i) for i in chosen))


def golden_poses(run: Run) -> tuple[Tensor, tuple[str, ...]]:
    """Poses that no training used: evenly spread test views, or also new poses of the region if there are too few."""
    scene, count = run.scene, run.config.export.golden_views
    chosen = {round(i * (len(scene.test) - 1) / max(count - 1, 1)) for i in range(count)} if len(scene.test) else set()
    test = scene.test.select(sorted(chosen))
    missing = range(count - len(test))
    config = dataclasses.replace(run.config.distill, seed=run.config.distill.seed + 1)
    more = pseudo_poses(scene, scene.train.c2w, config, missing)
    return torch.cat([test.c2w, more]), (*test.names, *(f"new_{i}" for i in missing))


TILE_VIEWS = 96


def tile_views(run: Run) -> Tensor:
    """Poses of the region, by which the tiles of a bundle are chosen; no golden pose is among them."""
    scene, config = run.scene, run.config.distill
    return pseudo_poses(scene, scene.train.c2w, dataclasses.replace(config, seed=config.seed + 2), range(TILE_VIEWS))


def _made_with(run: Run) -> dict[str, Any]:
    """The configuration that the student depends on. Other settings do not change the bundle."""
    stages = ("scene", "teacher", "distill", "student", "train")
    made_with = {stage: dataclasses.asdict(getattr(run.config, stage)) for stage in stages}
    for stage, key in (("scene", "path"), ("distill", "folder")):
        # Bundles are given away: keep names, not folders of this machine.
        made_with[stage][key] = made_with[stage][key] and Path(made_with[stage][key]).name
    return made_with


def _plain(context: exporting.BundleContext) -> dict[str, Any]:
    derived = ("golden_photos", "calibration", "tile_views")  # the scene's digest stands for them
    values = {
        item.name: getattr(context, item.name) for item in dataclasses.fields(context) if item.name not in derived
    }
    return {key: value.tolist() if isinstance(value, Tensor) else value for key, value in values.items()}


COLUMNS = ("bundle", "target", "precision", "MB", "to PyTorch", "to photos", "lost", "ms", "verdict")


def export_table(run: Run, folder: Path) -> Table:
    """Table of all bundles in `folder` made from the run's student, now or earlier. PSNR in dB: the least against
    PyTorch on golden views, the mean against photos, and how much PyTorch's is higher."""
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("bundle", "target", "precision", "verdict") else "right")
    for name, manifest in bundles_of(run.folder, folder).items():
        table.add_row(name, *row(manifest))
    return table


def row(manifest: Manifest) -> list[str]:
    """Cells of one bundle, without its name."""
    quality, latency, parity = manifest.quality, manifest.latency, manifest.parity
    shown = quality if quality is not None and quality.status == "measured" else None
    timed = latency if latency is not None and latency.status == "measured" else None
    verdict = "forced" if shown is not None and shown.forced else parity.status.replace("_", " ")
    if manifest.quantization is not None and manifest.quantization.groups:
        verdict += f", {manifest.quantization.rungs()}"
    if manifest.experimental:
        verdict += ", experimental"
    return [
        manifest.target,
        manifest.precision,
        _number(manifest.model.bytes, ".2f", 1e6),
        _number(parity.psnr_min if parity.status == "passed" else None, ".1f"),
        _number(shown.psnr if shown else None, ".2f"),
        _number(shown.drop_db if shown else None, ".3f"),
        _number(timed.milliseconds if timed else None, ".1f"),
        verdict,
    ]


def _number(value: float | int | None, form: str, unit: float = 1.0) -> str:
    return "-" if value is None else format(value / unit, form)
