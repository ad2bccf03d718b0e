"""Export a trained student as a bundle: convert, execute, compare, and only then keep it."""

import copy
import dataclasses
import functools
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from nelf.bundle.bundle import failure
from nelf.bundle.contents import POSES, list_files, write_golden
from nelf.bundle.fields import first_line
from nelf.bundle.manifest import (
    FORMAT,
    PROGRAM_VERSION,
    VERSION,
    CameraInfo,
    ImageInfo,
    Manifest,
    ModelInfo,
    PictureInfo,
    PoseInfo,
    Provenance,
    Quantization,
    StudentInfo,
    write_manifest,
)
from nelf.bundle.region import covered_region
from nelf.bundle.tiles import Picture, TileModel, TileProgram
from nelf.core.cameras import is_rigid
from nelf.core.errors import ConfigError, ExportError
from nelf.core.files import atomic_path
from nelf.export.config import ExportConfig, check_known
from nelf.export.graph import BundleContext, CalibrationViews, Conversions, ExportGraph, PixelGraph, Request
from nelf.export.measured import SLACK_DB, Measured, as_pixels, latency, measure, parity, quality
from nelf.export.targets import TARGETS, Target
from nelf.export.tiles import PARTS, write_program
from nelf.runtime import INPUT, OUTPUT, RUNTIMES, Runtime, RuntimeModel
from nelf.student import Student, count_macs, count_parameters
from nelf.student.tiles import check_tiles
from nelf.viewer.site import FOR_SERVERS


@dataclasses.dataclass(frozen=True)
class Written:
    """The model in a bundle's folder, loaded from there.

    path: of ModelInfo. loaded: what viewers do. exact: the same without leaving anything out.
    """

    path: str
    runtime: Runtime
    loaded: RuntimeModel
    exact: RuntimeModel
    quantization: Quantization | None = None
    program: TileProgram | None = None


PACKAGES = ("torch", "coremltools", "litert-torch", "ai-edge-litert", "onnx", "onnxruntime")


def export_bundle(
    model: Student,
    target: str,
    precision: str,
    context: BundleContext,
    config: ExportConfig,
    folder: Path,
    before_view: Callable[[], None] = lambda: None,
    conversions: Conversions | None = None,
) -> Manifest:
    """Write `model` as the bundle `folder` for one target in one precision; replaces an older bundle.

    The model file is executed from disk on every golden pose. If it differs from PyTorch by more than `config` allows,
    raises ExportError and leaves nothing behind. The same holds if `before_view` raises, which is called before each of
    these executions.
    conversions: pass one dictionary to all exports of one model, and what they have in common is converted once.
    """
    check_known("export.targets", target, TARGETS)
    check_known("export.precision", precision, TARGETS[target].forms, f" for the target {target}")
    _check_context(context)
    model = copy.deepcopy(model).cpu().float().eval()
    chosen = TARGETS[target]
    picture = config.image_output and chosen.image_output
    extra_files = chosen.extra_files() if chosen.extra_files else None  # what lacks it fails before the work
    described = _described(model, target, precision, context, config, picture)
    with atomic_path(folder) as temporary:
        temporary.mkdir()
        write = _write_in_tiles if config.tiles else _write_model
        shared = {} if conversions is None else conversions
        written = write(model, chosen, precision, context, config, temporary, shared)
        reference = functools.partial(as_pixels, background=context.background) if picture else _as_it_is
        found = measure(model, written.runtime, written.loaded, context, reference, before_view)
        exact, program = found, written.program
        if program is not None:
            exact = measure(model, written.runtime, written.exact, context, reference, before_view)
        near, disagreement = parity(exact, config, chosen.forms[precision].gate)
        if program is not None and disagreement is None:
            program, disagreement = limited(program, found, config)
        shown, loss = quality(found, config, chosen.forms[precision].gate)
        if disagreement is not None:
            raise ExportError(
                f"{target} {precision}: the file disagrees with PyTorch in {found.runtime.name}: {disagreement}; "
                f"nothing was written to {folder}"
            )
        if loss is not None and not config.force:
            raise ExportError(
                f"{target} {precision}: {loss}; nothing was written to {folder}; choose another precision, or keep it "
                "anyway with export.force=true"
            )
        write_golden(temporary, found.views)
        if extra_files:
            unused = shutil.ignore_patterns(f"*{FOR_SERVERS}")
            shutil.copytree(extra_files, temporary, dirs_exist_ok=True, ignore=unused)
        files = list_files(temporary, written.path)
        size = sum(file.bytes for file in files if file.role == "model")
        manifest = Manifest(
            **described | {"model": described["model"].model_copy(update={"bytes": size, "path": written.path})},
            files=files,
            parity=near,
            quality=shown,
            latency=latency(found),
            quantization=written.quantization,
            program=program,
        )
        write_manifest(temporary, manifest)
    return manifest


