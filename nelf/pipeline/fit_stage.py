"""`nelf fit`: what a search needs of a run, and the new run that gets the student which was found."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nelf import __version__
from nelf import export as exporting
from nelf.bundle import read_manifest
from nelf.capture import is_raw
from nelf.core.errors import BenchError, CheckpointError, ConfigError
from nelf.core.files import remove, sha256
from nelf.core.progress import Stop, steps, waiting
from nelf.fit import (
    Bench,
    Budget,
    Candidate,
    Device,
    LatencyModel,
    LatencyTable,
    Search,
    SearchSpace,
    check_table,
    file_megabytes,
    make_table,
    plan_rungs,
    read_table,
    subject_of,
)
from nelf.fit.devices import Export, export_workers
from nelf.fit.search import Rung
from nelf.fit.space import Values
from nelf.pipeline.config import compose_config, typed
from nelf.pipeline.export_stage import bundle_context, export_to
from nelf.pipeline.overrides import absolute, is_run, quoted
from nelf.pipeline.record import fingerprint
from nelf.pipeline.run import EXPORT, PSEUDO, STUDENT, Echo, Run
from nelf.pipeline.stages import new_student, pseudo_scene, run_distill, run_train
from nelf.scene.scene import Views
from nelf.student import SceneGeometry, Student, StudentConfig, load_student, make_student, save_student
from nelf.student.prune import ROUNDS, LimitError, check_start, is_begun, prune_in_rounds
from nelf.train import train
from nelf.train.batches import CachedViews, MemoryBudget
from nelf.train.loop import validate
from nelf.train.losses import image_loss, premultiplied

SCORED = 32
"""Pseudo views that no training of the search uses; fewer where that would be more than a tenth of them."""
FOLDER, TABLES = "fit", "tables"
UNNAMED: dict[str, Any] = {"name": "fit", "larger": None, "smaller": None}
"""What tells a student of a search from the preset that it started from."""
TARGET = "android"
"""Its files are measured: LiteRT runs them here, on Android and in browsers."""


class Fitting:
    """The data of a run, divided for a search: views to train on, and others to score on. Never the test views."""

    def __init__(self, run: Run, stop: Stop, precision: str) -> None:
        """The run must have its pseudo views."""
        self.run, self.stop, self.precision = run, stop, precision
        views = pseudo_scene(run).train
        self.frame = new_student(run, views).frame
        self.base = dataclasses.replace(run.config.student, **UNNAMED)
        self.space = SearchSpace(self.base, self.frame)
        count = min(SCORED, max(1, len(views) // 10))
        scored = {(2 * i + 1) * len(views) // (2 * count) for i in range(count)}
        self.learnt = views.select([i for i in range(len(views)) if i not in scored] or [0])
        self.scored = self._cached(views.select(sorted(scored)))
        self.val = self._cached(run.scene.val)

    def _cached(self, views: Views) -> CachedViews:
        return CachedViews(views, self.frame.channels, MemoryBudget(self.run.config.train.cache_gb))

    @property
    def about(self) -> dict[str, Any]:
        """Everything of the run that a search depends on, as JSON."""
        run = self.run
        source = Path(run.config.distill.folder) if run.config.distill.folder else run.folder / PSEUDO
        return {
            "scene": run.scene_digest,
            "pseudo": sha256(source / "transforms.json"),
            "student": dataclasses.asdict(self.base),
            "train": dataclasses.asdict(run.config.train),
            "precision": self.precision,
        }

    @functools.cached_property
    def _context(self) -> exporting.BundleContext:
        context = bundle_context(self.run, fingerprint(untrained=self.run.scene_digest))
        return dataclasses.replace(context, golden_photos={}, calibration=None)

    @functools.cached_property
    def export(self) -> Export:
        """Writes an untrained student as a bundle; a value for another process."""
        return functools.partial(_export, self.frame, self.precision, self._context, self.run.config.export)

    def megabytes(self, config: StudentConfig, folder: Path) -> float:
        """Size of the exported model file in MB (10^6 bytes)."""
        bundle = folder / "measured"
        self.export(config, bundle)
        size = read_manifest(bundle).model.bytes
        remove(bundle)
        assert size is not None  # a bundle that was just made
        return size / 1e6

    def candidate(self, values: Values, budget: Budget, model: LatencyModel | None) -> Candidate:
        """A network with its predicted cost."""
        counts = self.space.count(self.space.config(values))
        milliseconds = model.predict(counts) if model else None
        megabytes = file_megabytes(counts, self.precision)
        cost = milliseconds if budget.needs_table else megabytes
        assert cost is not None
        return Candidate(0, dict(values), cost, megabytes, milliseconds)

    def score(self, folder: Path, candidate: Candidate, level: int, rung: Rung) -> float:
        """Train a network for a round of the search; its PSNR in dB on scored pseudo views and validation views."""
        place = folder / f"network-{candidate.number:02}"
        before = place / f"round-{level}" / STUDENT.name
        model = load_student(before) if level else make_student(self.space.config(candidate.values), self.frame)
        return self.psnr(self.trained(model, place / f"round-{level + 1}", rung.minutes))

    def trained(self, model: Student, folder: Path, minutes: float) -> Student:
        """Train on the pseudo views for some minutes; kept in `folder`, where it goes on if it was interrupted."""
        done = folder / STUDENT.name
        if not done.is_file():
            run, config = self.run, self.run.config.train
            config = dataclasses.replace(
                config,
                max_steps=None,
                max_minutes=minutes,
                finetune=dataclasses.replace(config.finetune, enabled=False),
            )
            empty = run.scene.train.select([])
            model = train(model, self.learnt, empty, empty, config, folder, run.fabric, self.stop)
            save_student(done, model)
            remove(folder / "checkpoints")  # with the optimizer's state, and no longer needed
        return load_student(done)

    def psnr(self, model: Student) -> float:
        """Mean PSNR in dB, half of it of the scored pseudo views and half of the validation views if there are any."""
        batch = self.run.config.train.batch_size
        model = model.to(self.run.fabric.device)
        found = [validate(model, views, batch)[0] for views in (self.scored, self.val) if len(views)]
        return sum(found) / len(found)

    def losses(self, model: Student) -> Iterator[Tensor]:
        """The image's loss on each batch of the scored pseudo views, for pruning."""
        size = self.run.config.train.batch_size
        for start in range(0, len(self.scored), size):
            batch = self.scored.batch(range(start, min(start + size, len(self.scored))))
            image = model(batch.c2w, batch.intrinsics)
            yield image_loss(self.run.config.train.loss, image, premultiplied(batch.images))


