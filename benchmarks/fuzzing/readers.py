"""Every reader of files from strangers: a valid seed, what to change in it, and how to read it."""

import functools
import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from PIL import Image

from benchmarks.fuzzing import mutate
from nelf.core.files import sha256
from tests import scenes

Apply = Callable[[Path, random.Random, Any], None]
"""Changes the folder of a case. The last argument is hypothesis' data: `data.draw(strategy)`."""


@dataclass(frozen=True)
class Reader:
    """seed: fills a folder with valid files. change: damages them. read: what nelf does with them."""

    seed: Callable[[Path], None]
    change: Apply
    read: Callable[[Path], object]


def changing(pattern: str | Sequence[str], strategy: Any = None, after: Callable[[Path], None] | None = None) -> Apply:
    """Change one of the matching files: by `strategy` (a mutation) in every other case, otherwise its bytes."""
    patterns = [pattern] if isinstance(pattern, str) else pattern

    def apply(folder: Path, rng: random.Random, data: Any) -> None:
        files = sorted(path for one in patterns for path in folder.glob(one) if path.is_file())
        file = files[rng.randrange(len(files))]
        if strategy is not None and rng.random() < 0.5:
            data.draw(strategy)(file)
        else:
            mutate.change_bytes(file, rng)
        if after is not None:
            after(folder)

    return apply


def read_scene(folder: Path) -> None:
    """What `nelf run` and `nelf data check` do with a scene before training."""
    from nelf.scene import SceneConfig, load_scene, report

    config = SceneConfig(str(folder), name="fuzz")
    try:
        scene = load_scene(config)
        scene.train.images()
    finally:
        report(config)


def read_bundle(folder: Path) -> None:
    from nelf.bundle import verify_bundle

    verify_bundle(folder)