def _write_model(
    model: Student,
    target: Target,
    precision: str,
    context: BundleContext,
    config: ExportConfig,
    folder: Path,
    conversions: Conversions,
) -> Written:
    """The model as one file."""
    path, picture = folder / target.file, config.image_output and target.image_output
    quantization = target.convert(
        Request(
            graph=_graph(model, target, precision, context, picture),
            precision=precision,
            path=path,
            calibration=context.calibration or CalibrationViews(context.train[:0]),
            allowed_drop=config.calibration_drop_db,
            ios_deployment=config.ios_deployment,
            image_output=picture,
            conversions=conversions,
        )
    )
    loaded = RUNTIMES[path.suffix].open(path, torch.get_num_threads())
    return Written(target.file, RUNTIMES[path.suffix], loaded, loaded, quantization)


def _write_in_tiles(
    model: Student,
    target: Target,
    precision: str,
    context: BundleContext,
    config: ExportConfig,
    folder: Path,
    conversions: Conversions,
) -> Written:
    """The model as the parts of a program."""
    views = context.train if context.tile_views is None else context.tile_views
    program = write_program(check_tiles(model), target, precision, views, config, folder)
    frame = model.frame
    parts = [folder / name for name in program.parts]
    first, decoder = (RUNTIMES[part.suffix].open(part, torch.get_num_threads()) for part in parts)
    picture = Picture(frame.height, frame.width, frame.intrinsics)
    loaded = TileModel(program, picture, frame.channels, first, decoder)
    return Written(PARTS, RUNTIMES[parts[0].suffix], loaded, loaded.everywhere(), program=program)


def limited(program: TileProgram, found: Measured, config: ExportConfig) -> tuple[TileProgram, str | None]:
    """The program with what `nelf verify` asks for, and why it leaves out too much, or None if it does not."""
    reason = failure(found.differences, config.min_psnr_tiles, 1.0)
    worst = min(d.psnr for d in found.differences)
    if reason is not None:
        reason += " (export.min_psnr_tiles); ask for more with export.tiles_psnr"
    return program.model_copy(update={"required_psnr": worst - SLACK_DB}), reason


def _graph(model: Student, target: Target, precision: str, context: BundleContext, picture: bool) -> ExportGraph:
    if picture:
        return PixelGraph(model, context.background)
    return ExportGraph(model, target.layout, target.forms[precision].dtype)


def _as_it_is(image: Tensor) -> Tensor:
    return image


def _check_context(context: BundleContext) -> None:
    if len(context.golden) < 8 or len(context.golden) != len(context.golden_names):
        raise ConfigError(
            f"export needs at least 8 golden poses, each with a name; got {len(context.golden)} poses and "
            f"{len(context.golden_names)} names"
        )
    for name, c2w in zip(context.golden_names, context.golden, strict=True):
        if not is_rigid(c2w):
            raise ConfigError(f"golden pose {name} is not a rigid camera pose")


def _described(
    model: Student, target: str, precision: str, context: BundleContext, config: ExportConfig, picture: bool
) -> dict[str, Any]:
    """What the manifest says that is known before there is a file. Raises ConfigError for what no manifest can hold."""
    frame, chosen = model.frame, TARGETS[target]
    channels: Literal[3, 4] = 3 if picture or frame.channels == 3 else 4
    background = [float(x) for x in context.background]
    fx, fy, cx, cy = (float(x) for x in frame.intrinsics)
    try:
        return {
            "name": context.name,
            "scene_type": context.scene_type,
            "target": target,
            "precision": precision,
            "image": ImageInfo(
                width=frame.width,
                height=frame.height,
                channels=channels,
                alpha="premultiplied" if channels == 4 else "none",
                background=background,
                composited_over=background if channels < frame.channels else None,
            ),
            "camera": CameraInfo(
                axes="opengl",
                intrinsics=(fx, fy, cx, cy),
                near=float(context.near),
                far=float(context.far),
                up=[float(x) for x in context.up],
                focus=[float(x) for x in context.focus],
            ),
            "region": covered_region(context.scene_type, context.train, context.focus, context.up),
            "model": ModelInfo(
                path=chosen.file,
                input=PoseInfo(name=INPUT, shape=(1, 3, 4), dtype="float32", layout="row-major c2w"),
                output=PictureInfo(
                    name=OUTPUT,
                    shape=[1, frame.height, frame.width, channels],
                    dtype="uint8" if picture else "float32",
                    layout="CVPixelBuffer" if picture else "NHWC",
                ),
                varying=dict(chosen.varying) or None,
            ),
            "golden": POSES,
            "student": StudentInfo(name=model.config.name, parameters=count_parameters(model), macs=count_macs(model)),
            "deployment": {"ios": config.ios_deployment} if target == "ios" else dict(chosen.system),
            "experimental": chosen.experimental or None,
            "provenance": Provenance(**context.provenance | {"versions": _versions(chosen)}),
            "format": FORMAT,
            "version": PROGRAM_VERSION if config.tiles else VERSION,
        }
    except ValidationError as error:
        raise ConfigError(f"no bundle can be made of this scene: {first_line(error)}") from error


def _versions(target: Target) -> dict[str, str]:
    """Versions of everything that affects the file."""
    return {name: version(name) for name in (*PACKAGES, *target.packages)}