def _export(
    frame: SceneGeometry,
    precision: str,
    context: exporting.BundleContext,
    options: exporting.ExportConfig,
    config: StudentConfig,
    folder: Path,
) -> None:
    """Write an untrained student as a bundle, executed and compared as every export."""
    exporting.export_bundle(make_student(config, frame), TARGET, precision, context, options, folder)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What `nelf fit` is asked for.

    device: times networks; None for a table made elsewhere, and for a budget of size without times. table: its file;
    None without times. minutes: of training in the search, or between the rounds of pruning. name: of the new run.
    """

    budget: Budget
    device: Device | None
    table: Path | None
    minutes: float
    name: str
    precision: str
    seed: int


@dataclasses.dataclass(frozen=True)
class Found:
    """The student to train: its configuration, the weights to begin from, and the search that found it."""

    config: StudentConfig
    start: Student | None
    search: Search | None


def table_file(run: Path, measured: Sequence[object]) -> Path:
    """Where a run keeps a table of times. measured: the device, and the options that it was measured with."""
    name = "-".join(map(str, measured)).replace(":", "-").replace("/", "-")
    return run / FOLDER / TABLES / f"{name}.json"


def look_for(run: Run, plan: Plan, prune: bool, stop: Stop, echo: Echo) -> Found:
    """Search, or prune the run's own student. Everything is kept in the run's folder `fit`."""
    folder = run.folder / FOLDER / plan.name
    if not folder.is_dir():
        _check_name(run, plan)
    start = check_start(run.folder / STUDENT) if prune else None  # before any work
    with steps(("teach", "distill")):
        run_distill(run, stop, echo)
    if start is not None:
        start.config = run.config.student = dataclasses.replace(start.config, **UNNAMED)
    fitting = Fitting(run, stop, plan.precision)
    if start is not None and _image(start) != _image(fitting):
        raise CheckpointError(
            f"{run.folder / STUDENT} makes images of {_image(start)}, but the scene has {_image(fitting)}; "
            "train it again: nelf train RUN"
        )
    bench, table = _measured(fitting, plan)
    model = LatencyModel(table.networks) if table else None
    if table and model:
        echo(f"fit: times of {table.device}: {model.describe()}")
    about = {
        **fitting.about,
        "budget": str(plan.budget),
        "minutes": plan.minutes,
        "seed": plan.seed,
        "times": fingerprint(table=table.model_dump(mode="json")) if table else None,
    }

    def cost(config: StudentConfig) -> float:
        counts = fitting.space.count(config)
        return model.predict(counts) if plan.budget.needs_table and model else file_megabytes(counts, plan.precision)

    if start is not None:
        about["from"] = sha256(run.folder / STUDENT)
        if not is_begun(folder, about):
            _begin(run, plan, folder, echo)
        try:
            start = prune_in_rounds(
                start, cost, plan.budget.amount, fitting.losses,
                lambda student, place, _: fitting.trained(student, place, plan.minutes / ROUNDS),
                folder, about, echo,
            )  # fmt: skip
        except LimitError as error:
            raise ConfigError(
                f"--budget {plan.budget}: pruning ends at {plan.budget.show(error.reached)}; "
                f"use --budget {plan.budget.least(error.reached)} or more, or a search without --prune"
            ) from error
        if bench and table and bench.device.asked_often and plan.budget.needs_table:
            told = bench.milliseconds(start.config, table)
            lower = Budget(plan.budget.amount**2 / told, plan.budget.unit)
            advice = f"; for less prune again with --budget {lower}" if told > plan.budget.amount else ""
            echo(f"fit: measured, the pruned student costs {plan.budget.show(told)}{advice}")
        return Found(start.config, start, None)

    def measure(one: Candidate) -> float | None:
        config = fitting.space.config(one.values)
        if not plan.budget.needs_table:
            return fitting.megabytes(config, folder)
        return bench.milliseconds(config, table) if bench and table and bench.device.asked_often else None

    search = Search(folder, about, plan.budget, plan_rungs(plan.minutes))
    if not search.candidates:
        _begin(run, plan, folder, echo)
        draws = np.random.default_rng(plan.seed)
        with waiting("fit: choosing networks within the budget"):
            networks = fitting.space.within(search.rungs[0].networks, cost, plan.budget, draws)
        search.begin(networks, lambda values: fitting.candidate(values, plan.budget, model))
    best = search.run(functools.partial(fitting.score, folder), measure, echo)
    return Found(fitting.space.config(best.values), None, search)


def _image(of: Student | Fitting) -> str:
    return f"{of.frame.width}x{of.frame.height} pixels of {of.frame.channels} channels"


def _check_name(run: Run, plan: Plan) -> None:
    """Raise ConfigError before a search whose student would replace another run, or RUN itself."""
    folder = run.folder.parent / plan.name
    if is_run(folder):
        raise ConfigError(f"{folder} is another run already; choose a name for the new one: --name NAME")


def _begin(run: Run, plan: Plan, folder: Path, echo: Echo) -> None:
    """Check the name, and tell the user where a search for something else ends."""
    _check_name(run, plan)
    if folder.is_dir():
        echo(f"fit: {folder} is about something else (other settings, views or times), and begins anew")


def _measured(fitting: Fitting, plan: Plan) -> tuple[Bench | None, LatencyTable | None]:
    """What times single networks, and the table of the device; None without."""
    if plan.table is None:
        return None, None
    subject = subject_of(fitting.space, plan.precision)
    if plan.device is None:
        table = read_table(plan.table)
        check_table(plan.table, table, subject, None)
        if not table.complete:
            raise BenchError(
                f"{plan.table} holds {len(table.networks)} of {table.planned} networks; finish it where it was begun"
            )
        return None, table
    work = fitting.run.folder / FOLDER / "bundles" / fingerprint(subject=subject.model_dump(), nelf=__version__)[:12]
    bench = Bench(fitting.space, subject, plan.device, fitting.export, work, fitting.stop, export_workers())
    return bench, make_table(plan.table, bench)


def fitted_run(run: Run, name: str, config: StudentConfig) -> Run:
    """The new run for the student, next to `run`. It has the same pseudo views, and all other settings."""
    pseudo = absolute(run.config.distill.folder or str(run.folder / PSEUDO))
    plain = typed(compose_config([f"scene_type={run.scene.type.value}", *run.overrides])).student
    changed = [
        f"student.{key}={'null' if value is None else value}"
        for key, value in dataclasses.asdict(config).items()
        if getattr(plain, key) != value
    ]
    asked = [f"name={quoted(name)}", f"runs={quoted(absolute(str(run.folder.parent)))}", "distill.source=folder"]
    if is_raw(Path(run.config.scene.path)):  # the scene that was made of the photos
        asked += [f"scene.path={quoted(absolute(str(run.scene.root)))}", f"scene.name={quoted(run.scene.name)}"]
    return Run.compose([*run.overrides, *asked, f"distill.folder={quoted(pseudo)}", *changed], new=False)


def finish(run: Run, stop: Stop, echo: Echo, start: Student | None) -> list[Path]:
    """Train the new run's student as `nelf train` does, and export it; returns its bundles.

    start: the weights that pruning left; None begins from random ones.
    """
    with run.locked(), run.ending_workers(), steps(("train", "export")):
        run.prepare()
        run_train(run, stop, echo, start)
        return export_to(run, run.folder / EXPORT, stop, echo)