def rehash(folder: Path) -> None:
    """Update the hashes in the manifest, as a stranger who made the bundle would."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    for entry in content["files"]:
        file = folder / entry["path"]
        entry.update(bytes=file.stat().st_size, sha256=sha256(file))
    path.write_text(json.dumps(content))


@functools.cache
def _exported(target: str, root: Path) -> Path:
    from nelf.export import ExportConfig, export_bundle
    from tests.export.networks import context, student

    export_bundle(student(channels=4), target, "fp32", context(), ExportConfig(), root / target)
    return root / target


def seed_bundle(target: str, folder: Path) -> None:
    shutil.copytree(_exported(target, folder.parent / ".bundles"), folder, dirs_exist_ok=True)


def seed_students(folder: Path) -> None:
    from nelf.student import STUDENTS, save_student
    from tests.export.networks import student

    for family in STUDENTS:
        save_student(folder / f"{family}.safetensors", student(family))


def seed_teacher(folder: Path) -> None:
    from nelf.kernels.unit_cube import UnitCubeMapping
    from nelf.teacher.stage import build_field, save_teacher
    from tests.teacher.tiny import instant_ngp, nerf

    for config in (instant_ngp(), nerf()):
        space = UnitCubeMapping.box(torch.zeros(3), 1.5, 2.0, 6.0)
        save_teacher(folder / f"{config.name}.safetensors", build_field(config, space, opaque=False), config)


def read_teachers(folder: Path) -> None:
    from nelf.teacher import load_teacher

    for path in sorted(folder.glob("*.safetensors")):
        load_teacher(path)


def read_students(folder: Path) -> None:
    from nelf.student import load_student

    for path in sorted(folder.glob("*.safetensors")):
        load_student(path)


def seed_checkpoint(folder: Path) -> None:
    from nelf.core.checkpoints import CheckpointFolder

    CheckpointFolder(folder).save(7, {"weights": torch.randn(50), "step": 7, "names": ["a", "b"], "best": (1.0, None)})


def read_checkpoint(folder: Path) -> None:
    from nelf.core.checkpoints import CheckpointFolder

    CheckpointFolder(folder).latest()


def seed_images(folder: Path) -> None:
    scenes.make_nerfstudio_scene(folder, views=4)
    first = Image.open(folder / "images/0001.png").convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a photo"
    for suffix in ("jpg", "webp", "tif", "bmp"):
        first.save(folder / f"images/other.{suffix}", exif=exif)
    first.quantize(16).save(folder / "images/other.png", transparency=3)
    content = json.loads((folder / "transforms.json").read_text())
    frame = content["frames"][0]
    content["frames"] += [{**frame, "file_path": f"images/other.{s}"} for s in ("jpg", "webp", "tif", "bmp", "png")]
    (folder / "transforms.json").write_text(json.dumps(content))


def seed_run(folder: Path) -> None:
    (folder / "run.json").write_text(json.dumps({"overrides": [f"scene.path='{folder}'", "train.max_steps=3"]}))
    (folder / "stage.json").write_text(
        json.dumps({"format": 2, "fingerprint": "0", "outputs": {"run.json": "0"}, "seconds": 2.0})
    )


def read_run(folder: Path) -> None:
    from nelf.pipeline import compose_config, typed
    from nelf.pipeline.overrides import read_overrides
    from nelf.pipeline.record import StageRecord

    record = StageRecord(folder)
    record.is_current("0", ["run.json"])
    _ = record.seconds
    typed(compose_config(read_overrides(folder)))


QUICK = {"metrics": ["psnr"], "lpips": False}


def seed_metrics(folder: Path) -> None:
    """A run with an evaluation, and a file in it that does not belong to the evaluation."""
    from nelf.evaluate import EvalConfig, evaluate
    from nelf.student import save_student
    from tests.evaluate.views import make_views, noisy_model
    from tests.export.networks import student

    views = make_views(2, 16, 20)
    models = {name: noisy_model(views, 0.1) for name in ("teacher", "student", "ios")}
    evaluate(models, views, folder / "run" / "eval", EvalConfig(**QUICK))
    save_student(folder / "run" / "student" / "student.safetensors", student())


def read_metrics(folder: Path) -> None:
    """Write the pages of the run, and evaluate again, which removes outdated pictures."""
    from nelf.evaluate import EvalConfig, RunInfo, evaluate, render_report, write_summary_page
    from nelf.pipeline.evaluate_stage import run_figures
    from tests.evaluate.views import make_views, noisy_model

    run, views = folder / "run", make_views(2, 16, 20)
    try:
        figures = run_figures(run, folder)
        if not figures.missing:
            write_summary_page(folder / "summary.html", "one run", [figures])
        render_report(run, RunInfo("fuzz"))
    finally:
        evaluate({"student": noisy_model(views, 0.1)}, views, run / "eval", EvalConfig(**QUICK))
        assert (run / "student" / "student.safetensors").is_file()


def _pseudo_plan(folder: Path) -> Any:
    from nelf.distill import DistillConfig
    from nelf.distill.dataset import make_plan
    from tests.distill.fakes import make_scene

    return make_plan(make_scene(), DistillConfig(views=4, depth=False, max_minutes=1.0), {"teacher": "ball"}, folder)


def seed_pseudo(folder: Path) -> None:
    from nelf.core.progress import Stop
    from nelf.distill import distill_in_workers
    from tests.distill.fakes import BallTeacher

    plan = _pseudo_plan(folder)
    distill_in_workers(BallTeacher, plan.scene, plan.config, folder, plan.provenance, Stop())


def read_pseudo(folder: Path) -> None:
    """What the next command does with existing views."""
    from nelf.distill.dataset import find_written, finish
    from nelf.distill.render import Budget

    plan = _pseudo_plan(folder)
    assert 0 <= Budget(plan, 0, 2).before < float("inf")
    if find_written(plan) is None:
        finish(plan, partly=True)
    read_scene(folder)


def seed_overrides(folder: Path) -> None:
    (folder / "overrides.json").write_text("[]")


def write_overrides(folder: Path, rng: random.Random, data: Any) -> None:
    (folder / "overrides.json").write_text(json.dumps(data.draw(mutate.overrides())))


def read_config(folder: Path) -> None:
    from nelf.pipeline import as_yaml, compose_config, typed

    composed = compose_config(["scene.path=nowhere", *json.loads((folder / "overrides.json").read_text())])
    as_yaml(composed)
    typed(composed)


def seed_imported(folder: Path) -> None:
    """A scene with everything that nelf writes into one."""
    scenes.make_nerfstudio_scene(folder, views=6)
    scenes.edit_json(
        folder / "transforms.json", scene_type="unbounded", near=0.1, far=9.0, center=[0, 0, 0], radius=2.0,
        up=[0, 0, 1],
        train_filenames=[f"images/{i + 1:04d}.png" for i in range(5)], nelf={"photos": {"made_from": "x"}},
    )  # fmt: skip


def read_imported(folder: Path) -> None:
    from nelf.capture.importer import read_imported

    read_imported(folder)
    read_scene(folder)


JSON = mutate.json_edits()
READERS: dict[str, Reader] = {
    "transforms": Reader(seed_imported, changing("transforms.json", JSON), read_imported),
    "blender": Reader(
        lambda folder: (scenes.make_blender_scene(folder, views=(3, 1, 1)), None)[1],
        changing("transforms_*.json", JSON),
        read_scene,
    ),
    "llff": Reader(
        lambda folder: (scenes.make_llff_scene(folder, views=4), None)[1],
        changing("poses_bounds.npy", mutate.arrays()),
        read_scene,
    ),
    "colmap-binary": Reader(
        lambda folder: (scenes.make_colmap_scene(folder, views=4), None)[1],
        changing("sparse/0/*.bin", mutate.colmap_binaries()),
        read_scene,
    ),
    "colmap-text": Reader(
        lambda folder: (scenes.make_colmap_scene(folder, views=4, text=True), None)[1],
        changing("sparse/0/*.txt", mutate.colmap_texts()),
        read_scene,
    ),
    "polycam": Reader(
        lambda folder: (scenes.make_polycam_scene(folder, 16, 24, 4), None)[1],
        changing("keyframes/corrected_cameras/*.json", JSON),
        read_scene,
    ),
    "record3d": Reader(
        lambda folder: (scenes.make_record3d_scene(folder, 16, 24, 4), None)[1],
        changing("metadata.json", JSON),
        read_scene,
    ),
    "images": Reader(seed_images, changing("images/*", mutate.bombs()), read_scene),
    "student": Reader(seed_students, changing("*.safetensors", mutate.safetensors_heads()), read_students),
    "teacher": Reader(seed_teacher, changing("*.safetensors", mutate.safetensors_heads()), read_teachers),
    "checkpoint": Reader(seed_checkpoint, changing("*.pt", mutate.checkpoints()), read_checkpoint),
    "manifest": Reader(functools.partial(seed_bundle, "onnx"), changing("manifest.json", JSON), read_bundle),
    "golden": Reader(
        functools.partial(seed_bundle, "onnx"),
        changing(["golden/*.json", "golden/*.rgba"], st.one_of(mutate.bombs()), rehash),
        read_bundle,
    ),
    "onnx": Reader(functools.partial(seed_bundle, "onnx"), changing("model.onnx", after=rehash), read_bundle),
    "tflite": Reader(
        functools.partial(seed_bundle, "android"),
        changing("model.tflite", mutate.small_words(), after=rehash),
        read_bundle,
    ),
    "mlpackage": Reader(
        functools.partial(seed_bundle, "ios"), changing("model.mlpackage/**/*", after=rehash), read_bundle
    ),
    "metrics": Reader(seed_metrics, changing("run/eval/metrics.json", JSON), read_metrics),
    "pseudo": Reader(seed_pseudo, changing(["transforms.json", "progress-0.json"], JSON), read_pseudo),
    "run": Reader(seed_run, changing(["run.json", "stage.json"], JSON), read_run),
    "overrides": Reader(seed_overrides, write_overrides, read_config),
}
"""name -> reader. Each is fuzzed separately."""
