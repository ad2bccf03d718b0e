"""Export a trained student as a bundle: convert, execute, compare, and only then keep it."""

import copy
import dataclasses
import functools
import shutil
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from pydantic import ValidationError
from torch import Tensor

from nelf.bundle.bundle import Difference, compare, failure, render
from nelf.bundle.contents import POSES, GoldenView, list_files, write_golden
from nelf.bundle.fields import first_line
from nelf.bundle.manifest import (
    FORMAT,
    VERSION,
    CameraInfo,
    ImageInfo,
    Latency,
    Manifest,
    ModelInfo,
    NotRun,
    Parity,
    PictureInfo,
    PoseInfo,
    Provenance,
    Quality,
    QualityNotRun,
    StudentInfo,
    write_manifest,
)
from nelf.bundle.region import covered_region
from nelf.core.cameras import is_rigid
from nelf.core.errors import ConfigError, ExportError
from nelf.core.files import atomic_path
from nelf.core.images import premultiplied_over, to_float, to_uint8
from nelf.evaluate.metrics import psnr
from nelf.export.config import ExportConfig, check_known
from nelf.export.graph import BundleContext, CalibrationViews, Conversions, ExportGraph, PixelGraph, Request
from nelf.export.targets import TARGETS, Target, Tolerance
from nelf.runtime import INPUT, OUTPUT, RUNTIMES, Runtime
from nelf.student import Student, count_macs, count_parameters
from nelf.viewer.site import FOR_SERVERS

Colour = tuple[float, float, float]
WARM_UP = 2  # images rendered before timing starts
SLACK_DB = 1.0
"""How far a quantised file may be from its measured PSNR in `nelf verify`: kernels round differently elsewhere."""


@dataclasses.dataclass
class Measured:
    """Measurements of one model file, with one entry per golden view, in order."""

    runtime: Runtime
    views: list[GoldenView] = dataclasses.field(default_factory=list)
    differences: list[Difference] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)
    shown: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    """PSNR of the file and of PyTorch against the photo, for views with a photo."""
    photos: Literal["test", "training"] = "test"
    """Whether these photos are of test views, or of training views because no golden view has one."""


@torch.no_grad()
def reference_view(model: Student, name: str, c2w: Float[Tensor, "3 4"]) -> GoldenView:
    """The view as PyTorch renders it."""
    return GoldenView(name, c2w, model(c2w[None])[0].permute(1, 2, 0).contiguous())


def measure(
    model: Student,
    path: Path,
    context: BundleContext,
    reference: Callable[[Tensor], Tensor],
    before: Callable[[], None],
) -> Measured:
    """Execute the bundle's file on every golden pose. If none of them has a photo, also on the calibration views.

    reference: turns PyTorch's image into what the file should return. before: called before each image.
    """
    found = Measured(RUNTIMES[path.suffix])
    loaded = found.runtime.open(path, torch.get_num_threads())
    for name, c2w in zip(context.golden_names, context.golden.cpu().float(), strict=True):
        before()
        view = reference_view(model, name, c2w)
        plain, view = view.image, dataclasses.replace(view, image=reference(view.image))
        start = time.perf_counter()
        image = render(loaded, view.c2w)
        found.seconds.append(time.perf_counter() - start)
        if image.shape != view.image.shape:
            raise ExportError(f"the file gives an image of {tuple(image.shape)}, PyTorch of {tuple(view.image.shape)}")
        found.views.append(view)
        found.differences.append(compare(name, image, view.image))
        if name in context.golden_photos:
            found.shown.append(_shown(image, plain, context.golden_photos[name], context.background))
    if not found.shown and context.calibration is not None:
        found.photos = "training"
        for c2w, photo in zip(context.calibration.c2w, context.calibration.images, strict=True):
            before()
            view = reference_view(model, "", c2w.cpu().float())
            found.shown.append(_shown(render(loaded, view.c2w), view.image, photo, context.background))
    return found


def _shown(image: Tensor, plain: Tensor, photo: Tensor, background: Colour) -> tuple[float, float]:
    return psnr(in_8bit(image, background), photo), psnr(in_8bit(plain, background), photo)


def parity(found: Measured, config: ExportConfig, gate: Tolerance) -> tuple[Parity, str | None]:
    """Agreement with PyTorch, and why it is not enough, or None if it is."""
    least, largest = config.limits(gate.value)
    reason = failure(found.differences, least, largest)
    worst = min(d.psnr for d in found.differences)
    off = max(d.max_abs for d in found.differences)
    if gate is Tolerance.DROP:
        least, largest = worst - SLACK_DB, min(2 * off, 1.0)
    return Parity(
        status="passed",
        compared_with="pytorch",
        runtime=found.runtime.name,
        views=len(found.differences),
        psnr_min=worst,
        psnr_mean=statistics.fmean(d.psnr for d in found.differences),
        max_abs=off,
        required_psnr=float(least),
        allowed_max_abs=float(largest),
    ), reason


def quality(found: Measured, config: ExportConfig, gate: Tolerance) -> tuple[Quality | QualityNotRun, str | None]:
    """PSNR against the photos, and why the file is refused, or None if it is not."""
    if not found.shown:
        unknown = "without a photo of a test view or a training view, its loss is unknown"
        reason = unknown if gate is Tolerance.DROP else None  # others are compared with PyTorch's images
        forced = True if reason and config.force else None
        return QualityNotRun(status="not_run", reason=unknown, forced=forced), reason
    psnr_file, psnr_pytorch = (statistics.fmean(values) for values in zip(*found.shown, strict=True))
    drop = psnr_pytorch - psnr_file
    too_much = drop > config.max_drop_db
    reason = (
        f"{psnr_file:.2f} dB against the photos of {len(found.shown)} {found.photos} views where PyTorch has "
        f"{psnr_pytorch:.2f}: {drop:.2f} dB are lost, but export.max_drop_db={config.max_drop_db:g} is allowed"
    )
    return Quality(
        status="measured",
        photos=found.photos,
        views=len(found.shown),
        psnr=psnr_file,
        pytorch_psnr=psnr_pytorch,
        drop_db=drop,
        allowed_drop_db=float(config.max_drop_db),
        forced=too_much and config.force,
    ), reason if too_much else None


def latency(found: Measured) -> Latency | NotRun:
    """Median time per image."""
    if found.runtime.untimed is not None:
        return NotRun(status="not_run", reason=found.runtime.untimed)
    timed = found.seconds[WARM_UP:]
    return Latency(
        status="measured",
        milliseconds=1e3 * statistics.median(timed),
        runs=len(timed),
        threads=torch.get_num_threads(),
        runtime=found.runtime.name,
    )


def in_8bit(image: Float[Tensor, "height width channels"], background: Colour) -> UInt8[Tensor, "height width 3"]:
    """The image, RGB or premultiplied RGBA, composited over `background`, in 8 bits."""
    return to_uint8(premultiplied_over(image, torch.tensor(background)))


def as_pixels(image: Float[Tensor, "height width channels"], background: Colour) -> Float[Tensor, "height width 3"]:
    """The image as an 8-bit picture without alpha shows it, 0 to 1."""
    return to_float(in_8bit(image, background))


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
        path = temporary / chosen.file
        quantization = chosen.convert(
            Request(
                graph=_graph(model, chosen, precision, context, picture),
                precision=precision,
                path=path,
                calibration=context.calibration or CalibrationViews(context.train[:0]),
                allowed_drop=config.calibration_drop_db,
                ios_deployment=config.ios_deployment,
                image_output=picture,
                conversions={} if conversions is None else conversions,
            )
        )
        reference = functools.partial(as_pixels, background=context.background) if picture else _as_it_is
        found = measure(model, path, context, reference, before_view)
        near, disagreement = parity(found, config, chosen.forms[precision].gate)
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
        files = list_files(temporary, chosen.file)
        size = sum(file.bytes for file in files if file.role == "model")
        manifest = Manifest(
            **described | {"model": described["model"].model_copy(update={"bytes": size})},
            files=files,
            parity=near,
            quality=shown,
            latency=latency(found),
            quantization=quantization,
        )
        write_manifest(temporary, manifest)
    return manifest


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
            "version": VERSION,
        }
    except ValidationError as error:
        raise ConfigError(f"no bundle can be made of this scene: {first_line(error)}") from error


def _versions(target: Target) -> dict[str, str]:
    """Versions of everything that affects the file."""
    return {name: version(name) for name in (*PACKAGES, *target.packages)}
